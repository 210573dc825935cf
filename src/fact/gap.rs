//! What was not seen.

use serde::{Deserialize, Serialize};

/// Something that was not seen, or not wholly; shown wherever the record is used.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Gap {
    /// Which kind of loss.
    pub kind: GapKind,
    /// What exactly, and what to do about it; one sentence without a final dot.
    pub detail: String,
}

named! {
    /// Kinds of loss.
    GapKind {
        /// io_uring was used: its operations are not system calls.
        IoUring "io-uring"
        /// A task that was not traced, or not to its end.
        Untraced "untraced"
        /// The workload uses ptrace itself, which fails while it is traced.
        TracesItself "traces-itself"
        /// The workload listens to a seccomp filter of its own, which fails while it is traced in the usual way.
        ListensItself "listens-itself"
        /// A set-user-ID or file-capability program that gained nothing because it was traced.
        Unprivileged "unprivileged"
        /// A call that no table names.
        UnnamedSyscall "unnamed-syscall"
        /// A call of an architecture that this program does not know.
        ForeignArch "foreign-arch"
        /// Memory of the workload that could not be read, or held no legal value.
        Unreadable "unreadable"
        /// A path that could not be resolved, or cannot be expressed.
        UnknownPath "unknown-path"
        /// A small set that reached its limit: further values were not kept.
        Limit "limit"
        /// Something seen that an output format has no words for.
        Inexpressible "inexpressible"
        /// A record that was to be merged and could not be read.
        Skipped "skipped"
    }
}
