//! The only code that knows registers: which call a task makes, with what, and what comes of it.

pub use self::arch::{before_call, call_of, own_call, redirect, refuse, result_of, set_first_argument, set_result};

#[cfg(target_arch = "x86_64")]
mod arch {
    //! `syscall` is two bytes long; the number is in rax, at an entry in `orig_rax`.

    use std::io;

    use libc::user_regs_struct;
    use nix::sys::ptrace::{getregs, setregs};
    use nix::unistd::Pid;

    use crate::abi::Abi;
    use crate::event::Tid;

    const SYSCALL_SIZE: u64 = 2;

    pub fn set_first_argument(tid: Tid, abi: Abi, value: u64) -> io::Result<()> {
        let pid = Pid::from_raw(tid.0);
        let mut registers = getregs(pid)?;
        match abi {
            Abi::I386 => registers.rbx = value,
            _ => registers.rdi = value,
        }
        Ok(setregs(pid, registers)?)
    }

    /// At the entry of a call: another call instead.
    pub fn redirect(tid: Tid, own: user_regs_struct, number: u64, args: [u64; 6]) -> io::Result<()> {
        let registers = user_regs_struct { orig_rax: number, ..with_arguments(own, args) };
        Ok(setregs(Pid::from_raw(tid.0), registers)?)
    }

    /// At the entry of a call: none, with this failure for a result.
    pub fn refuse(tid: Tid, own: user_regs_struct, errno: i32) -> io::Result<()> {
        let result = i64::from(-errno).cast_unsigned();
        Ok(setregs(Pid::from_raw(tid.0), user_regs_struct { orig_rax: u64::MAX, rax: result, ..own })?)
    }

    /// Behind a call: as before this one.
    pub fn before_call(own: user_regs_struct, number: u64, args: [u64; 6]) -> user_regs_struct {
        // No call is being made, so that the kernel has none to restart.
        let rip = own.rip.wrapping_sub(SYSCALL_SIZE);
        user_regs_struct { rip, rax: number, orig_rax: u64::MAX, ..with_arguments(own, args) }
    }

    /// Behind a call: as before the task's own.
    pub fn own_call(own: user_regs_struct) -> user_regs_struct {
        let args = [own.rdi, own.rsi, own.rdx, own.r10, own.r8, own.r9];
        before_call(own, own.orig_rax, args)
    }

    fn with_arguments(own: user_regs_struct, [rdi, rsi, rdx, r10, r8, r9]: [u64; 6]) -> user_regs_struct {
        user_regs_struct { rdi, rsi, rdx, r10, r8, r9, ..own }
    }

    pub const fn result_of(registers: &user_regs_struct) -> i64 {
        registers.rax.cast_signed()
    }

    pub const fn set_result(registers: &mut user_regs_struct, result: i64) {
        registers.rax = result.cast_unsigned();
    }

    /// The number of the call that it stands behind.
    pub const fn call_of(registers: &user_regs_struct) -> u64 {
        registers.orig_rax
    }
}

#[cfg(target_arch = "aarch64")]
mod arch {
    //! `svc` is four bytes long; the number is in x8, at an entry in the register set `NT_ARM_SYSTEM_CALL`.

    use std::io;

    use libc::user_regs_struct;
    use nix::sys::ptrace::{getregs, setregs};
    use nix::unistd::Pid;

    use crate::abi::Abi;
    use crate::capture::ptrace::sys;
    use crate::event::Tid;

    const SVC_SIZE: u64 = 4;

    pub fn set_first_argument(tid: Tid, _abi: Abi, value: u64) -> io::Result<()> {
        let pid = Pid::from_raw(tid.0);
        let mut registers = getregs(pid)?;
        registers.regs[0] = value;
        Ok(setregs(pid, registers)?)
    }

    /// At the entry of a call: another call instead.
    pub fn redirect(tid: Tid, own: user_regs_struct, number: u64, args: [u64; 6]) -> io::Result<()> {
        setregs(Pid::from_raw(tid.0), with_call(own, number, args))?;
        sys::set_syscall_number(tid, number)
    }

    /// At the entry of a call: none, with this failure for a result.
    pub fn refuse(tid: Tid, mut own: user_regs_struct, errno: i32) -> io::Result<()> {
        sys::set_syscall_number(tid, u64::MAX)?;
        own.regs[0] = i64::from(-errno).cast_unsigned();
        Ok(setregs(Pid::from_raw(tid.0), own)?)
    }

    /// Behind a call: as before this one.
    pub fn before_call(own: user_regs_struct, number: u64, args: [u64; 6]) -> user_regs_struct {
        user_regs_struct { pc: own.pc.wrapping_sub(SVC_SIZE), ..with_call(own, number, args) }
    }

    /// Behind a call: as before the task's own.
    pub fn own_call(own: user_regs_struct) -> user_regs_struct {
        user_regs_struct { pc: own.pc.wrapping_sub(SVC_SIZE), ..own }
    }

    fn with_call(mut own: user_regs_struct, number: u64, args: [u64; 6]) -> user_regs_struct {
        for (register, value) in own.regs.iter_mut().zip(args) {
            *register = value;
        }
        own.regs[8] = number;
        own
    }

    pub const fn result_of(registers: &user_regs_struct) -> i64 {
        registers.regs[0].cast_signed()
    }

    pub const fn set_result(registers: &mut user_regs_struct, result: i64) {
        registers.regs[0] = result.cast_unsigned();
    }

    /// The number of the call that it stands behind.
    pub const fn call_of(registers: &user_regs_struct) -> u64 {
        registers.regs[8]
    }
}
