//! Learns what a Linux workload needs and writes its least-privilege profiles.
//!
//! Data flows one way:
//!
//! ```text
//! capture -> decode -> record -> infer -> policy -> render
//! ```
//!
//! * [`capture`] runs the workload under ptrace and shows each call to a [`event::Sink`].
//! * [`decode`] turns calls into [`fact::Fact`]s.
//! * [`record`] keeps the facts with their evidence, once each.
//! * [`infer`] says what they need, generalised and format-neutral.
//! * [`policy`] types each format's rules; [`render`] writes them through templates.
//! * [`diff`] compares two records or policies, graded by risk.
//! * [`explain`] says of a rule who showed it.
//! * [`check`] tells what a profile does not cover of a record.
//! * [`cli`] is the program: it alone prints, opens the user's files and decides exit codes.
#![deny(unsafe_code)]

pub mod abi;
pub mod path;

pub mod event;
pub mod fact;

pub mod capture;
pub mod decode;
pub mod record;

pub mod infer;
pub mod policy;
pub mod render;

pub mod check;
pub mod diff;
pub mod explain;

pub mod cli;
