//! Owns the servers of a backend: HTTP/1.1 over TCP and an echo over UDP, both on one port.
//!
//! Invariant: every answer names who gave it, in one line that [`Reply`](crate::client::Reply)
//! reads: `version backend server-address client-address`. The servers run in their backend's
//! namespace and stop when the value is dropped.

mod http;
mod scripted;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use tokio::net::{TcpListener, UdpSocket};

use crate::netns::NetnsRuntime;
use crate::topology::{Backend, Topology};

pub use scripted::Scripted;

/// The largest UDP payload that is echoed, in bytes.
const DATAGRAM_MAX: usize = 65_507;

/// A running pair of servers on a backend.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    /// Stops the servers when it is dropped.
    _runtime: NetnsRuntime,
}

/// What all connections of a server have in common.
#[derive(Debug)]
struct Shared {
    version: String,
    backend: String,
    connections_accepted: AtomicU64,
    requests_served: AtomicU64,
    datagrams_answered: AtomicU64,
}

impl Shared {
    /// The line that names who answers.
    fn line(&self, server: IpAddr, client: IpAddr) -> String {
        format!("{} {} {server} {client}\n", self.version, self.backend)
    }
}

impl Server {
    /// Starts the servers of a backend on `port`, for IPv4 and IPv6, TCP and UDP.
    ///
    /// # Errors
    ///
    /// When the port is taken.
    pub fn start(backend: &Backend, port: u16) -> Result<Self> {
        Self::start_at(backend, port, &[backend.v4.into(), backend.v6.into()])
    }

    /// The same at other addresses; datagrams are answered from a right one only where none of them
    /// stands for all.
    ///
    /// # Errors
    ///
    /// When the port is taken.
    pub fn start_at(backend: &Backend, port: u16, addresses: &[IpAddr]) -> Result<Self> {
        let shared = Arc::new(Shared {
            version: backend.version.clone(),
            backend: backend.name.clone(),
            connections_accepted: AtomicU64::new(0),
            requests_served: AtomicU64::new(0),
            datagrams_answered: AtomicU64::new(0),
        });
        let runtime = backend.netns.runtime()?;
        for address in addresses {
            let address = SocketAddr::new(*address, port);
            let bound = runtime.block_on(async move {
                let listener = TcpListener::bind(address).await?;
                let socket = UdpSocket::bind(address).await?;
                std::io::Result::Ok((listener, socket))
            });
            let (listener, socket) =
                bound.with_context(|| format!("cannot listen on {address}"))?;
            runtime.spawn(accept(listener, Arc::clone(&shared)));
            runtime.spawn(echo(socket, Arc::clone(&shared)));
        }
        Ok(Self {
            shared,
            _runtime: runtime,
        })
    }

    /// Starts the servers of every backend.
    ///
    /// # Errors
    ///
    /// When the port is taken somewhere.
    pub fn start_all(topology: &Topology, port: u16) -> Result<Vec<Self>> {
        let backends = topology.backends.iter();
        backends.map(|backend| Self::start(backend, port)).collect()
    }

    /// The version that it serves.
    pub fn version(&self) -> &str {
        &self.shared.version
    }

    /// The backend's name.
    pub fn backend(&self) -> &str {
        &self.shared.backend
    }

    /// TCP connections accepted so far.
    pub fn connections_accepted(&self) -> u64 {
        self.shared.connections_accepted.load(Ordering::Relaxed)
    }

    /// HTTP requests answered so far.
    pub fn requests_served(&self) -> u64 {
        self.shared.requests_served.load(Ordering::Relaxed)
    }

    /// UDP datagrams answered so far.
    pub fn datagrams_answered(&self) -> u64 {
        self.shared.datagrams_answered.load(Ordering::Relaxed)
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        // A connection that was reset in the queue is no reason to stop.
        if let Ok((stream, client)) = listener.accept().await {
            shared.connections_accepted.fetch_add(1, Ordering::Relaxed);
            let shared = Arc::clone(&shared);
            tokio::spawn(async move {
                // What goes wrong on a connection is for its client to notice and report.
                let _ = http::serve(stream, client, &shared).await;
            });
        }
    }
}

/// Answers every datagram with the naming line and the payload behind it.
async fn echo(socket: UdpSocket, shared: Arc<Shared>) {
    let mut buffer = vec![0; DATAGRAM_MAX];
    loop {
        // An error here is an ICMP message about an earlier answer.
        let Ok((length, client)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        let Ok(server) = socket.local_addr() else {
            continue;
        };
        let mut answer = shared.line(server.ip(), client.ip()).into_bytes();
        answer.extend_from_slice(&buffer[..length]);
        // Counted first, so that a client that has its answer finds it counted.
        shared.datagrams_answered.fetch_add(1, Ordering::Relaxed);
        // What is lost here the client reports.
        let _ = socket.send_to(&answer, client).await;
    }
}
