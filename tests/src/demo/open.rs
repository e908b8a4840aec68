//! Owns the connections that stay open across the changes.
//!
//! Invariant: a connection must be answered by the same backend for as long as it lives, whatever
//! the weights are.

use std::net::IpAddr;

use anyhow::{Context, Result};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::report::Faults;
use super::scene::tcp_target;
use crate::client::{AskError, Reply, wire};
use crate::netns::NetnsRuntime;

/// An open connection, and who answered on it first.
struct OpenConnection {
    client: IpAddr,
    stream: TcpStream,
    first: Reply,
}

/// All open connections.
pub(super) struct OpenConnections<'a> {
    runtime: &'a NetnsRuntime,
    alive: Vec<OpenConnection>,
    opened: usize,
}

/// What asking all of them came to.
pub(super) struct OpenResult {
    pub(super) requests: u64,
    pub(super) failed: u64,
}

impl<'a> OpenConnections<'a> {
    pub(super) fn new(runtime: &'a NetnsRuntime) -> Self {
        Self {
            runtime,
            alive: Vec::new(),
            opened: 0,
        }
    }

    /// Connections opened so far.
    pub(super) fn opened(&self) -> usize {
        self.opened
    }

    /// Connections that still answer.
    pub(super) fn alive(&self) -> usize {
        self.alive.len()
    }

    /// Opens one connection for each of the clients and asks on it.
    pub(super) fn open(&mut self, clients: &[IpAddr]) -> Result<()> {
        for client in clients.iter().copied() {
            let opened: Result<_, AskError> = self.runtime.block_on(async move {
                let mut stream = wire::connect(client, tcp_target(client)).await?;
                let first = wire::ask(&mut stream, "/").await?;
                Ok((stream, first))
            });
            let (stream, first) =
                opened.with_context(|| format!("cannot open a connection from {client}"))?;
            self.alive.push(OpenConnection {
                client,
                stream,
                first,
            });
            self.opened += 1;
        }
        Ok(())
    }

    /// Asks on every open connection, all at once. What fails is no longer open.
    pub(super) fn ask_all(&mut self, faults: &mut Faults) -> OpenResult {
        let connections = std::mem::take(&mut self.alive);
        let requests = connections.len() as u64;
        let results = self.runtime.block_on(async move {
            let mut tasks = JoinSet::new();
            for mut connection in connections {
                tasks.spawn(async move {
                    let reply = wire::ask(&mut connection.stream, "/").await;
                    (connection, reply)
                });
            }
            tasks.join_all().await
        });
        let mut failed = 0;
        for (connection, reply) in results {
            let OpenConnection { client, first, .. } = &connection;
            match reply {
                Ok(reply) if reply.backend == first.backend && reply.version == first.version => {
                    self.alive.push(connection);
                }
                Ok(reply) => {
                    failed += 1;
                    faults.add(format!(
                        "open connection of {client} went from {} to {}",
                        first.backend, reply.backend
                    ));
                }
                Err(error) => {
                    failed += 1;
                    faults.add(format!("open connection of {client}: {error}"));
                }
            }
        }
        OpenResult { requests, failed }
    }
}
