//! Owns what the kernel knows of the network: links, routes, neighbours and sysctls, read through
//! rtnetlink and /proc of the namespace that the daemon runs in.
//!
//! Invariant: nothing here decides; callers get facts. Interface numbers are the kernel's.

pub mod hops;
pub mod link;
pub mod sysctl;
pub mod watch;

use std::io;

use futures_util::TryStreamExt as _;
use rtnetlink::Handle;
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

    /// An interface; `None` when there is none of that name.
    pub async fn link(&self, name: &str) -> Result<Option<LinkInfo>, NetError> {
        Ok(self
            .links()
            .await?
            .into_iter()
            .find(|link| link.name == name))
    }
}
