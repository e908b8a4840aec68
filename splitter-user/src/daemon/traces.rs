//! Owns the traces: who asks, and who is told.
//!
//! Invariant: a trace ends by itself, when its time is up or when nobody reads it any more; with the
//! daemon dead the packet path sees when its time is up. A reader that is slow loses lines, which are
//! counted, and holds up nobody.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use splitter_common::{
    address::Address,
    capacity::TRACES,
    packet::{ICMP, ICMP6, TCP, UDP, tcp_flags},
    reason::{Reason, Verdict},
    trace::{Known, TraceRow, Traced},
};
use tokio::{
    sync::{Notify, mpsc},
    task::AbortHandle,
    time::sleep,
};

use super::{
    core::{Core, Daemon},
    losses, refusal, segments, wall,
};
use crate::{
    api::{
        Refusal, Trace,
        types::{TraceLine, TraceQuery, TracedDecision, TracedPacket},
    },
    config,
    dataplane::TraceRing,
    plan::numbers::ServiceNumbers,
};

/// How long a trace runs unless told, seconds.
const SECONDS: u32 = 600;
/// The longest, seconds.
const SECONDS_MAX: u32 = 3_600;
/// How often the ring is looked into while a trace runs: it has room for two seconds of packets.
const EVERY: Duration = Duration::from_millis(50);
/// Lines that wait for a reader.
const LINES: usize = 4_096;

/// Who reads, by the place of the trace.
#[derive(Debug, Default)]
pub(super) struct Traces {
    readers: Mutex<BTreeMap<u32, Reader>>,
    /// Told when one comes.
    begun: Notify,
}

#[derive(Debug)]
struct Reader {
    lines: mpsc::Sender<TraceLine>,
    /// Who waits for the end.
    ending: AbortHandle,
    /// When it began, nanoseconds of CLOCK_MONOTONIC: what was told before was told to another.
    began_ns: u64,
    /// Lines that found no room.
    lost: u64,
    /// What the kernel had not told when this trace was last told something.
    untold: Option<u64>,
}

impl Reader {
    fn tell(&mut self, packet: TracedPacket, untold: u64) {
        let before = self.untold.replace(untold).unwrap_or(untold);
        let left_out = untold.saturating_sub(before) + self.lost;
        if left_out > 0 && self.put(TraceLine::Untold { untold: left_out }) {
            self.lost = 0;
        }
        if !self.put(TraceLine::Packet(Box::new(packet))) {
            self.lost += 1;
        }
    }

    fn put(&self, line: TraceLine) -> bool {
        self.lines.try_send(line).is_ok()
    }
}

impl Traces {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<u32, Reader>> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends all readers away; the daemon ends.
    pub(super) fn close(&self) {
        for (_, reader) in std::mem::take(&mut *self.lock()) {
            reader.ending.abort();
        }
    }
}

/// Begins a trace.
pub(super) async fn begin(daemon: &Arc<Daemon>, query: TraceQuery) -> Result<Trace, Refusal> {
    let seconds = query.seconds.unwrap_or(SECONDS);
    if !(1..=SECONDS_MAX).contains(&seconds) {
        return Err(Refusal::invalid(format!("seconds={seconds}"))
            .with_hint(format!("a trace runs for 1 to {SECONDS_MAX} seconds")));
    }
    let prefix =
        config::prefix(&query.client).map_err(|why| Refusal::invalid(format!("client {why}")))?;
    let mut core = daemon.core.lock().await;
    let service = match &query.service {
        None => 0,
        Some(name) => {
            core.service(name)?;
            let given = core.state.numbers.service(name);
            1 + u64::from(given.map_err(Refusal::internal)?.number)
        }
    };
    let bits = u32::from(prefix.prefix_len());
    let client = Address::from(prefix.network());
    let row = TraceRow {
        until: 0,
        client,
        mask: client.masks(bits, bits),
        service,
    };
    let index = core.plane.free_trace().ok_or_else(|| {
        Refusal::conflict(format!("{TRACES} traces run already"))
            .with_hint("end one of them, or wait until its time is up")
    })?;
    let (lines, reader) = mpsc::channel(LINES);
    let begun = core.plane.begin_trace(index, &row, seconds);
    begun.map_err(refusal)?;
    let ending = tokio::spawn(end(Arc::clone(daemon), index, lines.clone(), seconds));
    // Nobody is told while the core is held.
    let new = Reader {
        lines,
        ending: ending.abort_handle(),
        began_ns: wall::monotonic_ns(),
        lost: 0,
        untold: None,
    };
    daemon.traces.lock().insert(index, new);
    daemon.traces.begun.notify_one();
    Ok(Trace(reader))
}

