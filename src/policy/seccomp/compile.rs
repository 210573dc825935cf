//! A profile as the kernel's own program, compiled by libseccomp (`seccomp_export_bpf(3)`), in which what is denied asks a
//! tracer: `SECCOMP_RET_TRACE` with a number that says which action it stands for.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Seek};

use libseccomp::error::SeccompError;
use libseccomp::{ScmpAction, ScmpArch, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall};

use super::grammar::{Action, Architecture, Condition, Test};
use super::{Rule, Seccomp};
use crate::abi::{Abi, Syscall};

/// An instruction, as `struct sock_filter` (`linux/filter.h`).
type Instruction = [u8; 8];

const KILL_THREAD: u16 = 1;
const KILL_PROCESS: u16 = 2;
const TRAP: u16 = 3;
const UNANSWERED: u16 = 4;
/// Added to an errno, of which the largest is 4095.
const ERRNO: u16 = 0x1000;

/// A compiled profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiled {
    /// The program.
    pub program: Vec<Instruction>,
    /// Calls of rules that the installed libseccomp does not know. Rules for them hold for the machine's own ABI, if that
    /// has them; otherwise they meet the default action, as under a container runtime.
    pub unknown: BTreeSet<Syscall>,
}

/// Why a profile cannot be compiled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    /// libseccomp refuses it.
    #[error("libseccomp refuses {what}")]
    Refused {
        /// What of it.
        what: String,
        /// What libseccomp said.
        #[source]
        source: SeccompError,
    },
    /// A call that is denied would be let through.
    #[error("the installed libseccomp does not know `{0}`, which the profile denies while its default allows")]
    Unknown(Syscall),
    /// The program cannot be read back.
    #[error("cannot read the compiled profile")]
    Io(#[from] io::Error),
}

impl Seccomp {
    /// The profile as a program in which denied calls ask a tracer; [`asked`] reads its number.
    ///
    /// # Errors
    /// See [`CompileError`].
    pub fn compile_asking(&self) -> Result<Compiled, CompileError> {
        let (mut filter, unknown) = self.filter(asking)?;
        // As the kernel's own answer to calls of an architecture without rules.
        filter.set_act_badarch(ScmpAction::Trace(KILL_THREAD)).map_err(refused("its attributes"))?;
        let bytes = exported(|file| filter.export_bpf(file))?;
        let (program, _) = bytes.as_chunks();
        Ok(Compiled { program: program.to_vec(), unknown })
    }

    /// The profile as the program that a runtime would load.
    ///
    /// # Errors
    /// See [`CompileError`].
    pub fn compile(&self) -> Result<Compiled, CompileError> {
        let (filter, unknown) = self.filter(plainly)?;
        let bytes = exported(|file| filter.export_bpf(file))?;
        let (program, _) = bytes.as_chunks();
        Ok(Compiled { program: program.to_vec(), unknown })
    }

