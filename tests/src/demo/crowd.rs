//! Owns the demo's clients: all of them ask, over new connections and from new ports.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Result, ensure};

use super::Assignment;
use super::report::Faults;
use super::scene::{CANARY, Scene, tcp_target, udp_target};
use crate::client::{AskError, Reply, wire};
use crate::netns::NetnsRuntime;
use crate::supervise::StopFlag;

/// New TCP connections of each client at each step.
const TCP_ASKS: usize = 3;
/// New UDP flows of each client at each step.
const UDP_ASKS: usize = 2;
/// Clients that ask at the same time.
const PARALLEL: usize = 32;
/// Failures in one step after which nobody asks any more: with a limit of seconds on each answer
/// the demo would otherwise go on for a quarter of an hour.
const FAILURES_MAX: usize = 40;

/// Every client address, and where its questions are asked from.
pub(super) struct Crowd {
    runtime: NetnsRuntime,
    clients: Vec<IpAddr>,
    stop: StopFlag,
}

/// What the clients were answered in one step.
pub(super) struct Answers {
    /// All answers of each client that got any, TCP first.
    pub(super) replies: BTreeMap<IpAddr, Vec<Reply>>,
    /// Questions asked.
    pub(super) requests: u64,
    /// Questions without a right answer.
    pub(super) failed: u64,
}

impl Answers {
    /// The version that answered each client first.
    pub(super) fn assignment(&self) -> Assignment {
        let replies = self.replies.iter();
        replies
            .filter_map(|(client, replies)| Some((*client, replies.first()?.version.clone())))
            .collect()
    }

    /// The canary's part of all flows.
    pub(super) fn share_flows(&self) -> f64 {
        let all = self.replies.values().flatten();
        let canary = all.clone().filter(|reply| reply.version == CANARY).count();
        canary as f64 / all.count().max(1) as f64
    }
}

impl Crowd {
    pub(super) fn new(scene: &Scene, stop: StopFlag) -> Result<Self> {
        Ok(Self {
            runtime: scene.topology.client.runtime()?,
            clients: scene.clients(),
            stop,
        })
    }

    /// Where the clients' sockets are made.
    pub(super) fn runtime(&self) -> &NetnsRuntime {
        &self.runtime
    }

    /// How many clients there are.
    pub(super) fn size(&self) -> usize {
        self.clients.len()
    }

    /// Asks once over each VIP, to say early and clearly that nothing works.
    pub(super) fn warm_up(&self, scene: &Scene) -> Result<()> {
        for family in [IpAddr::is_ipv4, IpAddr::is_ipv6] {
            let Some(client) = self.clients.iter().copied().find(family) else {
                continue;
            };
            let (tcp, udp) = (tcp_target(client), udp_target(client));
            let over_tcp = self
                .runtime
                .block_on(async move { wire::get(client, tcp, "/").await });
            let over_udp = self.runtime.block_on(wire::udp_ask(client, udp));
            for (target, protocol, reply) in [(tcp, "TCP", over_tcp), (udp, "UDP", over_udp)] {
                ensure!(
                    reply.is_ok(),
                    "{client} got no answer from {target} over {protocol}: {reply:?}\n\
                     the daemon said:\n{}",
                    scene.daemon_log()
                );
            }
        }
        Ok(())
    }

    /// Lets every client ask several times, from new ports.
    pub(super) fn ask_all(&self, faults: &mut Faults) -> Result<Answers> {
        let failures = Arc::new(AtomicUsize::new(0));
        let (clients, stop) = (self.clients.clone(), self.stop.clone());
        let count = Arc::clone(&failures);
        let results = self.runtime.block_on(async move {
            wire::for_each(clients, PARALLEL, move |client| {
                ask(client, Arc::clone(&count), stop.clone())
            })
            .await
        });
        self.stop.check()?;
        let mut answers = Answers {
            replies: BTreeMap::new(),
            requests: 0,
            failed: 0,
        };
        for (client, results) in results {
            for result in results {
                answers.requests += 1;
                match result {
                    Ok(reply) => answers.replies.entry(client).or_default().push(reply),
                    Err(error) => {
                        answers.failed += 1;
                        faults.add(format!("request of {client}: {error}"));
                    }
                }
            }
        }
        let failures = failures.load(Ordering::Relaxed);
        ensure!(
            failures < FAILURES_MAX,
            "{failures} requests failed in one step, gave up:\n{faults}"
        );
        Ok(answers)
    }
}

/// All questions of one client, one after the other.
async fn ask(
    client: IpAddr,
    failures: Arc<AtomicUsize>,
    stop: StopFlag,
) -> (IpAddr, Vec<Result<Reply, AskError>>) {
    let mut results = Vec::new();
    for number in 0..TCP_ASKS + UDP_ASKS {
        if stop.is_raised() || failures.load(Ordering::Relaxed) >= FAILURES_MAX {
            break;
        }
        let result = if number < TCP_ASKS {
            wire::get(client, tcp_target(client), "/").await
        } else {
            wire::udp_ask(client, udp_target(client)).await
        };
        if result.is_err() {
            failures.fetch_add(1, Ordering::Relaxed);
        }
        results.push(result);
    }
    (client, results)
}
