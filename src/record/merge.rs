//! Joining records.
