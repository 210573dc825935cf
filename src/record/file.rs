//! The record as versioned JSON.