/// Waits for the end of a trace, and ends it.
async fn end(daemon: Arc<Daemon>, index: u32, lines: mpsc::Sender<TraceLine>, seconds: u32) {
    let is_over = tokio::select! {
        () = sleep(Duration::from_secs(u64::from(seconds))) => true,
        () = lines.closed() => false,
    };
    // In this order, so that the place is free only when its reader is gone.
    daemon.traces.lock().remove(&index);
    daemon.core.lock().await.plane.end_trace(index);
    if is_over {
        let told = TraceLine::Ended {
            ended_after_s: seconds,
        };
        // A reader that has not room for it sees the end itself.
        let _full = lines.try_send(told);
    }
}

/// Takes packets out of the ring and tells readers, until it is aborted.
pub(super) async fn tell(daemon: Arc<Daemon>, ring: Option<TraceRing>) -> anyhow::Result<()> {
    let Some(mut ring) = ring else {
        return std::future::pending().await;
    };
    loop {
        daemon.traces.begun.notified().await;
        while !daemon.traces.lock().is_empty() {
            sleep(EVERY).await;
            let core = daemon.core.lock().await;
            while let Some(traced) = ring.take() {
                hand_on(&core, &daemon.traces, &traced);
            }
        }
    }
}

fn hand_on(core: &Core, traces: &Traces, traced: &Traced) {
    let mut readers = traces.lock();
    let asked = readers.iter_mut().filter(|(index, reader)| {
        traced.rows & 1 << **index != 0 && traced.at_ns >= reader.began_ns
    });
    let packet = packet(core, traced);
    for (_, reader) in asked {
        reader.tell(packet.clone(), traced.untold);
    }
}

fn packet(core: &Core, traced: &Traced) -> TracedPacket {
    let (reason, verdict) = (traced.ended as usize / 8, traced.ended as usize % 8);
    let has_ports = traced.protocol == TCP || traced.protocol == UDP;
    let end = |address: Address, port: u16| {
        let ip = IpAddr::from(address);
        if has_ports && port != 0 {
            SocketAddr::new(ip, port).to_string()
        } else {
            ip.to_string()
        }
    };
    let decision = (traced.has != 0).then(|| decision(core, traced));
    TracedPacket {
        at: wall::of_monotonic(traced.at_ns),
        verdict: name(Verdict::ALL.get(verdict).map(|verdict| verdict.name())),
        reason: name(Reason::ALL.get(reason).map(|reason| reason.name())),
        source: end(traced.source, traced.source_port),
        destination: end(traced.destination, traced.destination_port),
        protocol: protocol(traced.protocol),
        flags: flags(traced),
        length_bytes: traced.length,
        interface: losses::name(core, traced.ifindex),
        reply: traced.reply != 0,
        decision: decision.flatten(),
    }
}

fn name(known: Option<&str>) -> String {
    known.unwrap_or("(unknown)").to_owned()
}

/// What the numbers mean; `None` for a service that has gone since.
fn decision(core: &Core, traced: &Traced) -> Option<TracedDecision> {
    let services = &core.state.numbers.services;
    let (service, given) = services
        .iter()
        .find(|(_, given)| given.number == traced.service)?;
    let configured = core.service(service).ok();
    let segment = configured
        .and_then(|configured| segments::at(configured, given, usize::from(traced.place)));
    let known = Known::of(traced.known);
    Some(TracedDecision {
        service: service.clone(),
        hash_hex: format!("{:#010x}", traced.hash),
        hash_percent: f64::from(traced.hash) * 100.0 / (1u64 << 32) as f64,
        segment: segment.map(|segment| segment.name.clone()),
        assigned: version(given, traced.assigned),
        version: version(given, traced.version),
        backend: given
            .backend_name(traced.backend)
            .map(|(_, address)| address.to_owned()),
        flow: known.name().to_owned(),
        generation: (known != Known::Unknown).then_some(traced.generation),
    })
}

fn version(given: &ServiceNumbers, index: u8) -> String {
    name(given.version_name(index))
}

fn protocol(number: u8) -> String {
    match number {
        TCP => "tcp".to_owned(),
        UDP => "udp".to_owned(),
        ICMP => "icmp".to_owned(),
        ICMP6 => "icmpv6".to_owned(),
        other => other.to_string(),
    }
}

fn flags(traced: &Traced) -> String {
    if traced.protocol != TCP {
        return String::new();
    }
    let all = [
        (tcp_flags::SYN, "SYN"),
        (tcp_flags::FIN, "FIN"),
        (tcp_flags::RST, "RST"),
        (tcp_flags::ACK, "ACK"),
    ];
    let set = all
        .into_iter()
        .filter(|(flag, _)| traced.flags & flag != 0)
        .map(|(_, name)| name);
    set.collect::<Vec<_>>().join(" ")
}
