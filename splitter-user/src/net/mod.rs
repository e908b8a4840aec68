//! Owns what the kernel knows of the network: links, routes, neighbours and sysctls, read through
//! rtnetlink and /proc of the namespace that the daemon runs in.
//!
//! Invariant: nothing here decides; callers get facts. Interface numbers are the kernel's.

pub mod hops;
pub mod link;
pub mod sysctl;
pub mod watch;

use std::{collections::BTreeSet, io, net::IpAddr};

use futures_util::TryStreamExt as _;
use rtnetlink::{
    Handle,
    packet_route::address::{AddressAttribute, AddressMessage},
};
use thiserror::Error;

use self::link::LinkInfo;

/// Why the kernel could not be asked.
#[derive(Debug, Error)]
pub enum NetError {
    /// No netlink socket.
    #[error("netlink socket: {0}")]
    Socket(#[from] io::Error),
    /// A request failed.
    #[error("{what}: {error}")]
    Request {
        /// What was asked.
        what: &'static str,
        /// What came back.
        error: rtnetlink::Error,
    },
}

/// A connection to the kernel's routing tables.
#[derive(Clone)]
pub struct Net {
    handle: Handle,
}

impl Net {
    /// Connects, in the network namespace of the calling thread. Needs a tokio runtime around it.
    pub fn connect() -> Result<Self, NetError> {
        let (connection, handle, _) = rtnetlink::new_connection()?;
        tokio::spawn(connection);
        Ok(Self { handle })
    }

    /// All interfaces.
    pub async fn links(&self) -> Result<Vec<LinkInfo>, NetError> {
        let links = self.handle.link().get().execute();
        let failed = |error| NetError::Request {
            what: "interfaces",
            error,
        };
        let messages: Vec<_> = links.try_collect().await.map_err(failed)?;
        Ok(messages.iter().filter_map(LinkInfo::read).collect())
    }

    /// The addresses of this host's interfaces.
    pub async fn own_addresses(&self) -> Result<BTreeSet<IpAddr>, NetError> {
        let failed = |error| NetError::Request {
            what: "addresses",
            error,
        };
        let addresses = self.handle.address().get().execute();
        let messages: Vec<_> = addresses.try_collect().await.map_err(failed)?;
        Ok(messages.iter().filter_map(own_address).collect())
    }
}

/// On a point-to-point link `Address` is the other end; IPv6 has no `Local` elsewhere.
fn own_address(message: &AddressMessage) -> Option<IpAddr> {
    let find = |wanted: fn(&AddressAttribute) -> Option<IpAddr>| {
        message.attributes.iter().find_map(wanted)
    };
    let local = find(|attribute| match attribute {
        AddressAttribute::Local(address) => Some(*address),
        // The enum is the library's and may grow.
        _ => None,
    });
    local.or_else(|| {
        find(|attribute| match attribute {
            AddressAttribute::Address(address) => Some(*address),
            // As above.
            _ => None,
        })
    })
}
