//! Why a workload could not be started, in words that help.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::sys::Stage;
use crate::capture::{CaptureError, Workload};

/// Who forbids tracing here, and what to do about it.
pub(super) fn forbidden() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let scope = read("/proc/sys/kernel/yama/ptrace_scope");
    let filtered = read("/proc/self/status").lines().any(|line| line.starts_with("Seccomp:") && line.ends_with('2'));
    match scope.trim() {
        "3" => "the Yama module forbids ptrace on this machine (kernel.yama.ptrace_scope is 3, which only a reboot \
                undoes)"
            .into(),
        "2" => "the Yama module allows ptrace only with CAP_SYS_PTRACE (kernel.yama.ptrace_scope is 2): run as root, \
                or set kernel.yama.ptrace_scope=1"
            .into(),
        _ if filtered => "a seccomp filter of this container forbids ptrace: allow ptrace in its profile, or start it \
                          with --security-opt seccomp=unconfined or --cap-add=SYS_PTRACE"
            .into(),
        _ => "the kernel or a security module refuses ptrace; is something else tracing this process?".into(),
    }
}

/// Why the first process never became the workload.
pub(super) fn start_failed(workload: &Workload, report: OwnedFd) -> CaptureError {
    let mut message = [0; 5];
    let told = File::from(report).read_exact(&mut message);
    let [stage, errno @ ..] = message;
    let source = io::Error::from_raw_os_error(i32::from_ne_bytes(errno));
    match (told, &workload.user) {
        (Ok(()), Some(user)) if stage == Stage::User as u8 => CaptureError::User { uid: user.uid, source },
        (Ok(()), _) => {
            if let Some(step) = confining(stage) {
                return CaptureError::Confine { step, source };
            }
            let program = Path::new(std::ffi::OsStr::from_bytes(workload.program.as_bytes())).to_owned();
            CaptureError::Execute { program, source }
        }
        (Err(source), _) => CaptureError::System { operation: "start the workload (it was ended early)", source },
    }
}

/// What a stage of confining does.
fn confining(stage: u8) -> Option<&'static str> {
    [
        (Stage::Bounding, "reducing the bounding set (which needs CAP_SETPCAP, or no_new_privs)"),
        (Stage::Capabilities, "reducing the capabilities"),
        (Stage::Filter, "loading the seccomp filter (which needs CAP_SYS_ADMIN, or no_new_privs)"),
    ]
    .into_iter()
    .find_map(|(of, step)| (of as u8 == stage).then_some(step))
}
