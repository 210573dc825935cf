//! The one integration binary.

mod cli;
mod laws;
mod layers;
mod parsers;
mod render;
mod strategies;
mod support;
