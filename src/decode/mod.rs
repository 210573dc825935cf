//! Calls to facts.
