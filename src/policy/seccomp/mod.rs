//! Seccomp profiles in the OCI runtime-spec's form (`config-linux.md`, section Seccomp).
//!
//! The types hold the whole grammar; what is made here is the part of it that every runtime reads alike.

mod compile;
mod derive;
mod docker;
mod grammar;
mod introduced;
mod judge;
mod multiplex;
mod options;
mod parse;
mod sets;
mod target;
mod within;
mod word;

use std::collections::BTreeSet;

pub use compile::{CompileError, Compiled, asked};
pub use derive::Derived;
pub use docker::{Host, Kernel};
pub use grammar::{Action, Architecture, Condition, ENOSYS, EPERM, Flag, MAX_ERRNO, Rule, Test};
pub use options::{Options, Portable, Refusal, Runtime, Target};
pub use parse::ParseError;
pub use sets::NamedSet;
pub use target::{MOST_BYTES, TargetError, fits};

use crate::abi::Abi;
use crate::fact::Gap;
use crate::infer::Needs;

/// A profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seccomp {
    /// What happens to calls that no rule names.
    pub default_action: Action,
    /// The ABIs that may be used at all; without any, that of the machine.
    pub architectures: BTreeSet<Architecture>,
    /// How it is loaded.
    pub flags: BTreeSet<Flag>,
    /// Who is asked by [`Action::Notify`].
    pub listener: Option<Listener>,
    /// The rules. The format has none for one architecture alone: each holds for all of them.
    pub syscalls: Vec<Rule>,
    pub(super) gaps: BTreeSet<Gap>,
}

/// Where the supervisor of [`Action::Notify`] listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its Unix socket.
    pub path: String,
    /// What it is told of the container.
    pub metadata: Option<String>,
}

impl Default for Seccomp {
    /// Allows nothing.
    fn default() -> Self {
        Self { default_action: Action::Errno(EPERM), ..Self::allowing() }
    }
}

impl Seccomp {
    /// Allows exactly the calls that were made, under the ABIs that were used; others fail with `EPERM`.
    #[must_use]
    pub fn new(needs: &Needs<'_>) -> Self {
        Derived::new(needs, &Options::exact()).profile
    }

    /// A profile that allows everything.
    #[must_use]
    pub const fn allowing() -> Self {
        Self {
            default_action: Action::Allow,
            architectures: BTreeSet::new(),
            flags: BTreeSet::new(),
            listener: None,
            syscalls: Vec::new(),
            gaps: BTreeSet::new(),
        }
    }

    /// The profile of a JSON text in the OCI runtime-spec's form, in which the key `x-learn` is left out.
    ///
    /// # Errors
    /// See [`ParseError`]: everything that is unknown or out of range, with line and column.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        parse::profile(text, None)
    }

    /// The profile of a JSON text in the specification's or in Docker's form (`archMap`, `includes`, `excludes`, `name`,
    /// `comment`), settled for one machine, whose own ABI runtimes always add.
    ///
    /// # Errors
    /// See [`ParseError`].
    pub fn parse_for(text: &str, host: &Host) -> Result<Self, ParseError> {
        parse::profile(text, Some(host))
    }

    /// Whether the filter has rules for this ABI; calls of another one end the process.
    #[must_use]
    pub fn covers(&self, abi: Abi) -> bool {
        let native = self.architectures.is_empty() && abi == Abi::native();
        native || self.architectures.contains(&Architecture::Known(abi))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::Syscall;
    use crate::fact::Fact;
    use crate::policy::{Policy, Verdict};

    #[test]
    fn only_the_subset_is_read() {
        let parse = |rest: &str| Seccomp::parse(&format!("{{\"defaultAction\": \"SCMP_ACT_ERRNO\", {rest}}}"));
        let allowing = "\"architectures\": [\"SCMP_ARCH_X86\"], \
                        \"syscalls\": [{\"names\": [\"read\"], \"action\": \"SCMP_ACT_ALLOW\"}]";
        let profile = parse(allowing).unwrap();
        let permits = |abi, name: &str| profile.permits(&Fact::Syscall(abi, Syscall::Named(name.into())));
        assert_eq!(permits(Abi::I386, "read"), Verdict::Allowed);
        assert_eq!(permits(Abi::X86_64, "read"), Verdict::Denied);
        assert_eq!(permits(Abi::I386, "write"), Verdict::Denied);
        assert!(parse(&format!("{allowing}, \"x-learn\": {{\"any\": [1]}}")).is_ok());
        for wrong in [
            &allowing.replace("X86", "PDP11"),
            &allowing.replace("ALLOW", "MAYBE"),
            &allowing.replace("\"action\"", "\"includes\": {\"caps\": []}, \"action\""),
            &allowing.replace("read", "re ad"),
            &format!("{allowing}, \"archMap\": [{{\"architecture\": \"SCMP_ARCH_X86\"}}]"),
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
