//! What is put into a stopped task: the only code that knows registers.
//!
//! `CLONE_UNTRACED` would let a new task escape from its tracer (`clone(2)`), so the bit is borrowed for the length
//! of the call: cleared at its entry, and put back in parent and child afterwards.

use std::io::{self, IoSlice};

use nix::sys::ptrace::{getregs, setregs};
use nix::sys::uio::{RemoteIoVec, process_vm_writev};
use nix::unistd::Pid;

use super::view::View;
use crate::abi::Abi;
use crate::event::{Call, TaskView, Tid};

const CLONE_UNTRACED: u64 = 0x0080_0000;

/// What was changed in a task and is to be put back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Borrowed {
    /// The register of the first argument had this value.
    FirstArgument(Abi, u64),
    /// The flags of `struct clone_args` at this address had this value.
    CloneArgs(u64, u64),
}

/// Clears `CLONE_UNTRACED` in a clone that a task is about to make. `None` when it is not set.
///
/// # Errors
/// When registers or memory cannot be changed: the new task will not be traced.
pub fn borrow_untraced(view: View, call: &Call, clone3: bool) -> io::Result<Option<Borrowed>> {
    let [first, ..] = call.args;
    if !clone3 {
        if first & CLONE_UNTRACED == 0 {
            return Ok(None);
        }
        set_first_argument(view.tid, call.abi, first & !CLONE_UNTRACED)?;
        return Ok(Some(Borrowed::FirstArgument(call.abi, first)));
    }
    let mut flags = [0; 8];
    if view.read(first, &mut flags)? < flags.len() {
        return Ok(None); // The kernel will answer EFAULT.
    }
    let flags = u64::from_le_bytes(flags);
    if flags & CLONE_UNTRACED == 0 {
        return Ok(None);
    }
    write_word(view.tid, first, flags & !CLONE_UNTRACED)?;
    Ok(Some(Borrowed::CloneArgs(first, flags)))
}

/// Puts back what was borrowed, in a task that stands at the end of its clone or at its very beginning.
///
/// # Errors
/// `ESRCH` when the task died.
pub fn give_back(tid: Tid, borrowed: Borrowed) -> io::Result<()> {
    match borrowed {
        Borrowed::FirstArgument(abi, value) => set_first_argument(tid, abi, value),
        Borrowed::CloneArgs(address, flags) => write_word(tid, address, flags),
    }
}

fn write_word(tid: Tid, address: u64, word: u64) -> io::Result<()> {
    let base = usize::try_from(address).map_err(|_| io::Error::from_raw_os_error(libc::EFAULT))?;
    let bytes = word.to_le_bytes();
    let to = [RemoteIoVec { base, len: bytes.len() }];
    let written = process_vm_writev(Pid::from_raw(tid.0), &[IoSlice::new(&bytes)], &to)?;
    if written == bytes.len() { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::EFAULT)) }
}

#[cfg(target_arch = "x86_64")]
fn set_first_argument(tid: Tid, abi: Abi, value: u64) -> io::Result<()> {
    let pid = Pid::from_raw(tid.0);
    let mut registers = getregs(pid)?;
    match abi {
        Abi::I386 => registers.rbx = value,
        _ => registers.rdi = value,
    }
    Ok(setregs(pid, registers)?)
}

#[cfg(target_arch = "aarch64")]
fn set_first_argument(tid: Tid, _abi: Abi, value: u64) -> io::Result<()> {
    let pid = Pid::from_raw(tid.0);
    let mut registers = getregs(pid)?;
    registers.regs[0] = value;
    Ok(setregs(pid, registers)?)
}
