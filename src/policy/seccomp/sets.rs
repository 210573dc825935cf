//! Named sets of calls that a workload was not seen to make and that its profile allows all the same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde::Deserialize;

use super::options::{Options, Portable, Refusal, Runtime};
use crate::abi::Syscall;

/// Calls that are allowed for a reason of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedSet {
    /// Its name, such as `runc 1.1.5`.
    pub name: String,
    /// Why it is there.
    pub reason: String,
    /// Its calls; with the values of the first argument where it needs no others.
    pub calls: BTreeMap<Syscall, Option<BTreeSet<u32>>>,
    /// To what these are held, one call a line.
    pub held: Vec<String>,
}

/// The calls of a container runtime (`data/runtimes.toml`).
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuntimeSet {
    runtime: Runtime,
    version: String,
    no_new_privs: bool,
    source: String,
    calls: BTreeSet<Syscall>,
    /// Those that matter only where what is refused is killed.
    killed: BTreeSet<Syscall>,
    /// The only values of first arguments.
    #[serde(default)]
    first: BTreeMap<Syscall, BTreeSet<u32>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Runtimes {
    set: Vec<RuntimeSet>,
}

/// A file of this folder, which the tests read as well.
static RUNTIMES: LazyLock<Runtimes> =
    LazyLock::new(|| toml::from_str(include_str!("data/runtimes.toml")).unwrap_or_default());

/// The sets of the runtimes that are asked for. A container may always be started with `no_new_privs`, so what is needed
/// with it is needed without, too.
pub(super) fn runtimes(options: &Options) -> Vec<NamedSet> {
    let wanted =
        |set: &&RuntimeSet| options.runtimes.contains(&set.runtime) && (set.no_new_privs || !options.no_new_privs);
    let named = |set: &RuntimeSet| {
        let calls = if options.refusal == Refusal::Kill { &set.calls | &set.killed } else { set.calls.clone() };
        let privileges = if set.no_new_privs { "with" } else { "without" };
        NamedSet {
            name: format!("{} {} {privileges} no_new_privs", set.runtime.name(), set.version),
            reason: format!("the runtime's own calls under the filter: {}", set.source),
            calls: calls.into_iter().map(|call| (call.clone(), set.first.get(&call).cloned())).collect(),
            held: Vec::new(),
        }
    };
    RUNTIMES.set.iter().filter(wanted).map(named).collect()
}

/// Calls that stand in for each other (`data/variants.toml`).
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Variants {
    row: Vec<Row>,
    vdso: Vdso,
}

/// One function and its calls.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    degree: Portable,
    reason: String,
    /// Each brings all others.
    #[serde(default)]
    calls: BTreeSet<Syscall>,
    /// The first brings the second.
    #[serde(default)]
    pairs: Vec<(Syscall, Syscall)>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Vdso {
    reason: String,
    calls: BTreeSet<Syscall>,
}

static VARIANTS: LazyLock<Variants> =
    LazyLock::new(|| toml::from_str(include_str!("data/variants.toml")).unwrap_or_default());

impl Row {
    /// What `seen` brings.
    fn brought(&self, seen: &BTreeSet<&Syscall>) -> BTreeSet<Syscall> {
        let others =
            if self.calls.iter().any(|call| seen.contains(call)) { self.calls.clone() } else { BTreeSet::new() };
        let seconds = self.pairs.iter().filter(|(first, _)| seen.contains(first)).map(|(_, second)| second.clone());
        others.into_iter().chain(seconds).filter(|call| !seen.contains(call)).collect()
    }
}

/// What the calls that were seen bring for other machines, and what the vDSO answered.
pub(super) fn variants(seen: &BTreeSet<&Syscall>, options: &Options) -> Vec<NamedSet> {
    let rows = VARIANTS.row.iter().filter(|row| options.portable.contains(&row.degree));
    let rows = rows.map(|row| {
        let brought = row.brought(seen).into_iter().map(|call| {
            // Starting a process brings no right to namespaces: flags without any.
            let first = (call.name() == Some("clone")).then(|| BTreeSet::from([0]));
            (call, first)
        });
        let name = format!("portable {}: {}", row.degree.name(), row.reason);
        let reason = "stands for a call that was seen, elsewhere".to_owned();
        NamedSet { name, reason, calls: brought.collect(), held: Vec::new() }
    });
    let vdso = options.vdso.then(|| NamedSet {
        name: "vdso".to_owned(),
        reason: VARIANTS.vdso.reason.clone(),
        calls: VARIANTS.vdso.calls.iter().map(|call| (call.clone(), None)).collect(),
        held: Vec::new(),
    });
    rows.chain(vdso).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::is_call;
    use crate::infer::risk;

    #[test]
    fn runtimes_are_whole() {
        let read: Runtimes = toml::from_str(include_str!("data/runtimes.toml")).unwrap();
        for runtime in Runtime::ALL {
            for no_new_privs in [true, false] {
                let sets = || read.set.iter().filter(|set| set.runtime == runtime && set.no_new_privs == no_new_privs);
                assert!(sets().count() > 0, "{runtime:?} {no_new_privs}");
                assert!(sets().all(|set| set.calls.contains(&Syscall::Named("execve".into()))));
            }
        }
        for set in &read.set {
            assert!(set.first.keys().all(|call| set.calls.contains(call)));
        }
        for call in read.set.iter().flat_map(|set| set.calls.iter().chain(&set.killed)) {
            assert!(call.name().is_some_and(is_call), "{call}");
            let over_recorded = ["mount", "pivot_root", "setns", "unshare"];
            assert!(!call.name().is_some_and(|name| over_recorded.contains(&name)), "{call}");
        }
    }

    #[test]
    fn variants_are_whole_and_cross_no_border() {
        let read: Variants = toml::from_str(include_str!("data/variants.toml")).unwrap();
        for (degree, ..) in Portable::NAMES {
            assert!(read.row.iter().any(|row| row.degree == degree), "{degree:?}");
        }
        let pairs = read.row.iter().flat_map(|row| &row.pairs).flat_map(|(first, second)| [first, second]);
        let calls = read.row.iter().flat_map(|row| &row.calls).chain(pairs).chain(&read.vdso.calls);
        for call in calls {
            let name = call.name().unwrap();
            assert!(is_call(name), "{name}");
            // `mknod` is told apart by its arguments, and its other form may do no more.
            assert!(risk::call(name).0 < risk::Level::High, "{name}");
        }
        let brought: Vec<_> =
            read.row.iter().flat_map(|row| &row.pairs).map(|(_, second)| second.to_string()).collect();
        assert!(!brought.iter().any(|name| name == "clone3" || name == "open_by_handle_at"));
    }

    #[test]
    fn what_was_seen_brings_its_variants() {
        let brought = |seen: &[&str], portable: &[Portable], vdso| {
            let seen: Vec<Syscall> = seen.iter().map(|name| name.parse().unwrap()).collect();
            let options = Options { portable: portable.iter().copied().collect(), vdso, ..Options::exact() };
            let sets = variants(&seen.iter().collect(), &options);
            let calls: BTreeSet<_> = sets.into_iter().flat_map(|set| set.calls.into_keys()).collect();
            calls.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert!(brought(&["open", "dup2"], &[], false).is_empty());
        assert_eq!(brought(&["open", "dup2"], &[Portable::Libc], false), ["dup3", "openat"]);
        assert_eq!(brought(&["openat"], &[Portable::Kernel], false), ["openat2"]);
        assert_eq!(brought(&["fork", "poll"], &[Portable::Arch], false), ["clone", "ppoll"]);
        assert_eq!(brought(&["clone3"], &[Portable::Kernel], false), ["clone"]);
        assert!(brought(&[], &[], true).contains(&"clock_gettime".to_owned()));
    }

    #[test]
    fn what_is_asked_for_is_taken() {
        let calls = |runtimes: &[Runtime], no_new_privs| {
            let options = Options { runtimes: runtimes.iter().copied().collect(), no_new_privs, ..Options::exact() };
            runtimes_calls(&options)
        };
        assert!(calls(&[], false).is_empty());
        assert_eq!(calls(&[Runtime::Crun], true), ["close", "execve"]);
        let all = calls(&Runtime::ALL, false);
        for name in ["execve", "fstatfs", "setuid", "setresuid", "capset"] {
            assert!(all.iter().any(|call| call == name), "{name}");
        }
        assert!(!calls(&[Runtime::Runc], true).iter().any(|call| call == "setuid"));
        let killing = Options { refusal: Refusal::Kill, ..Options::default() };
        assert!(runtimes_calls(&killing).iter().any(|call| call == "epoll_ctl"));
    }

    fn runtimes_calls(options: &Options) -> Vec<String> {
        let calls: BTreeSet<_> = runtimes(options).into_iter().flat_map(|set| set.calls.into_keys()).collect();
        calls.iter().map(ToString::to_string).collect()
    }
}