    /// The profile as libseccomp's pseudo code, for people (`seccomp_export_pfc(3)`).
    ///
    /// # Errors
    /// See [`CompileError`].
    pub fn pseudo_code(&self) -> Result<String, CompileError> {
        let (filter, _) = self.filter(plainly)?;
        let bytes = exported(|file| filter.export_pfc(file))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The filter in which actions are written as `action` does it, and the calls that libseccomp does not know.
    ///
    /// It knows calls by the name, and passes an unknown number through for the machine's own ABI only: so that one has a
    /// filter of its own, to which those of the others are joined.
    fn filter(&self, action: fn(Action) -> ScmpAction) -> Result<(ScmpFilterContext, BTreeSet<Syscall>), CompileError> {
        let default = action(self.default_action);
        let new = || ScmpFilterContext::new(default).map_err(refused("the default action"));
        let (mut own, mut others) = (new()?, new()?);
        others.remove_arch(ScmpArch::Native).map_err(refused("its own architecture"))?;
        let mut mixed = false;
        for architecture in &self.architectures {
            let name = architecture.name();
            let token = name.parse::<ScmpArch>().map_err(refused(name))?;
            // libseccomp joins only architectures of one byte order, and none of another one can run here.
            if matches!(architecture, Architecture::Known(abi) if *abi != Abi::native()) {
                others.add_arch(token).map_err(refused(name))?;
                mixed = true;
            }
        }
        let mut unknown = BTreeSet::new();
        for rule in self.syscalls.iter().filter(|rule| action(rule.action) != default) {
            for call in &rule.names {
                let named = call.name().and_then(|name| ScmpSyscall::from_name(name).ok());
                let number = named.or_else(|| numbered(call));
                if named.is_none() {
                    if self.default_action.admits() == Some(true) && (mixed || number.is_none()) {
                        return Err(CompileError::Unknown(call.clone()));
                    }
                    unknown.insert(call.clone());
                }
                if let Some(number) = number {
                    add(&mut own, rule, call, action(rule.action), number)?;
                }
                if let Some(number) = named.filter(|_| mixed) {
                    add(&mut others, rule, call, action(rule.action), number)?;
                }
            }
        }
        if mixed {
            own.merge(others).map_err(refused("its architectures together"))?;
        }
        Ok((own, unknown))
    }
}

/// Adds one rule of `rule` for `call`.
fn add(
    filter: &mut ScmpFilterContext,
    rule: &Rule,
    call: &Syscall,
    action: ScmpAction,
    number: ScmpSyscall,
) -> Result<(), CompileError> {
    for conditions in rule.alternatives() {
        let compares: Vec<_> = conditions.iter().map(compare).collect();
        filter
            .add_rule_conditional(action, number, &compares)
            .map_err(refused(&format!("the rule {} for `{call}`", rule.action.name())))?;
    }
    Ok(())
}

/// The machine's own number of a call that is newer than the installed libseccomp.
fn numbered(call: &Syscall) -> Option<ScmpSyscall> {
    let number = Abi::native().number(call.name()?)?;
    Some(ScmpSyscall::from(i32::try_from(number).ok()?))
}

/// The action for which a program of [`Seccomp::compile_asking`] asks with this number; `None` for one that it never gives.
#[must_use]
pub const fn asked(number: u16) -> Option<Action> {
    Some(match number {
        KILL_THREAD => Action::KillThread,
        KILL_PROCESS => Action::KillProcess,
        TRAP => Action::Trap,
        UNANSWERED => Action::Notify,
        0x1000..=0x1fff => Action::Errno(number - ERRNO),
        _ => return None,
    })
}

const fn asking(action: Action) -> ScmpAction {
    ScmpAction::Trace(match action {
        Action::Allow => return ScmpAction::Allow,
        Action::Log => return ScmpAction::Log,
        Action::Errno(errno) => ERRNO + errno,
        Action::Trace(_) | Action::Notify => UNANSWERED,
        Action::Trap => TRAP,
        Action::KillThread => KILL_THREAD,
        Action::KillProcess => KILL_PROCESS,
    })
}

/// The action itself.
const fn plainly(action: Action) -> ScmpAction {
    match action {
        Action::Allow => ScmpAction::Allow,
        Action::Log => ScmpAction::Log,
        Action::Errno(errno) => ScmpAction::Errno(errno as i32),
        Action::Trace(message) => ScmpAction::Trace(message),
        Action::Notify => ScmpAction::Notify,
        Action::Trap => ScmpAction::Trap,
        Action::KillThread => ScmpAction::KillThread,
        Action::KillProcess => ScmpAction::KillProcess,
    }
}

/// What libseccomp writes into a file.
fn exported(write: impl FnOnce(&mut File) -> Result<(), SeccompError>) -> Result<Vec<u8>, CompileError> {
    let mut file = tempfile::tempfile()?;
    write(&mut file).map_err(refused("the whole of it"))?;
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn compare(condition: &Condition) -> ScmpArgCompare {
    let (operation, value) = match condition.test {
        Test::NotEqual(value) => (ScmpCompareOp::NotEqual, value),
        Test::Less(value) => (ScmpCompareOp::Less, value),
        Test::LessOrEqual(value) => (ScmpCompareOp::LessOrEqual, value),
        Test::Equal(value) => (ScmpCompareOp::Equal, value),
        Test::GreaterOrEqual(value) => (ScmpCompareOp::GreaterEqual, value),
        Test::Greater(value) => (ScmpCompareOp::Greater, value),
        Test::MaskedEqual { mask, value } => (ScmpCompareOp::MaskedEqual(mask), value),
    };
    ScmpArgCompare::new(condition.index.into(), operation, value)
}

fn refused(what: &str) -> impl FnOnce(SeccompError) -> CompileError {
    let what = what.to_owned();
    move |source| CompileError::Refused { what, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_for_actions() {
        for action in [Action::Errno(1), Action::Errno(4095), Action::Trap, Action::KillThread, Action::KillProcess] {
            let ScmpAction::Trace(number) = asking(action) else { panic!("{action:?} is allowed") };
            assert_eq!(asked(number), Some(action));
        }
        assert_eq!(asking(Action::Allow), ScmpAction::Allow);
        assert_eq!(asked(0), None);
    }

    #[test]
    fn unknown_calls_are_never_let_through() {
        let rule =
            |action| Rule { names: [Syscall::Named("no_such_call".into())].into(), action, conditions: Vec::new() };
        let parse = |action: &str| Seccomp::parse(&format!("{{\"defaultAction\": \"{action}\"}}")).unwrap();
        let mut strict = parse("SCMP_ACT_ERRNO");
        strict.syscalls.push(rule(Action::Allow));
        assert_eq!(strict.compile_asking().unwrap().unknown.len(), 1);
        let mut lax = parse("SCMP_ACT_ALLOW");
        lax.syscalls.push(rule(Action::KillProcess));
        assert!(matches!(lax.compile_asking(), Err(CompileError::Unknown(_))));
    }
}
