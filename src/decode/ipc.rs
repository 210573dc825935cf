//! System V shared memory, semaphores and message queues (`sysvipc(7)`): what their modes do not grant.
//!
//! The kernel's list of them is that of the learner's own IPC namespace; of objects elsewhere nothing is said.

use super::memory;
use super::read;
use super::scene::{Decode, Scene, Values, value};
use crate::event::Credentials;
use crate::fact::{Capability, Operation};

/// Which kind of object, by the name of its list in `/proc/sysvipc`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Memory,
    Semaphores,
    Queue,
}

impl Kind {
    const fn list(self) -> &'static str {
        match self {
            Self::Memory => "sysvipc/shm",
            Self::Semaphores => "sysvipc/sem",
            Self::Queue => "sysvipc/msg",
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Memory => "shared memory",
            Self::Semaphores => "semaphores",
            Self::Queue => "a message queue",
        }
    }
}

/// One object.
struct Object {
    mode: u32,
    size: u64,
    users: [u32; 2],
    groups: [u32; 2],
}

/// The object whose `column` (`key` or that of the identifier) is `wanted`.
fn find(scene: &Scene<'_>, kind: Kind, by_key: bool, wanted: i32) -> Option<Object> {
    let text = scene.view.proc(kind.list()).ok()?;
    let mut lines = std::str::from_utf8(&text).ok()?.lines();
    let names: Vec<_> = lines.next()?.split_whitespace().collect();
    let rows = lines.map(|line| line.split_whitespace().collect::<Vec<_>>());
    let place = |name: &str| names.iter().position(|known| *known == name);
    let identity = if by_key { place("key") } else { Some(1) }?;
    let row = rows.into_iter().find(|row| row.get(identity).and_then(|text| text.parse().ok()) == Some(wanted))?;
    let field = |name: &str| place(name).and_then(|place| row.get(place)).copied();
    let id = |name: &str| field(name)?.parse().ok();
    Some(Object {
        mode: u32::from_str_radix(field("perms")?, 8).ok()?,
        size: field("size").and_then(|text| text.parse().ok()).unwrap_or_default(),
        users: [id("uid")?, id("cuid")?],
        groups: [id("gid")?, id("cgid")?],
    })
}

impl Object {
    fn is_of(&self, who: &Credentials) -> bool {
        self.users.contains(&who.uid[1])
    }

    /// Whether the mode grants `wanted`, `rwx` bits (`ipcperms()`, `ipc/util.c`).
    fn grants(&self, who: &Credentials, wanted: u32) -> bool {
        let shift = match () {
            () if self.is_of(who) => 6,
            () if self.groups.iter().any(|&group| who.in_group(group)) => 3,
            () => 0,
        };
        (self.mode >> shift) & wanted == wanted
    }
}

const READ: u32 = 4;
const WRITE: u32 = 2;

/// Says that the mode of an object does not grant `wanted`.
fn need(scene: &mut Scene<'_>, kind: Kind, object: &Object, wanted: u32) {
    if scene.credentials().is_some_and(|who| !object.grants(&who, wanted)) {
        scene.guarded(Capability::IpcOwner, format!("use {} of user {}", kind.word(), object.users[0]));
    }
}

/// `shmget(2)`, `semget(2)`, `msgget(2)`.
pub(super) struct Get {
    /// What is asked for.
    pub(super) kind: Kind,
    /// The argument with mode and flags.
    pub(super) flags: usize,
}

impl Decode for Get {
    fn enter(&self, scene: &mut Scene<'_>) {
        const SHM_HUGETLB: u32 = 0o4000;
        let flags = scene.uint(self.flags);
        if self.kind == Kind::Memory && flags & SHM_HUGETLB != 0 {
            let doubt = "members of hugetlb_shm_group need none";
            scene.doubtful(Capability::IpcLock, "shared memory of huge pages", doubt);
        }
        let key = scene.int(0);
        let Some(object) = find(scene, self.kind, true, key).filter(|_| key != libc::IPC_PRIVATE) else {
            return;
        };
        let Some(who) = scene.credentials() else { return };
        let wanted = (flags >> 6 | flags >> 3 | flags) & 7;
        if object.grants(&who, wanted) && !object.grants(&who, READ | WRITE) {
            let what = format!("use {} of user {}", self.kind.word(), object.users[0]);
            scene.doubtful(Capability::IpcOwner, what, "what is done to it afterwards is not looked at");
        } else {
            need(scene, self.kind, &object, wanted);
        }
    }
}

/// `shmat(2)`.
pub(super) struct Attach;

impl Decode for Attach {
    fn enter(&self, scene: &mut Scene<'_>) {
        let wanted = if scene.int(2) & libc::SHM_RDONLY == 0 { READ | WRITE } else { READ };
        if let Some(object) = find(scene, Kind::Memory, false, scene.int(0)) {
            need(scene, Kind::Memory, &object, wanted);
        }
    }
}

/// `shmctl(2)`, `semctl(2)`, `msgctl(2)`.
pub(super) struct Control {
    /// Of what.
    pub(super) kind: Kind,
    /// The argument with the command.
    pub(super) command: u8,
}

