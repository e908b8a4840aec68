//! Places of the table of pending flows, which programs on several CPUs give to other flows while they are read.

use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use splitter_common::{capacity::PENDING_WAYS, reason::Reason};
use splitter_user::model::Limits;

use crate::{
    elements::{VIP, client, serve},
    lab::{Lab, Packet, ends, frame},
};

/// Flows that begin over and over: three for each place of the one set.
const FLOWS: u16 = 3 * PENDING_WAYS as u16;
/// How often each thread has all packets go by, at the least.
const ROUNDS: u64 = 3_000;
/// Generous: it takes seconds.
const LIMIT: Duration = Duration::from_secs(120);

fn syn(flow: u16) -> Vec<u8> {
    let (address, port) = client(flow);
    frame(&format!("{address}:{port} > {VIP}:80 tcp SYN"))
}

#[test]
fn a_place_that_goes_to_another_flow_sends_no_packet_astray() {
    let mut lab = Lab::with(
        "pending",
        Limits {
            flows: 64,
            pending: PENDING_WAYS,
            ..Limits::default()
        },
    );
    serve(&mut lab);
    // The split says always the same of a flow: whatever else a packet of it met was another's.
    let decided: Vec<Ipv4Addr> = (0..FLOWS)
        .map(|flow| {
            let mut out = Vec::new();
            lab.plane.run(&syn(flow), &mut out).expect("ran");
            ends(&out).1
        })
        .collect();
    let mut packets = Vec::new();
    for flow in 0..FLOWS {
        let ((address, port), own) = (client(flow), decided[usize::from(flow)]);
        packets.push(Packet {
            frame: syn(flow),
            times: 1,
            may_go: Box::new(move |source, destination| source == address && destination == own),
        });
        packets.push(Packet {
            frame: frame(&format!("{own}:80 > {address}:{port} tcp SYN,ACK")),
            times: 1,
            may_go: Box::new(move |source, destination| {
                (source == VIP || source == own) && destination == address
            }),
        });
        // Of another backend: dropped while the flow stands there, and left alone otherwise.
        let next = decided[usize::from((flow + 1) % FLOWS)];
        if next != own {
            packets.push(Packet {
                frame: frame(&format!("{next}:80 > {address}:{port} tcp ACK data 5")),
                times: 50,
                may_go: Box::new(move |after, _| after == next),
            });
        }
    }
    let before =
        [Reason::NewFlow, Reason::Pending, Reason::Reply].map(|reason| lab.counted(reason));
    lab.under_traffic(&packets, |_, traffic| {
        let begin = Instant::now();
        while traffic.rounds() < ROUNDS {
            assert!(begin.elapsed() < LIMIT, "{}", traffic.rounds());
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    let after = [Reason::NewFlow, Reason::Pending, Reason::Reply].map(|reason| lab.counted(reason));
    for at in 0..3 {
        let packets = after[at] - before[at];
        assert!(
            packets > 1_000,
            "both found and missed: {before:?} {after:?}"
        );
    }
}
