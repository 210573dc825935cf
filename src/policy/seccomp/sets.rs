//! Named sets of calls that a workload was not seen to make and that its profile allows all the same.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use serde::Deserialize;

use super::options::{Options, Refusal, Runtime};
use crate::abi::Syscall;

/// Calls that are allowed for a reason of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedSet {
    /// Its name, such as `runc 1.1.5`.
    pub name: String,
    /// Why it is there.
    pub reason: String,
    /// Its calls.
    pub calls: BTreeSet<Syscall>,
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
        let privileges = if set.no_new_privs { "with" } else { "without" };
        NamedSet {
            name: format!("{} {} {privileges} no_new_privs", set.runtime.name(), set.version),
            reason: format!("the runtime's own calls under the filter: {}", set.source),
            calls: if options.refusal == Refusal::Kill { &set.calls | &set.killed } else { set.calls.clone() },
        }
    };
    RUNTIMES.set.iter().filter(wanted).map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::is_call;

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
        for call in read.set.iter().flat_map(|set| set.calls.iter().chain(&set.killed)) {
            assert!(call.name().is_some_and(is_call), "{call}");
            let over_recorded = ["mount", "pivot_root", "setns", "unshare"];
            assert!(!call.name().is_some_and(|name| over_recorded.contains(&name)), "{call}");
        }
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
        let calls: BTreeSet<_> = runtimes(options).into_iter().flat_map(|set| set.calls).collect();
        calls.iter().map(ToString::to_string).collect()
    }
}
