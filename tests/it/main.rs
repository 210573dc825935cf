//! The one integration binary.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod cli;
mod laws;
mod layers;
mod parsers;
mod render;
mod strategies;
mod support;
