//! Owns the counted stream: numbered datagrams at a steady rate through the load balancer to one
//! backend, which sends each back, and the drops that queues on the way have counted.
//!
//! Invariant: what was sent and did not come back was dropped somewhere; a stream ends at
//! [`LIMIT`] at the latest.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

use crate::netns::Netns;
use crate::topology::{Topology, vip_for};

/// When a stream ends by itself.
const LIMIT: Duration = Duration::from_secs(120);
/// How long the last datagrams may be under way.
const SETTLE: Duration = Duration::from_secs(2);
/// A pause between sendings; more than the pause is never made up for.
const TICK: Duration = Duration::from_millis(1);
/// Datagrams a tick by which streams are tried, each for [`TRIAL`].
const PER_TICK: [u32; 10] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512];
/// How long a stream is tried.
pub const TRIAL: Duration = Duration::from_secs(1);
/// A stream of twice as many a tick that sends less than so many times more is one that cannot be faster.
const FASTER: f64 = 1.2;
/// Sockets that send, in turns, as many datagrams each a tick as were asked for.
const SOCKETS: usize = 2;

/// What came of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Datagrams sent.
    pub sent: u64,
    /// Datagrams that came to the backend.
    pub arrived: u64,
    /// Datagrams that came back.
    pub received: u64,
    /// Of these, those that came back once more.
    pub twice: u64,
    /// Frames and datagrams that interfaces and sockets have dropped meanwhile, whose ever.
    pub dropped: u64,
}

/// A stream that runs.
#[derive(Debug)]
pub struct Stream {
    stop: Arc<AtomicBool>,
    arrived: Arc<AtomicU64>,
    sender: JoinHandle<Counts>,
    server: JoinHandle<()>,
    dropped_before: u64,
}

impl Stream {
    /// Starts a stream to the VIP's `port`, which must lead to the same port of the first backend: so many
    /// datagrams by each of two sockets a tick of a millisecond.
    ///
    /// # Errors
    ///
    /// When a socket cannot be made.
    pub fn paced(topology: &Topology, port: u16, per_tick: u32) -> Result<Self> {
        let backend = &topology.backends[0];
        let server = bind(&backend.netns, SocketAddr::from((backend.v4, port)))?;
        server.set_read_timeout(Some(Duration::from_millis(100)))?;
        let mut sockets = Vec::new();
        for address in topology.clients_v4.iter().take(SOCKETS) {
            let socket = bind(&topology.client, SocketAddr::from((*address, 0)))?;
            socket.set_nonblocking(true)?;
            socket.connect(vip_for(IpAddr::V4(*address), port))?;
            sockets.push(socket);
        }
        let dropped_before = dropped(topology)?;
        let stop = Arc::new(AtomicBool::new(false));
        let arrived = Arc::new(AtomicU64::new(0));
        let (ended, count) = (Arc::clone(&stop), Arc::clone(&arrived));
        let begun = Instant::now();
        let serving = std::thread::spawn(move || {
            // The sender needs its answers a while longer than it sends.
            let mut last = begun;
            while !ended.load(Ordering::Relaxed) || last.elapsed() < SETTLE {
                let mut buffer = [0; 64];
                if let Ok((length, client)) = server.recv_from(&mut buffer) {
                    count.fetch_add(1, Ordering::Relaxed);
                    last = Instant::now();
                    // What is lost here the sender misses.
                    let _ = server.send_to(&buffer[..length], client);
                }
            }
        });
        let ended = Arc::clone(&stop);
        Ok(Self {
            stop,
            arrived,
            sender: std::thread::spawn(move || send(&sockets, per_tick, &ended)),
            server: serving,
            dropped_before,
        })
    }

    /// Whether it still sends.
    pub fn runs(&self) -> bool {
        !self.sender.is_finished()
    }

    /// Stops it, lets what is under way arrive, and says what came of it.
    ///
    /// # Errors
    ///
    /// When the drops cannot be read.
    pub fn stop(self, topology: &Topology) -> Result<Counts> {
        self.stop.store(true, Ordering::Relaxed);
        let died = |_| anyhow!("a thread of the stream died");
        let counts = self.sender.join().map_err(died)?;
        self.server.join().map_err(died)?;
        Ok(Counts {
            arrived: self.arrived.load(Ordering::Relaxed),
            dropped: dropped(topology)? - self.dropped_before,
            ..counts
        })
    }
}

