//! What a workload is confined by before it executes: kept capabilities, `no_new_privs`, a seccomp filter. Pure; the
//! calls are made in `ptrace/sys/launch.rs`.
//!
//! # The filter
//!
//! Everything that a profile denies is compiled as `SECCOMP_RET_TRACE` with a number of the caller's as its data, so that
//! only denied calls stop and the [`crate::event::Sink`] decides what becomes of them. Of all filters of a task the
//! strictest verdict counts (`seccomp(2)`): a filter that the workload installs itself can refuse more, and is not asked
//! about it; it cannot allow what this one stops. Without a tracer (`CLONE_UNTRACED`) the kernel answers ENOSYS.
//!
//! A call that is to kill becomes another one, of a number that no kernel has, and the filter, which is asked again, kills
//! for it: so it ends as the kernel itself would end it.

/// A filter's instruction, the eight bytes of a `struct sock_filter` (`linux/filter.h`).
pub type Instruction = [u8; 8];

/// In place of a call for which the process is to be killed. A workload that makes this call itself is killed.
pub(super) const KILL_PROCESS: u32 = 0x3fff_fff0;
/// In place of a call for which the thread is to be killed.
pub(super) const KILL_THREAD: u32 = 0x3fff_fff1;

const LOAD_WORD: u16 = 0x20;
const JUMP_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;
const RET_KILL_PROCESS: u32 = 0x8000_0000;
const RET_KILL_THREAD: u32 = 0;
const RET_ALLOW: u32 = 0x7fff_0000;

/// What confines a workload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confinement {
    /// The capabilities that its bounding set and all other sets are reduced to, bit N for capability N; `None` leaves them.
    pub capabilities: Option<u64>,
    /// Whether it gets `no_new_privs` (`prctl(2)`).
    pub no_new_privs: bool,
    /// The seccomp filter; see [`mod@self`].
    pub filter: Option<Vec<Instruction>>,
}

/// A filter that denies nothing, under which nothing stops.
#[must_use]
pub fn nothing_denied() -> Vec<Instruction> {
    vec![instruction(RETURN, 0, 0, RET_ALLOW)]
}

/// The filter as it is loaded: the two numbers to kill by, then `program`.
pub(super) fn loaded(program: &[Instruction]) -> Vec<Instruction> {
    let kills = [(KILL_PROCESS, RET_KILL_PROCESS), (KILL_THREAD, RET_KILL_THREAD)];
    let kills = kills
        .into_iter()
        .flat_map(|(number, verdict)| [instruction(JUMP_EQUAL, 0, 1, number), instruction(RETURN, 0, 0, verdict)]);
    std::iter::once(instruction(LOAD_WORD, 0, 0, 0)).chain(kills).chain(program.iter().copied()).collect()
}

const fn instruction(code: u16, jump_true: u8, jump_false: u8, operand: u32) -> Instruction {
    let [code0, code1] = code.to_ne_bytes();
    let [k0, k1, k2, k3] = operand.to_ne_bytes();
    [code0, code1, jump_true, jump_false, k0, k1, k2, k3]
}
