//! Help, errors and exit codes.
