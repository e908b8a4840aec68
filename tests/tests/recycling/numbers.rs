//! Numbers of backends, which are given to backends of other services while flows still name them.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
    time::{Duration, Instant},
};

use splitter_common::{address::Address, flow::Table, layout::FlowKey, reason::Reason};
use splitter_user::model::Config;

use crate::lab::{Lab, Packet, config, frame};

/// Groups of three services; in each, one service after the other has a second backend.
const GROUPS: u8 = 64;
const SERVICES: u8 = 3 * GROUPS;
/// Flows of each service.
const FLOWS: u16 = 3;
/// Backends deleted, as many of other services created beside them.
const DELETIONS: u32 = 10_000;
/// Generous: it takes seconds.
const LIMIT: Duration = Duration::from_secs(240);

const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 100, 0, 1);

fn vip(service: u8) -> Ipv4Addr {
    Ipv4Addr::new(203, 0, 113, 1 + service)
}

/// A service's first backend, which stays, and its second, which comes and goes.
fn backend(service: u8, second: bool) -> Ipv4Addr {
    Ipv4Addr::new(10, 2, service, 1 + u8::from(second))
}

/// The services, of which the one at `turn` in each group has a second backend.
fn services(turn: u8) -> Config {
    let mut text = String::new();
    for service in 0..SERVICES {
        let mut backends = format!("\"{}:80\"", backend(service, false));
        if service % 3 == turn {
            backends += &format!(", \"{}:80\"", backend(service, true));
        }
        text += &format!(
            "[service.s{service:03}]\nvips = [\"{}:80/tcp\"]\nversion.stable = {{ baseline = \
             true, backends = [{backends}] }}\n",
            vip(service)
        );
    }
    config(&text)
}

/// Packets of clients, which go to a backend of the service that they dial, and of second backends,
/// which get the VIP of theirs or, while they are nobody's, are left alone.
fn packets() -> Vec<Packet> {
    let mut packets = Vec::new();
    for service in 0..SERVICES {
        for flow in 0..FLOWS {
            let port = 40_000 + flow;
            let line = format!("{CLIENT}:{port} > {}:80 tcp ACK data 5", vip(service));
            packets.push(Packet {
                frame: frame(&line),
                times: 1,
                may_go: Box::new(move |source, destination| {
                    let own = [false, true].map(|second| backend(service, second));
                    source == CLIENT && own.contains(&destination)
                }),
            });
        }
        let (client, server) = (Ipv4Addr::new(10, 100, 0, 2), backend(service, true));
        packets.push(Packet {
            frame: frame(&format!("{server}:80 > {client}:50000 tcp ACK data 5")),
            times: 1,
            may_go: Box::new(move |source, destination| {
                destination == client && (source == vip(service) || source == server)
            }),
        });
    }
    packets
}

/// Has the flows of the services that have a second backend decided anew, so that some are its.
fn forget(lab: &mut Lab, turn: u8) {
    for (number, service) in (0..SERVICES).zip(lab.numbers.services.values()) {
        if number % 3 != turn {
            continue;
        }
        let frontend = service.frontends.values().next().expect("a frontend");
        for flow in 0..FLOWS {
            let key = FlowKey {
                client: Address::from(IpAddr::V4(CLIENT)),
                client_port: 40_000 + flow,
                frontend: frontend.number,
                port: 80,
                zero: 0,
            };
            // It need not have come by yet.
            let _ = lab.plane.maps_mut().remove_flow(Table::Pending, &key);
        }
    }
}

#[test]
fn a_number_that_goes_to_another_service_takes_no_packet_along() {
    let mut lab = Lab::new("numbers", 4_096);
    let configs = [0, 1, 2].map(services);
    lab.commit(&configs[0]);
    let adopted = lab.counted(Reason::Adopted);
    let mut owners: BTreeMap<u32, BTreeSet<String>> = BTreeMap::new();

    lab.under_traffic(&packets(), |lab, traffic| {
        let begin = Instant::now();
        let mut deleted = 0;
        for turn in (0..3_u8).cycle().skip(1) {
            assert!(begin.elapsed() < LIMIT, "{deleted}");
            // Every flow has gone by since the last commit, by every thread.
            let before = traffic.rounds();
            while traffic.rounds() < before + 2 {
                assert!(begin.elapsed() < LIMIT, "the packets stand still");
                std::thread::sleep(Duration::from_micros(200));
            }
            if deleted >= DELETIONS {
                break;
            }
            lab.commit(&configs[usize::from(turn)]);
            forget(lab, turn);
            deleted += u32::from(GROUPS);
            for (name, service) in &lab.numbers.services {
                for backend in service.backends.values().flat_map(BTreeMap::values) {
                    let known = owners.entry(backend.number).or_default();
                    known.insert(name.clone());
                }
            }
        }
    });
    let shared = owners.values().filter(|owners| owners.len() == 3).count();
    assert!(
        shared >= usize::from(GROUPS),
        "numbers of all three services of a group: {owners:?}"
    );
    let adopted = lab.counted(Reason::Adopted) - adopted;
    assert!(
        adopted > u64::from(DELETIONS),
        "flows were decided anew: {adopted}"
    );
}
