//! Calls that i386 reaches through another one, as libseccomp has it: its rules for them hold for both ways
//! (`socketcall(2)`, `ipc(2)`; libseccomp `src/arch-x86.c`).

use crate::abi::{Abi, Syscall};

const SOCKETCALL: [(u32, &str); 20] = [
    (1, "socket"),
    (2, "bind"),
    (3, "connect"),
    (4, "listen"),
    (5, "accept"),
    (6, "getsockname"),
    (7, "getpeername"),
    (8, "socketpair"),
    (9, "send"),
    (10, "recv"),
    (11, "sendto"),
    (12, "recvfrom"),
    (13, "shutdown"),
    (14, "setsockopt"),
    (15, "getsockopt"),
    (16, "sendmsg"),
    (17, "recvmsg"),
    (18, "accept4"),
    (19, "recvmmsg"),
    (20, "sendmmsg"),
];

const IPC: [(u32, &str); 12] = [
    (1, "semop"),
    (2, "semget"),
    (3, "semctl"),
    (4, "semtimedop"),
    (11, "msgsnd"),
    (12, "msgrcv"),
    (13, "msgget"),
    (14, "msgctl"),
    (21, "shmat"),
    (22, "shmdt"),
    (23, "shmget"),
    (24, "shmctl"),
];

/// The calls that `call` makes, by its first argument.
pub(super) fn reached_by(abi: Abi, call: &Syscall) -> &'static [(u32, &'static str)] {
    match (abi, call.name()) {
        (Abi::I386, Some("socketcall")) => &SOCKETCALL,
        (Abi::I386, Some("ipc")) => &IPC,
        _ => &[],
    }
}
