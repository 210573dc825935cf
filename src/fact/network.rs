//! Sockets.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::path::AbsPath;

/// The use of one socket.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NetworkFact {
    /// Address family, `AF_*`.
    pub family: i32,
    /// Socket type, `SOCK_*`, without flags.
    #[serde(rename = "type")]
    pub kind: i32,
    /// Protocol number as the kernel reports it.
    pub protocol: i32,
    /// What was done.
    pub operation: NetworkOperation,
    /// The socket's own address.
    #[serde(default, skip_serializing_if = "Endpoint::is_none")]
    pub local: Endpoint,
    /// The peer's address. Of an accepted connection the port is left out: it is the client's choice.
    #[serde(default, skip_serializing_if = "Endpoint::is_none")]
    pub remote: Endpoint,
}

/// What was done with a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkOperation {
    /// `socket(2)`.
    Create,
    /// `socketpair(2)`.
    Pair,
    /// `bind(2)`.
    Bind,
    /// `connect(2)`.
    Connect,
    /// `listen(2)`.
    Listen,
    /// `accept(2)`.
    Accept,
    /// `sendto(2)` and the like with an address.
    Send,
    /// Open when the program began to run: another program had made it.
    Inherit,
}

/// One end of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Endpoint {
    /// None, or not known.
    #[default]
    None,
    /// An internet address and port; port 0 stands for "chosen by the kernel" or "any".
    Inet(IpAddr, u16),
    /// A Unix socket in the file system.
    Path(AbsPath),
    /// A Unix socket in the abstract namespace, without the leading NUL, as [`crate::path::to_text`].
    Abstract(String),
    /// A Unix socket without a name.
    Unnamed,
    /// Netlink multicast groups.
    Netlink(u32),
    /// An address of another family, in hexadecimal.
    Other(String),
}

impl Endpoint {
    /// Whether there is no address.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }
}
