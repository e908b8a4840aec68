//! Owns paced load: many clients asking at a steady rate until told to stop.
//!
//! Invariant: a load ends by itself when its time is over, at the latest one
//! [`ASK_LIMIT`](crate::client::ASK_LIMIT) later; it never has more than
//! [`LoadOptions::concurrency`] questions in flight and never makes up for lost time with a burst.

pub mod cpu;
mod worker;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::task::JoinHandle;

use crate::client::{AskError, Reply};
use crate::netns::{Netns, NetnsRuntime};

/// How many error texts a report keeps.
const ERRORS_KEPT_MAX: usize = 10;

/// How questions are put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadMode {
    /// A new TCP connection for each question.
    NewConnection,
    /// One TCP connection per client, opened at its first question and kept. When it breaks, that
    /// is counted and it is opened anew.
    KeepAlive,
    /// A datagram from a new port for each question.
    Udp,
}

/// What load to make.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// Who asks, in turn.
    pub clients: Vec<IpAddr>,
    /// Who is asked: the first target of the client's address family.
    pub targets: Vec<SocketAddr>,
    /// Questions a second over all clients.
    pub requests_per_s: u32,
    /// When it ends by itself.
    pub duration: Duration,
    /// Questions in flight at most.
    pub concurrency: usize,
    /// How questions are put.
    pub mode: LoadMode,
}

/// What a client has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientSeen {
    /// Every version that ever answered it.
    pub versions: BTreeSet<String>,
    /// Every backend that ever answered it.
    pub backends: BTreeSet<String>,
    /// The version that answered last.
    pub last_version: String,
}

/// What came of a load.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Questions put, answered or not.
    pub requests: u64,
    /// Questions without a right answer, resets among them.
    pub failed: u64,
    /// Questions that ended in a reset.
    pub resets: u64,
    /// Right answers by version.
    pub by_version: BTreeMap<String, u64>,
    /// What each client that got a right answer has seen.
    pub by_client: BTreeMap<IpAddr, ClientSeen>,
    /// The longest wait for a right answer.
    pub max_latency: Duration,
    /// The first failures, in words.
    pub errors: Vec<String>,
}

impl Report {
    fn record(&mut self, client: IpAddr, result: Result<Reply, AskError>, latency: Duration) {
        self.requests += 1;
        let reply = match result {
            // A server that sees another client than the one that asks is as wrong as no answer.
            Ok(reply) if reply.client != client => Err(AskError::WrongData(format!(
                "the server took it for {}",
                reply.client
            ))),
            other => other,
        };
        match reply {
            Ok(reply) => self.record_reply(client, reply, latency),
            Err(error) => {
                self.failed += 1;
                self.resets += u64::from(error == AskError::Reset);
                if self.errors.len() < ERRORS_KEPT_MAX {
                    self.errors.push(format!("{client}: {error}"));
                }
            }
        }
    }

    fn record_reply(&mut self, client: IpAddr, reply: Reply, latency: Duration) {
        self.max_latency = self.max_latency.max(latency);
        *self.by_version.entry(reply.version.clone()).or_default() += 1;
        let seen = self.by_client.entry(client).or_insert_with(|| ClientSeen {
            versions: BTreeSet::new(),
            backends: BTreeSet::new(),
            last_version: String::new(),
        });
        seen.versions.insert(reply.version.clone());
        seen.backends.insert(reply.backend);
        seen.last_version = reply.version;
    }
}

/// A load that is running. Dropping it stops it.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    runtime: NetnsRuntime,
}

/// What the workers of a load have in common.
#[derive(Debug)]
struct Shared {
    options: LoadOptions,
    stop: AtomicBool,
    report: Mutex<Report>,
}

impl Load {
    /// Starts a load from a namespace.
    ///
    /// # Errors
    ///
    /// When a client has no target of its family, or there is nothing to do.
    pub fn start(netns: &Netns, options: LoadOptions) -> Result<Self> {
        ensure!(options.requests_per_s > 0, "a load needs a rate");
        ensure!(options.concurrency > 0, "a load needs concurrency");
        ensure!(!options.clients.is_empty(), "a load needs clients");
        for client in &options.clients {
            ensure!(
                worker::target_of(&options, *client).is_some(),
                "no target for {client}"
            );
        }
        let runtime = netns.runtime()?;
        let count = options.concurrency.min(options.clients.len());
        let shared = Arc::new(Shared {
            options,
            stop: AtomicBool::new(false),
            report: Mutex::default(),
        });
        let workers = (0..count)
            .map(|index| runtime.spawn(worker::work(Arc::clone(&shared), index, count)))
            .collect();
        Ok(Self {
            shared,
            workers,
            runtime,
        })
    }

    /// What has come of it so far.
    pub fn report(&self) -> Report {
        self.shared.report().clone()
    }

    /// Whether its time is over.
    pub fn is_finished(&self) -> bool {
        self.workers.iter().all(JoinHandle::is_finished)
    }

    /// Stops it, lets the questions in flight end, and says what came of it.
    pub fn stop(self) -> Report {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.wait()
    }

    /// Waits until its time is over and says what came of it.
    pub fn wait(mut self) -> Report {
        let workers = std::mem::take(&mut self.workers);
        self.runtime.block_on(async move {
            for worker in workers {
                worker.await.expect("a worker does not panic");
            }
        });
        self.shared.report().clone()
    }
}

impl Shared {
    fn report(&self) -> std::sync::MutexGuard<'_, Report> {
        // Nothing that holds the lock can leave the report half written.
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