/// The most datagrams a tick to the VIP's `port`, as [`Stream::paced`] takes them, of which all came back and
/// which were more in a second than half as many; at least 1. `go_on` is asked before each try.
///
/// # Errors
///
/// When a socket cannot be made, and what `go_on` says.
pub fn sustained(topology: &Topology, port: u16, go_on: impl Fn() -> Result<()>) -> Result<u32> {
    let (mut most, mut sent) = (0, 0);
    for per_tick in PER_TICK {
        go_on()?;
        let stream = Stream::paced(topology, port, per_tick)?;
        std::thread::sleep(TRIAL);
        let counts = stream.stop(topology)?;
        if counts.received < counts.sent || (counts.sent as f64) < FASTER * sent as f64 {
            break;
        }
        (most, sent) = (per_tick, counts.sent);
    }
    Ok(most.max(1))
}

fn bind(netns: &Netns, address: SocketAddr) -> Result<UdpSocket> {
    netns
        .run(|| UdpSocket::bind(address))
        .with_context(|| format!("cannot bind {address}"))
}

fn send(sockets: &[UdpSocket], per_tick: u32, stop: &AtomicBool) -> Counts {
    let mut counts = Counts::default();
    let mut seen: Vec<bool> = Vec::new();
    let begin = Instant::now();
    while !stop.load(Ordering::Relaxed) && begin.elapsed() < LIMIT {
        for socket in (0..per_tick).flat_map(|_| sockets) {
            // One that the sender's own socket has no room for was not sent.
            if socket.send(&counts.sent.to_le_bytes()).is_ok() {
                counts.sent += 1;
                seen.push(false);
            }
        }
        receive(sockets, &mut seen, &mut counts);
        std::thread::sleep(TICK);
    }
    let end = Instant::now();
    while counts.received < counts.sent && end.elapsed() < SETTLE {
        receive(sockets, &mut seen, &mut counts);
        std::thread::sleep(TICK);
    }
    counts
}

fn receive(sockets: &[UdpSocket], seen: &mut [bool], counts: &mut Counts) {
    for socket in sockets {
        let mut buffer = [0; 8];
        while let Ok(8) = socket.recv(&mut buffer) {
            let number = u64::from_le_bytes(buffer) as usize;
            match seen.get_mut(number) {
                Some(seen) if !*seen => {
                    *seen = true;
                    counts.received += 1;
                }
                Some(_) | None => counts.twice += 1,
            }
        }
    }
}

/// What interfaces and UDP sockets of all namespaces have dropped so far.
fn dropped(topology: &Topology) -> Result<u64> {
    let mut sum = 0;
    for netns in topology.namespaces() {
        let text = netns.ip(&["-s", "-j", "link"])?;
        sum += of_links(&serde_json::from_str(&text)?);
        let snmp = netns.run(|| std::fs::read_to_string("/proc/thread-self/net/snmp"))?;
        sum += of_sockets(&snmp);
    }
    Ok(sum)
}

fn of_links(links: &serde_json::Value) -> u64 {
    let cell = |link: &serde_json::Value, way: &str, name: &str| {
        link["stats64"][way][name].as_u64().unwrap_or(0)
    };
    let each = links.as_array().into_iter().flatten();
    each.map(|link| {
        ["rx", "tx"]
            .iter()
            .flat_map(|way| ["dropped", "errors"].map(|name| cell(link, way, name)))
            .sum::<u64>()
    })
    .sum()
}

/// The first line that begins with `Udp:` names the numbers of the second.
fn of_sockets(snmp: &str) -> u64 {
    let mut lines = snmp.lines().filter_map(|line| line.strip_prefix("Udp: "));
    let (Some(names), Some(numbers)) = (lines.next(), lines.next()) else {
        return 0;
    };
    names
        .split(' ')
        .zip(numbers.split(' '))
        .filter(|(name, _)| ["RcvbufErrors", "SndbufErrors"].contains(name))
        .filter_map(|(_, number)| number.parse::<u64>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_are_read_where_the_kernel_tells_them() {
        let snmp = "Ip: A B\nIp: 1 2\nUdp: InDatagrams RcvbufErrors SndbufErrors\nUdp: 9 3 4\n";
        assert_eq!(of_sockets(snmp), 7);
        let links = serde_json::json!([
            {"stats64": {"rx": {"packets": 9, "dropped": 1, "errors": 2}, "tx": {"dropped": 4}}},
            {"stats64": {"rx": {"dropped": 8}}}
        ]);
        assert_eq!(of_links(&links), 15);
    }
}