const SHM_LOCK: i32 = 11;
const SHM_UNLOCK: i32 = 12;
const SETVAL: i32 = 16;
const SETALL: i32 = 17;

impl Control {
    fn is_guarded(&self, command: i32) -> bool {
        let own: &[i32] = match self.kind {
            Kind::Memory => &[SHM_LOCK, SHM_UNLOCK],
            Kind::Semaphores => &[SETVAL, SETALL],
            Kind::Queue => &[],
        };
        matches!(command, libc::IPC_RMID | libc::IPC_SET | libc::IPC_STAT) || own.contains(&command)
    }
}

/// The command without `IPC_64`, which 32-bit programs add.
const fn plain(command: i32) -> i32 {
    command & !0x100
}

impl Decode for Control {
    fn enter(&self, scene: &mut Scene<'_>) {
        let command = plain(scene.int(usize::from(self.command)));
        if !self.is_guarded(command) {
            return;
        }
        let found = find(scene, self.kind, false, scene.int(0)).zip(scene.credentials());
        let Some((object, who)) = found else { return };
        match command {
            // ipcctl_obtain_check(), ipc/util.c
            libc::IPC_RMID | libc::IPC_SET if !object.is_of(&who) => {
                let what = format!("change {} of user {}", self.kind.word(), object.users[0]);
                scene.guarded(Capability::SysAdmin, what);
            }
            libc::IPC_STAT => need(scene, self.kind, &object, READ),
            SETVAL | SETALL if self.kind == Kind::Semaphores => need(scene, self.kind, &object, WRITE),
            SHM_LOCK | SHM_UNLOCK if self.kind == Kind::Memory => lock(scene, &object, &who, command == SHM_LOCK),
            _ => {}
        }
    }

    fn quiet(&self, values: &Values) -> bool {
        value(values, self.command).is_some_and(|command| !self.is_guarded(plain(read::int(command))))
    }
}

/// `shmctl_do_lock()`, `ipc/shm.c`: for its owner, within the limit.
fn lock(scene: &mut Scene<'_>, object: &Object, who: &Credentials, on: bool) {
    let limit = memory::limit(scene, memory::RLIMIT_MEMLOCK).map_or(u64::MAX, |(soft, _)| soft);
    if !object.is_of(who) || (on && object.size > limit) {
        let what = "lock shared memory of others, or beyond RLIMIT_MEMLOCK".to_owned();
        scene.check(Operation::Privileged { capability: Capability::IpcLock, what });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::Abi;
    use crate::decode::fake::{Bench, operations};

    const LIST: &str =
        "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime
        17          4  1640                  8192     9     9      0    33    33    33    33          0
         0          5   600                    64     9     9      0  1000  1000  1000  1000          0
";

    fn asked(facts: &[crate::fact::Fact]) -> Vec<(Capability, bool)> {
        let of = |operation: &Operation| match operation {
            Operation::Privileged { capability, .. } => (*capability, true),
            Operation::Doubtful { capability, .. } => (*capability, false),
            other => panic!("{other:?}"),
        };
        operations(facts).iter().map(of).collect()
    }

    #[test]
    fn modes_are_judged_as_the_kernel_does() {
        use Capability::{IpcLock, IpcOwner, SysAdmin};
        for abi in Abi::ALL {
            let mut bench = Bench::user(abi);
            bench.view.proc.borrow_mut().insert("sysvipc/shm".to_owned(), LIST.as_bytes().to_vec());
            let mut call = |name: &str, args: &[u64]| asked(&bench.call(name, args));
            assert_eq!(call("shmget", &[17, 64, 0o600]), [(IpcOwner, true)], "{abi}");
            assert_eq!(call("shmget", &[17, 64, 0]), [(IpcOwner, false)], "what it does with it is not known");
            assert_eq!(call("shmget", &[0, 64, 0o600]), [], "a new one");
            assert_eq!(call("shmget", &[18, 64, 0o600]), [], "there is none");
            assert_eq!(call("shmat", &[4, 0, 0]), [(IpcOwner, true)]);
            assert_eq!(call("shmat", &[5, 0, 0]), []);
            assert_eq!(call("shmctl", &[4, 0, 0]), [(SysAdmin, true)]);
            assert_eq!(call("shmctl", &[4, 0x100, 0]), [(SysAdmin, true)], "IPC_64");
            assert_eq!(call("shmctl", &[5, 0, 0]), []);
            assert_eq!(call("shmctl", &[4, 11, 0]), [(IpcLock, true)]);
            assert_eq!(call("shmctl", &[5, 11, 0]), []);
            assert_eq!(call("shmctl", &[4, 2, 0]), [(IpcOwner, true)]);
            bench.view.who.borrow_mut().gid = [33; 4];
            bench.call("setgid", &[33]);
            let mut call = |name: &str, args: &[u64]| asked(&bench.call(name, args));
            assert_eq!(call("shmat", &[4, 0, u64::from(libc::SHM_RDONLY.cast_unsigned())]), [], "by its group");
            assert_eq!(call("shmget", &[17, 64, 0o600]), [(IpcOwner, true)]);
        }
    }
}
