//! POSIX message queues (`mq_overview(7)`): which ones are opened and removed, and for what.

use super::scene::{Decode, Scene};
use crate::event::{Outcome, Target};
use crate::fact::{Fact, QueueAccess, QueueFact};
use crate::path::AbsPath;

/// Says what is done with the queue that argument 0 names. The C library takes the slash off its name.
fn named(scene: &mut Scene<'_>, accesses: &[QueueAccess]) {
    if let Some(name) = scene.text(0).and_then(|name| AbsPath::root().join(&name).ok()) {
        say(scene, &name, accesses);
    }
}

fn say(scene: &mut Scene<'_>, name: &AbsPath, accesses: &[QueueAccess]) {
    for &access in accesses {
        scene.say(Fact::Queue(QueueFact { name: name.clone(), access }));
    }
}

/// `mq_open(2)`. With `O_CREAT` it counts as creating the queue even if that was there, of which only `/dev/mqueue` would
/// tell, where it is mounted and belongs to the task's IPC namespace; and since queues do not outlive a boot, the next run
/// may have to. One that fails because of `O_EXCL` took no effect, and needs nothing.
pub(super) struct Open;

impl Decode for Open {
    fn enter(&self, scene: &mut Scene<'_>) {
        let flags = scene.int(1);
        let mut accesses = vec![QueueAccess::Open];
        match flags & libc::O_ACCMODE {
            libc::O_RDONLY => accesses.push(QueueAccess::Read),
            libc::O_WRONLY => accesses.push(QueueAccess::Write),
            _ => accesses.extend([QueueAccess::Read, QueueAccess::Write]),
        }
        if flags & libc::O_CREAT != 0 {
            accesses.push(QueueAccess::Create);
        }
        named(scene, &accesses);
    }
}

/// `mq_unlink(2)`.
pub(super) struct Unlink;

impl Decode for Unlink {
    fn enter(&self, scene: &mut Scene<'_>) {
        named(scene, &[QueueAccess::Delete]);
    }
}

/// `mq_getsetattr(2)`.
pub(super) struct Attributes;

impl Decode for Attributes {
    fn leave(&self, scene: &mut Scene<'_>, outcome: Outcome) {
        // It succeeds on a queue alone, and the link of one is its name.
        let target = scene.view.descriptor(scene.int(0)).map(|descriptor| descriptor.target);
        if let (Outcome::Returned(_), Ok(Target::Path(name) | Target::Deleted(name))) = (outcome, target) {
            let set = [QueueAccess::Setattr, QueueAccess::Getattr];
            say(scene, &name, if scene.arg(1) == 0 { &set[1..] } else { &set });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::Abi;
    use crate::decode::fake::{Bench, path};

    #[test]
    fn queues_are_told_by_name_and_use() {
        use QueueAccess::{Create, Delete, Getattr, Open, Read, Setattr, Write};
        for abi in Abi::ALL {
            let mut bench = Bench::user(abi);
            let name = 0x5000;
            bench.view.map(name, b"jobs\0");
            bench.view.file("/jobs", libc::S_IFREG | 0o600, (0, 0));
            bench.view.open(3, "/jobs");
            let mut used = |call: &str, args: &[u64]| {
                let facts = bench.call(call, args);
                let queues =
                    facts.into_iter().filter_map(|fact| if let Fact::Queue(fact) = fact { Some(fact) } else { None });
                queues.inspect(|fact| assert_eq!(fact.name, path("/jobs"))).map(|fact| fact.access).collect::<Vec<_>>()
            };
            let flags = |flags: i32| u64::from(flags.cast_unsigned());
            assert_eq!(used("mq_open", &[name, flags(libc::O_RDONLY)]), [Open, Read], "{abi}");
            assert_eq!(used("mq_open", &[name, flags(libc::O_WRONLY | libc::O_CREAT)]), [Open, Write, Create]);
            assert_eq!(used("mq_open", &[name, flags(libc::O_RDWR)]), [Open, Read, Write]);
            assert_eq!(used("mq_unlink", &[name]), [Delete]);
            assert_eq!(used("mq_getsetattr", &[3, 0, name]), [Getattr]);
            assert_eq!(used("mq_getsetattr", &[3, name, 0]), [Setattr, Getattr]);
        }
    }
}
