//! Facts in the words by which they are compared and shown.

use crate::fact::{
    Arguments, Endpoint, IdentityFact, LimitFact, MountFact, MountOperation, NamespaceFact, NetworkFact,
    NetworkOperation, SignalFact, SignalTarget,
};
use crate::policy::apparmor::names;

/// The word of a socket family, or its number.
pub(crate) fn family(number: i32) -> String {
    names::family(number).map_or_else(|| format!("family-{number}"), str::to_owned)
}

/// What is done with which sockets, and with which address.
pub(crate) fn network(fact: &NetworkFact) -> (String, String) {
    let operation = match fact.operation {
        NetworkOperation::Create => "create",
        NetworkOperation::Pair => "pair",
        NetworkOperation::Bind => "bind",
        NetworkOperation::Connect => "connect",
        NetworkOperation::Listen => "listen",
        NetworkOperation::Accept => "accept",
        NetworkOperation::Send => "send",
        NetworkOperation::Inherit => "inherit",
    };
    let kind = names::socket_type(fact.kind).map_or_else(|| format!("type-{}", fact.kind), str::to_owned);
    let address = match fact.operation {
        NetworkOperation::Bind | NetworkOperation::Listen => &fact.local,
        NetworkOperation::Create | NetworkOperation::Pair | NetworkOperation::Inherit => &Endpoint::None,
        NetworkOperation::Connect | NetworkOperation::Accept | NetworkOperation::Send => &fact.remote,
    };
    (format!("{operation} {} {kind}", family(fact.family)), endpoint(address))
}

fn endpoint(address: &Endpoint) -> String {
    match address {
        Endpoint::None => String::new(),
        Endpoint::Inet(address, port) => std::net::SocketAddr::new(*address, *port).to_string(),
        Endpoint::Path(path) => path.to_string(),
        Endpoint::Abstract(name) => format!("@{name}"),
        Endpoint::Unnamed => "unnamed".to_owned(),
        Endpoint::Netlink(groups) => format!("groups {groups:#x}"),
        Endpoint::Other(hex) => format!("address {hex}"),
    }
}

/// The signal and its receiver.
pub(crate) fn signal(fact: &SignalFact) -> (String, String) {
    let name = names::signal(fact.signal).map_or_else(|| format!("signal-{}", fact.signal), str::to_owned);
    (name, target(&fact.to))
}

/// To whom something is done.
pub(crate) fn target(to: &SignalTarget) -> String {
    match to {
        SignalTarget::Itself => "itself".to_owned(),
        SignalTarget::Program(path) => path.to_string(),
        SignalTarget::Group => "a process group".to_owned(),
        SignalTarget::Outside => "outside of the workload".to_owned(),
    }
}

/// The namespace's kind, and whether it is joined.
pub(crate) fn namespace(fact: NamespaceFact) -> (String, &'static str) {
    (format!("{:?}", fact.kind).to_ascii_lowercase(), if fact.joined { "joined" } else { "created" })
}

/// What is mounted where, and how.
pub(crate) fn mount(fact: &MountFact) -> (String, String) {
    let MountFact { operation, source, target, filesystem, flags } = fact;
    let operation = mount_operation(*operation);
    let how = [("type", filesystem.clone()), ("of", source.clone()), ("flags", format!("{flags:#x}"))];
    let how = how.into_iter().filter(|(_, what)| !what.is_empty() && what != "0x0");
    let how = how.map(|(word, what)| format!("{word} {what}")).collect::<Vec<_>>();
    (format!("{operation} on {target}"), how.join(", "))
}

/// What is done to the mount table.
pub(super) const fn mount_operation(operation: MountOperation) -> &'static str {
    match operation {
        MountOperation::Mount => "mount",
        MountOperation::Remount => "remount",
        MountOperation::Umount => "umount",
        MountOperation::PivotRoot => "pivot_root",
    }
}

/// Which ids, and their values.
pub(crate) fn identity(fact: &IdentityFact) -> (&'static str, String) {
    let (name, (real, effective, saved)) = match *fact {
        IdentityFact::User(real, effective, saved) => ("user", (real, effective, saved)),
        IdentityFact::Group(real, effective, saved) => ("group", (real, effective, saved)),
    };
    let same = real == effective && effective == saved;
    (name, if same { real.to_string() } else { format!("{real}/{effective}/{saved}") })
}

/// Which resource, and the new hard limit.
pub(crate) fn limit(fact: &LimitFact) -> (String, String) {
    const NAMES: [&str; 16] = [
        "cpu",
        "fsize",
        "data",
        "stack",
        "core",
        "rss",
        "nproc",
        "nofile",
        "memlock",
        "as",
        "locks",
        "sigpending",
        "msgqueue",
        "nice",
        "rtprio",
        "rttime",
    ];
    let known = usize::try_from(fact.resource).ok().and_then(|number| NAMES.get(number));
    let name = known.map_or_else(|| format!("resource-{}", fact.resource), |name| (*name).to_owned());
    (name, if fact.hard == u64::MAX { "unlimited".to_owned() } else { fact.hard.to_string() })
}

/// Argument values by index: `0=0x2 1=0x1`.
pub(crate) fn arguments(arguments: &Arguments) -> String {
    let values = arguments.0.iter().map(|(index, value)| format!("{index}={value:#x}"));
    values.collect::<Vec<_>>().join(" ")
}
