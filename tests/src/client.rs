//! Owns the test's clients: one question, one answer, from a chosen source address.
//!
//! Invariant: every question ends within [`ASK_LIMIT`], and an error says how it ended. TCP clients
//! close first, so that no server port lingers in TIME_WAIT.

pub mod wire;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::Result;
use tokio::net::TcpStream;

use crate::netns::{Netns, NetnsRuntime};

/// How long a client waits for one answer, connecting included.
pub const ASK_LIMIT: Duration = Duration::from_secs(3);

/// Who answered, in its own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The version that answered.
    pub version: String,
    /// The backend's name.
    pub backend: String,
    /// The address on which the server got the question.
    pub server: IpAddr,
    /// The client's address as the server saw it.
    pub client: IpAddr,
    /// Bytes that came behind the naming line.
    pub filler_bytes: usize,
}

/// How a question went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AskError {
    /// Nobody listens: a RST to the SYN, or ICMP port unreachable.
    Refused,
    /// The connection was cut by a RST.
    Reset,
    /// No answer within [`ASK_LIMIT`].
    Timeout,
    /// The other side closed the connection in good order before it answered.
    Closed,
    /// An answer came that no server of ours gives.
    WrongData(String),
    /// Anything else, such as no route.
    Other(String),
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("refused"),
            Self::Reset => f.write_str("reset"),
            Self::Timeout => f.write_str("no answer in time"),
            Self::Closed => f.write_str("closed before the answer"),
            Self::WrongData(what) => write!(f, "wrong answer: {what}"),
            Self::Other(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for AskError {}

/// Asks from a namespace, one question after the other.
#[derive(Debug)]
pub struct Client {
    runtime: NetnsRuntime,
}

impl Client {
    /// A client in a namespace, usually [`Topology::client`](crate::topology::Topology::client).
    ///
    /// # Errors
    ///
    /// When no thread can be started.
    pub fn new(netns: &Netns) -> Result<Self> {
        Ok(Self {
            runtime: netns.runtime()?,
        })
    }

    /// Asks over a new TCP connection.
    ///
    /// # Errors
    ///
    /// When no right answer came; see [`AskError`].
    pub fn get(&self, source: IpAddr, target: SocketAddr) -> Result<Reply, AskError> {
        self.get_path(source, target, "/")
    }

    /// Asks for a path: `/bytes?n=100000`, `/slow?ms=500`.
    ///
    /// # Errors
    ///
    /// When no right answer came; see [`AskError`].
    pub fn get_path(
        &self,
        source: IpAddr,
        target: SocketAddr,
        path: &str,
    ) -> Result<Reply, AskError> {
        let path = path.to_owned();
        self.runtime
            .block_on(async move { wire::get(source, target, &path).await })
    }

    /// Asks by a UDP datagram from a new port, once.
    ///
    /// # Errors
    ///
    /// When no right answer came; see [`AskError`].
    pub fn udp_ask(&self, source: IpAddr, target: SocketAddr) -> Result<Reply, AskError> {
        self.runtime.block_on(wire::udp_ask(source, target))
    }

    /// Opens a TCP connection to be asked over and over.
    ///
    /// # Errors
    ///
    /// When the connection does not come about.
    pub fn connect(&self, source: IpAddr, target: SocketAddr) -> Result<Persistent<'_>, AskError> {
        let stream = self.runtime.block_on(wire::connect(source, target))?;
        Ok(Persistent {
            runtime: &self.runtime,
            stream: Some(stream),
            source,
        })
    }

    /// Asks many clients, `parallel` at a time, each over a new TCP connection.
    pub fn get_many(
        &self,
        clients: &[IpAddr],
        port: u16,
        parallel: usize,
    ) -> BTreeMap<IpAddr, Result<Reply, AskError>> {
        let clients = clients.to_vec();
        self.runtime.block_on(async move {
            wire::for_each(clients, parallel, move |client| async move {
                let target = crate::topology::vip_for(client, port);
                (client, wire::get(client, target, "/").await)
            })
            .await
            .into_iter()
            .collect()
        })
    }
}

/// A TCP connection that stays open between questions.
#[derive(Debug)]
pub struct Persistent<'a> {
    runtime: &'a NetnsRuntime,
    // `None` once it has failed.
    stream: Option<TcpStream>,
    source: IpAddr,
}

impl Persistent<'_> {
    /// The client's address.
    pub fn source(&self) -> IpAddr {
        self.source
    }

    /// Asks over the open connection.
    ///
    /// # Errors
    ///
    /// When no right answer came; every further question then fails with [`AskError::Closed`].
    pub fn ask(&mut self) -> Result<Reply, AskError> {
        let mut stream = self.stream.take().ok_or(AskError::Closed)?;
        let (stream, reply) = self.runtime.block_on(async move {
            let reply = wire::ask(&mut stream, "/").await;
            (stream, reply)
        });
        if reply.is_ok() {
            self.stream = Some(stream);
        }
        reply
    }
}
