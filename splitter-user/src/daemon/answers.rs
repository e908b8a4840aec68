//! Owns the watch over answers: backends that handshakes go to and that none comes back from.
//!
//! Two causes look alike in the counters, a server that is dead and one whose replies take another
//! way back to the clients. A connection from this host tells them apart: it needs no way back but
//! to this host.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use futures_util::future::join_all;
use splitter_common::layout::{COUNTERS, Counter};
use tokio::{net::TcpStream, time::timeout};

use super::{
    core::{Core, Daemon},
    turns::of_turn,
};
use crate::model::{Backend, Protocol, Service};

/// How often the counters are looked at.
const EVERY: Duration = Duration::from_secs(2);
/// What a backend may take to answer this host.
const PROBE_LIMIT: Duration = Duration::from_secs(1);
/// Backends that are asked at once.
const PROBES: usize = 32;
/// So many SYNs that came once more, with no answer in between, are suspicious.
const SUSPICIOUS: u64 = 3;

/// What a backend had counted when something last came from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    begun: u64,
    again: u64,
    came: u64,
}

impl Tally {
    fn of(cells: &[u64; COUNTERS]) -> Self {
        Self {
            begun: cells[Counter::SynsBegun as usize],
            again: cells[Counter::SynRetransmits as usize],
            came: cells[Counter::PacketsOut as usize],
        }
    }

    /// How many handshakes began since `self` without a packet back, if that is suspicious. Moves
    /// `self` on to `now` when something came.
    fn unanswered(&mut self, now: Self) -> Option<u64> {
        // Less than before: the number went to another backend.
        if now.came != self.came || now.again < self.again {
            *self = now;
            return None;
        }
        let suspicious = now.again - self.again >= SUSPICIOUS;
        suspicious.then(|| now.begun.saturating_sub(self.begun))
    }
}

/// Whom nothing comes back from.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Silent {
    number: u32,
    service: String,
    backend: Backend,
    /// Where this host can ask it; `None` where the service says no port.
    socket: Option<SocketAddr>,
    handshakes: u64,
}

/// What the watch remembers.
#[derive(Default)]
pub(super) struct Answers {
    /// By backend number.
    tallies: BTreeMap<u32, Tally>,
    /// What is to be told now, likewise.
    complaints: BTreeMap<u32, String>,
}

impl Answers {
    /// What an operator should know.
    pub(super) fn warnings(&self) -> impl Iterator<Item = &String> {
        self.complaints.values()
    }
}

/// Watches until it is aborted.
pub(super) async fn watch(daemon: Arc<Daemon>) -> anyhow::Result<()> {
    let mut every = tokio::time::interval(EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for turn in 0usize.. {
        every.tick().await;
        let silent = look(&mut *daemon.core.lock().await, turn);
        let mut complaints = Vec::new();
        for some in silent.chunks(PROBES) {
            complaints.extend(join_all(some.iter().map(complaint)).await);
        }
        let mut core = daemon.core.lock().await;
        for (silent, new) in silent.iter().zip(complaints) {
            let told = core.answers.complaints.insert(silent.number, new.clone());
            if told.as_ref() != Some(&new) {
                log::warn!("{new}");
            }
        }
    }
    Ok(())
}

/// Compares the counters of those whose turn it is with those of the last answers. Who is silent no
/// more, or configured no more, is complained of no more.
fn look(core: &mut Core, turn: usize) -> Vec<Silent> {
    let configured: BTreeSet<u32> = core
        .state
        .numbers
        .backend_numbers()
        .map(|backend| backend.number)
        .collect();
    let Answers {
        tallies,
        complaints,
    } = &mut core.answers;
    tallies.retain(|number, _| configured.contains(number));
    complaints.retain(|number, _| configured.contains(number));
    let mut silent = Vec::new();
    for service in of_turn(core.config.services(), turn) {
        let Some(given) = core.state.numbers.services.get(&service.name) else {
            continue;
        };
        for version in &service.versions {
            for backend in &version.backends {
                let Ok(number) = given.backend(&version.name, backend) else {
                    continue;
                };
                let number = number.number;
                let now = Tally::of(&core.plane.counters(number).cells);
                match tallies.entry(number).or_insert(now).unanswered(now) {
                    None => {
                        complaints.remove(&number);
                    }
                    Some(handshakes) => silent.push(Silent {
                        number,
                        service: service.name.clone(),
                        backend: backend.clone(),
                        socket: socket(service, backend),
                        handshakes,
                    }),
                }
            }
        }
    }
    silent
}

/// Where a backend serves TCP.
fn socket(service: &Service, backend: &Backend) -> Option<SocketAddr> {
    let same = |address: IpAddr| address.is_ipv4() == backend.address.is_ipv4();
    let mut vips = service
        .vips
        .iter()
        .filter(|vip| vip.protocol == Protocol::Tcp && same(vip.address));
    let port = backend
        .port
        .or_else(|| vips.find(|vip| vip.port != 0).map(|vip| vip.port))?;
    Some(SocketAddr::new(backend.address, port))
}

/// Asks a silent backend, and says what is the matter with it.
async fn complaint(silent: &Silent) -> String {
    let Silent {
        service,
        backend,
        socket,
        handshakes,
        ..
    } = silent;
    let lead = format!("service {service}: backend {backend}");
    let none = format!("none of {handshakes} handshakes of clients was answered through this host");
    let Some(socket) = socket else {
        return format!(
            "{lead}: {none}: it is dead, or its replies bypass this host: lead its way back to \
             the clients through here"
        );
    };
    match timeout(PROBE_LIMIT, TcpStream::connect(socket)).await {
        Ok(Ok(_)) => format!(
            "{lead}: replies bypass this host: it answers this host, but {none}; lead its way \
             back to the clients through here"
        ),
        Ok(Err(error)) => format!("{lead} does not answer: {none}, nor is this one: {error}"),
        Err(_) => format!("{lead} does not answer: {none}, nor is this host"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_told_after_three_repetitions_and_ends_with_a_packet() {
        let at = |begun, again, came| Tally { begun, again, came };
        let mut tally = at(10, 0, 50);
        assert_eq!(tally.unanswered(at(12, 2, 50)), None, "two may be loss");
        assert_eq!(tally.unanswered(at(14, 3, 50)), Some(4));
        assert_eq!(tally.unanswered(at(20, 9, 51)), None, "something came");
        assert_eq!(tally, at(20, 9, 51));
        assert_eq!(tally.unanswered(at(25, 9, 51)), None, "nobody repeats");
        assert_eq!(tally.unanswered(at(0, 0, 51)), None, "a new owner");
        assert_eq!(tally, at(0, 0, 51));
    }
}
