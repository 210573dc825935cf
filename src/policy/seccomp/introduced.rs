//! Which calls are so new that programs try them and expect to hear where they are missing (`data/introduced.toml`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde::Deserialize;

use crate::abi::Syscall;

/// The file, read.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Introduced {
    /// By the version of Linux.
    calls: BTreeMap<String, BTreeSet<Syscall>>,
}

static CALLS: LazyLock<BTreeSet<Syscall>> = LazyLock::new(|| {
    let read: Introduced = toml::from_str(include_str!("data/introduced.toml")).unwrap_or_default();
    read.calls.into_values().flatten().collect()
});

/// Every call that came with Linux 4.0 or later.
pub(super) fn newer() -> &'static BTreeSet<Syscall> {
    &CALLS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::Abi;

    #[test]
    fn every_call_behind_the_first_new_number_is_listed() {
        // Calls that stand there for their ABI alone: multiplexed before, or of another number elsewhere.
        let moved = ["arch_prctl", "semget", "semctl", "shmget", "shmctl", "shmat", "shmdt", "msgget", "msgsnd"];
        let moved: BTreeSet<_> = moved.into_iter().chain(["msgrcv", "msgctl", "kexec_file_load"]).collect();
        for (abi, first) in [(Abi::X86_64, 323), (Abi::I386, 374), (Abi::Aarch64, 282)] {
            assert_eq!(abi.syscall(first).to_string(), "userfaultfd");
            for call in (first..512).map(|number| abi.syscall(number)) {
                let Some(name) = call.name() else { continue };
                assert!(newer().contains(&call) || moved.contains(name), "{abi} {name}");
            }
        }
        for call in newer() {
            let numbers = Abi::ALL.iter().filter_map(|abi| abi.number(call.name().unwrap()));
            assert!(numbers.min().is_some_and(|number| number >= 282), "{call}");
        }
    }
}
