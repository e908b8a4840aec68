//! Elements of the flow tables, which the kernel gives to other flows while programs read them.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::{Duration, Instant},
};

use splitter_common::{
    address::Address,
    clock::Jiffies,
    evidence::Mark,
    flow::{Entry, Table},
    layout::FlowKey,
    reason::Reason,
    traits::Traits,
};

use crate::lab::{Lab, Packet, config, frame};

/// Of every port, so that a packet of a backend without a flow is left as it is.
pub(crate) const VIP: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
const BACKENDS: u8 = 16;
/// Flows whose packets go by.
const FLOWS: u16 = 24;
/// Elements of a table: few, so that one that is freed is taken again at once.
const ROOM: u32 = 64;
const DELETIONS: u32 = 100_000;
/// How often the one element is handed on. Without the tag a few hundred thousand times are enough
/// for a packet to go astray.
const HANDED_ON: u32 = 4_000_000;
/// How often each thread has all packets go by, at the least.
const ROUNDS: u64 = 200;
/// Generous: it takes seconds.
const LIMIT: Duration = Duration::from_secs(120);

pub(crate) fn client(flow: u16) -> (Ipv4Addr, u16) {
    (Ipv4Addr::new(10, 100, 0, 1), 40_000 + flow)
}

fn backend(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 2, 0, 10 + number)
}

/// Every flow's own backend, whatever the split would say.
fn own_backend(flow: u16) -> u8 {
    (flow % u16::from(BACKENDS)) as u8
}

/// What a flow's entry holds: the backend that it has by its number.
fn entry(lab: &mut Lab, flow: u16) -> (FlowKey, Entry) {
    let service = &lab.numbers.services["shop"];
    let frontend = service.frontends.values().next().expect("a frontend");
    let name = backend(own_backend(flow)).to_string();
    let (address, port) = client(flow);
    let key = FlowKey {
        client: Address::from(IpAddr::V4(address)),
        client_port: port,
        frontend: frontend.number,
        port: 80,
        zero: 0,
    };
    let number = service.backends["stable"][&name].number;
    let (generation, service) = (service.generation, service.number);
    let now = Jiffies(lab.plane.jiffies().expect("the time")).low();
    let entry = Entry {
        generation,
        backend: number,
        service,
        version: 0,
        mark: Mark::default(),
        state: 0,
        checked: generation,
        seen: now,
        began: now,
        client_seq: 0,
        server_seq: 0,
        syn_us: 0,
        once: 0,
        traits: Traits::NONE,
    };
    (key, entry)
}

/// A packet of each flow's client, and one of its backend. The client's goes to the flow's backend,
/// or, when its entry is not there, where the split sends it: to `decided`.
fn packets(decided: &[Ipv4Addr]) -> Vec<Packet> {
    let mut packets = Vec::new();
    for flow in 0..FLOWS {
        let (address, port) = client(flow);
        let (own, split) = (backend(own_backend(flow)), decided[usize::from(flow)]);
        packets.push(Packet {
            frame: frame(&format!("{address}:{port} > {VIP}:80 tcp ACK data 5")),
            times: 1,
            may_go: Box::new(move |source, destination| {
                source == address && (destination == own || destination == split)
            }),
        });
        packets.push(Packet {
            frame: frame(&format!("{own}:80 > {address}:{port} tcp ACK data 5")),
            times: 1,
            may_go: Box::new(move |source, destination| {
                (source == VIP || source == own) && destination == address
            }),
        });
    }
    packets
}

fn lab(label: &str) -> Lab {
    let mut lab = Lab::new(label, ROOM);
    serve(&mut lab);
    lab
}

/// Puts one service in force, by the VIP, with all backends.
pub(crate) fn serve(lab: &mut Lab) {
    let backends: Vec<String> = (0..BACKENDS)
        .map(|number| format!("\"{}\"", backend(number)))
        .collect();
    lab.commit(&config(&format!(
        "[service.shop]\nvips = [\"{VIP}:0/tcp\"]\nversion.stable = {{ baseline = true, backends \
         = [{}] }}\n",
        backends.join(", ")
    )));
}

