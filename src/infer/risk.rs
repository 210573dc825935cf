//! What in a workload's needs deserves a second look, and why. Pure tables; the judgement stays with the reader.

use super::Needs;
use super::caps::Standing;
use super::globs::Pattern;
use crate::fact::{Access, Capability};
use crate::path::AbsPath;

/// One thing that deserves a second look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Risk {
    /// What is needed.
    pub what: String,
    /// What it makes possible.
    pub why: &'static str,
}

/// Capabilities that come close to being root (`capabilities(7)`), worst first.
const CAPABILITIES: &[(Capability, &str)] = &[
    (Capability::SysAdmin, "covers most of what root may do"),
    (Capability::SysModule, "loads code into the kernel"),
    (Capability::SysRawio, "reaches hardware and kernel memory"),
    (Capability::SysBoot, "starts another kernel"),
    (Capability::Bpf, "loads programs into the kernel"),
    (Capability::SysPtrace, "reads and changes other processes"),
    (Capability::DacReadSearch, "reads every file"),
    (Capability::DacOverride, "reads and writes every file"),
    (Capability::Setfcap, "gives privileges to files"),
    (Capability::MacAdmin, "changes security policies"),
    (Capability::NetAdmin, "reconfigures the network"),
    (Capability::NetRaw, "forges and sniffs packets"),
    (Capability::Mknod, "makes device nodes"),
];

/// Calls that a container escape has been built on.
const CALLS: &[(&str, &str)] = &[
    ("mount", "changes what files processes see"),
    ("pivot_root", "changes what files processes see"),
    ("setns", "enters other namespaces"),
    ("unshare", "makes namespaces, with privileges over them"),
    ("ptrace", "reads and changes other processes"),
    ("process_vm_writev", "changes other processes"),
    ("bpf", "loads programs into the kernel"),
    ("perf_event_open", "watches the kernel, with a history of holes"),
    ("userfaultfd", "makes races in the kernel easy to win"),
    ("io_uring_setup", "does input and output that no filter sees"),
    ("open_by_handle_at", "opens files past directory permissions"),
    ("init_module", "loads code into the kernel"),
    ("finit_module", "loads code into the kernel"),
    ("kexec_load", "starts another kernel"),
    ("add_key", "keeps secrets in the kernel, outside of namespaces"),
    ("keyctl", "reaches secrets in the kernel, outside of namespaces"),
];

/// Where writing changes what the machine runs.
const SYSTEM: &[&[u8]] =
    &[b"/bin", b"/boot", b"/etc", b"/lib", b"/lib64", b"/opt", b"/sbin", b"/sys", b"/usr", b"/proc/sys"];

/// Files and folders that hold secrets.
const SECRETS: &[&[u8]] =
    &[b"/etc/shadow", b"/etc/gshadow", b"/etc/ssl/private", b"/root/.ssh", b"/etc/ssh", b"/etc/sudoers"];

/// What deserves a second look in `needs`, capabilities first.
#[must_use]
pub fn risks(needs: &Needs<'_>) -> Vec<Risk> {
    capabilities(needs).chain(calls(needs)).chain(files(needs)).collect()
}

fn capabilities(needs: &Needs<'_>) -> impl Iterator<Item = Risk> {
    CAPABILITIES.iter().filter_map(|&(capability, why)| {
        let need = needs.capabilities.iter().find(|need| need.capability == capability && need.standing.granted())?;
        let sure = if need.standing == Standing::Needed { "" } else { " (likely)" };
        Some(Risk { what: format!("{}{sure}", capability.name()), why })
    })
}

fn calls(needs: &Needs<'_>) -> impl Iterator<Item = Risk> {
    CALLS.iter().filter_map(|&(name, why)| {
        let made = needs.syscalls.values().any(|calls| calls.keys().any(|call| call.name() == Some(name)));
        made.then(|| Risk { what: name.to_owned(), why })
    })
}

/// One line for each kind, with an example: there may be many such files.
fn files(needs: &Needs<'_>) -> impl Iterator<Item = Risk> {
    let changes = Access::WRITE | Access::APPEND | Access::CREATE | Access::REMOVE | Access::RENAME_TO | Access::CHMOD;
    let kinds = [
        (changes, SYSTEM, "writes", "changes what the machine runs"),
        (Access::READ, SECRETS, "reads", "may hold secrets"),
    ];
    kinds.into_iter().filter_map(|(access, places, verb, why)| {
        let below =
            |path: &AbsPath| places.iter().any(|place| AbsPath::new(place).is_ok_and(|place| path.starts_with(&place)));
        let paths = needs.files.iter().filter(|need| need.access.intersects(access));
        let mut paths = paths
            .filter_map(|need| match &need.pattern {
                Pattern::Literal(path) => Some(path),
                Pattern::General(_) => None,
            })
            .filter(|path| below(path));
        let first = paths.next()?;
        let more = match paths.count() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        Some(Risk { what: format!("{verb} {first}{more}"), why })
    })
}
