//! The `learn` program: parse, dispatch, print the error chain, exit.
fn main() {}