/// One element goes from flow to flow, while the programs look one of them up as fast as they can: on
/// packets that the next one's backend sends to its client, which are dropped, or, while the flow is
/// not there, left alone. Taken for the next one's they would get the VIP. The element comes back to
/// a flow only after all others have had it: no tag tells a program that it belonged to another
/// between two times that it was the program's.
#[test]
fn an_element_is_read_as_no_other_flows() {
    let mut lab = lab("element");
    let flows: Vec<_> = (0..4).map(|flow| entry(&mut lab, flow)).collect();
    let packets: Vec<Packet> = [0, 2]
        .map(|flow| {
            let (address, port) = client(flow);
            let source = backend(own_backend(flow + 1));
            Packet {
                frame: frame(&format!("{source}:80 > {address}:{port} tcp ACK data 5")),
                times: 20_000,
                may_go: Box::new(move |after, _| after == source),
            }
        })
        .into();
    lab.under_traffic(&packets, |lab, traffic| {
        let begin = Instant::now();
        let mut deleted = 0;
        while deleted < HANDED_ON || traffic.rounds() < ROUNDS {
            assert!(begin.elapsed() < LIMIT, "{deleted}, {}", traffic.rounds());
            let maps = lab.plane.maps_mut();
            for (key, entry) in &flows {
                let entry = entry.pack(Table::Established, key.tag(), [0; 3]);
                maps.put_flow(Table::Established, key, &entry)
                    .expect("room");
                maps.remove_flow(Table::Established, key).expect("there");
                deleted += 1;
            }
        }
    });
    for reason in [Reason::ReplyOfOtherBackend, Reason::ReplyWithoutFlow] {
        let packets = lab.counted(reason);
        assert!(packets > 1_000, "{reason:?}: {packets}");
    }
}

#[test]
fn an_element_that_goes_to_another_flow_sends_no_packet_astray() {
    let mut lab = lab("elements");
    let decided: Vec<Ipv4Addr> = (0..FLOWS)
        .map(|flow| {
            let (address, port) = client(flow);
            let line = format!("{address}:{port} > {VIP}:80 tcp RST");
            let mut out = Vec::new();
            lab.plane.run(&frame(&line), &mut out).expect("ran");
            crate::lab::ends(&out).1
        })
        .collect();
    let flows: Vec<(FlowKey, Entry)> = (0..FLOWS).map(|flow| entry(&mut lab, flow)).collect();
    let others =
        (0..FLOWS).filter(|flow| decided[usize::from(*flow)] != backend(own_backend(*flow)));
    assert!(others.count() > 8, "the split says otherwise of most flows");
    let before = [Reason::Established, Reason::Adopted].map(|reason| lab.counted(reason));

    lab.under_traffic(&packets(&decided), |lab, traffic| {
        let begin = Instant::now();
        let mut random = fastrand::Rng::with_seed(7);
        let (mut deleted, mut refused) = (0, 0);
        while deleted < DELETIONS || traffic.rounds() < ROUNDS {
            assert!(begin.elapsed() < LIMIT, "{deleted}, {}", traffic.rounds());
            let maps = lab.plane.maps_mut();
            let (out, new) = (random.usize(..flows.len()), random.usize(..flows.len()));
            for table in [Table::Pending, Table::Established] {
                deleted += u32::from(maps.remove_flow(table, &flows[out].0).is_ok());
            }
            let (key, entry) = &flows[new];
            let entry = entry.pack(Table::Established, key.tag(), [0; 3]);
            // A table of few elements may have none free for a moment.
            let entered = maps.put_flow(Table::Established, key, &entry);
            refused += u32::from(entered.is_err());
        }
        assert!(refused < deleted / 2, "{refused} of {deleted} refused");
    });
    let after = [Reason::Established, Reason::Adopted].map(|reason| lab.counted(reason));
    for at in 0..2 {
        let packets = after[at] - before[at];
        assert!(
            packets > 1_000,
            "both found and missed: {before:?} {after:?}"
        );
    }
}
