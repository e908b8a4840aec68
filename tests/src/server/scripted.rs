//! Owns servers that do with every connection what a test says.
//!
//! Invariant: they run in their backend's namespace and stop when the value is dropped.

use std::io;
use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result};
use tokio::net::{TcpListener, TcpStream};

use crate::netns::NetnsRuntime;
use crate::topology::{Backend, Topology};

/// A running server on a backend, IPv4 and IPv6.
#[derive(Debug)]
pub struct Scripted {
    /// Stops it when it is dropped.
    _runtime: NetnsRuntime,
}

impl Scripted {
    /// Starts a server on every backend; `serve` is called with its version and each connection.
    ///
    /// # Errors
    ///
    /// When the port is taken somewhere.
    pub fn start_all<S, F>(topology: &Topology, port: u16, serve: S) -> Result<Vec<Self>>
    where
        S: Fn(String, TcpStream) -> F + Clone + Send + 'static,
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let backends = topology.backends.iter();
        backends
            .map(|backend| Self::start(backend, port, serve.clone()))
            .collect()
    }

    fn start<S, F>(backend: &Backend, port: u16, serve: S) -> Result<Self>
    where
        S: Fn(String, TcpStream) -> F + Clone + Send + 'static,
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let runtime = backend.netns.runtime()?;
        for address in [IpAddr::from(backend.v4), IpAddr::from(backend.v6)] {
            let address = SocketAddr::new(address, port);
            let listener = runtime.block_on(TcpListener::bind(address));
            let listener = listener.with_context(|| format!("cannot listen on {address}"))?;
            let (serve, version) = (serve.clone(), backend.version.clone());
            runtime.spawn(async move {
                loop {
                    // A connection that was reset in the queue is no reason to stop.
                    if let Ok((stream, _)) = listener.accept().await
                        && stream.set_nodelay(true).is_ok()
                    {
                        // What goes wrong on a connection its client reports.
                        tokio::spawn(serve(version.clone(), stream));
                    }
                }
            });
        }
        Ok(Self { _runtime: runtime })
    }
}
