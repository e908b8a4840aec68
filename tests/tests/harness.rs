//! Proves the harness itself: plain routing between client and backends, without splitter. Needs
//! root.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use splitter_tests::client::{AskError, Client, wire};
use splitter_tests::load::{Load, LoadMode, LoadOptions};
use splitter_tests::netns::Netns;
use splitter_tests::server::Server;
use splitter_tests::topology::{Backend, Topology, TopologyOptions, VIP_V4, vip_for};

const PORT: u16 = 8080;

fn target(backend: &Backend, client: IpAddr) -> SocketAddr {
    let address = match client {
        IpAddr::V4(_) => IpAddr::V4(backend.v4),
        IpAddr::V6(_) => IpAddr::V6(backend.v6),
    };
    SocketAddr::new(address, PORT)
}

/// Every client address reaches every backend, which sees it as it is.
fn everyone_reaches_everyone(same_interface: bool) {
    let topology = Topology::build(&TopologyOptions {
        clients_v4: 3,
        clients_v6: 3,
        same_interface,
        ..TopologyOptions::default()
    })
    .unwrap();
    let servers = Server::start_all(&topology, PORT).unwrap();
    let client = Client::new(&topology.client).unwrap();
    for (backend, server) in topology.backends.iter().zip(&servers) {
        for source in topology.clients() {
            let target = target(backend, source);
            let over_tcp = client.get(source, target).unwrap();
            let over_udp = client.udp_ask(source, target).unwrap();
            for reply in [over_tcp, over_udp] {
                assert_eq!(reply.version, backend.version);
                assert_eq!(reply.backend, backend.name);
                assert_eq!(reply.server, target.ip());
                assert_eq!(reply.client, source);
            }
        }
        assert_eq!(server.connections_accepted(), 6);
        assert_eq!(server.requests_served(), 6);
        assert_eq!(server.datagrams_answered(), 6);
    }
}

#[test]
fn routing_works_with_two_interfaces() {
    everyone_reaches_everyone(false);
}

#[test]
fn routing_works_with_one_interface() {
    everyone_reaches_everyone(true);
}

#[test]
fn long_answers_and_open_connections() {
    let topology = Topology::build(&TopologyOptions::default()).unwrap();
    let _servers = Server::start_all(&topology, PORT).unwrap();
    let client = Client::new(&topology.client).unwrap();
    for source in [
        topology.clients_v4[0].into(),
        IpAddr::from(topology.clients_v6[0]),
    ] {
        let target = target(&topology.backends[0], source);
        let reply = client.get_path(source, target, "/bytes?n=3000000").unwrap();
        assert_eq!(reply.filler_bytes, 3_000_000);
        let mut open = client.connect(source, target).unwrap();
        for _ in 0..20 {
            assert_eq!(open.ask().unwrap().client, source);
        }
    }
}

#[test]
fn failures_are_told_apart() {
    let topology = Topology::build(&TopologyOptions::default()).unwrap();
    let server = Server::start(&topology.backends[0], PORT).unwrap();
    let client = Client::new(&topology.client).unwrap();
    let source = IpAddr::from(topology.clients_v4[0]);
    let target = target(&topology.backends[0], source);
    let closed = SocketAddr::new(target.ip(), 81);
    assert_eq!(client.get(source, closed), Err(AskError::Refused));
    assert_eq!(client.udp_ask(source, closed), Err(AskError::Refused));
    assert_eq!(
        client.get_path(source, target, "/slow?ms=10000"),
        Err(AskError::Timeout)
    );
    // Nobody owns the VIP, and the load balancer knows no route to it.
    let vip = SocketAddr::from((VIP_V4, 80));
    assert!(matches!(client.get(source, vip), Err(AskError::Other(_))));

    let mut open = client.connect(source, target).unwrap();
    open.ask().unwrap();
    drop(server);
    assert!(matches!(
        open.ask(),
        Err(AskError::Closed | AskError::Reset)
    ));
    assert_eq!(client.get(source, target), Err(AskError::Refused));
}

#[test]
fn load_is_paced_and_ends() {
    let topology = Topology::build(&TopologyOptions::default()).unwrap();
    let _servers = Server::start_all(&topology, PORT).unwrap();
    for mode in [LoadMode::NewConnection, LoadMode::KeepAlive, LoadMode::Udp] {
        let options = LoadOptions {
            clients: topology.clients(),
            targets: topology
                .clients()
                .iter()
                .map(|c| target(&topology.backends[3], *c))
                .collect(),
            requests_per_s: 200,
            duration: Duration::from_secs(1),
            concurrency: 8,
            mode,
        };
        let report = Load::start(&topology.client, options).unwrap().wait();
        assert_eq!(report.failed, 0, "{mode:?}: {:?}", report.errors);
        // Behind schedule is the machine's fault, ahead of it would be ours.
        assert!(
            (50..=208).contains(&report.requests),
            "{mode:?}: {report:?}"
        );
        assert_eq!(report.by_version["canary"], report.requests);
        assert_eq!(report.by_client.len(), 32);
        assert!(report.max_latency > Duration::ZERO);
    }
}

#[test]
fn a_stopped_load_says_what_it_did() {
    let topology = Topology::build(&TopologyOptions::default()).unwrap();
    let options = LoadOptions {
        clients: topology.clients(),
        targets: vec![
            vip_for(topology.clients_v4[0].into(), 80),
            vip_for(topology.clients_v6[0].into(), 80),
        ],
        requests_per_s: 100,
        duration: Duration::from_secs(600),
        concurrency: 4,
        mode: LoadMode::NewConnection,
    };
    let load = Load::start(&topology.client, options).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    assert!(!load.is_finished());
    let report = load.stop();
    assert!(report.requests > 0);
    assert_eq!(report.failed, report.requests);
    assert!(!report.errors.is_empty());
}

#[test]
fn a_namespace_is_its_own() {
    let netns = Netns::new("alone").unwrap();
    let links = netns.ip(&["-brief", "link"]).unwrap();
    assert_eq!(links.lines().count(), 1, "{links}");
    let error = netns.ip(&["link", "show", "nowhere"]).unwrap_err();
    assert!(format!("{error:#}").contains("nowhere"), "{error:#}");
    // The sysctl of this namespace, not of the one that the test runs in.
    netns.sysctl("net/ipv4/ip_default_ttl", "77").unwrap();
    let read = || std::fs::read_to_string("/proc/sys/net/ipv4/ip_default_ttl").unwrap();
    assert_eq!(netns.run(read).trim(), "77");
    assert_ne!(read().trim(), "77");
}

#[test]
fn tasks_of_a_runtime_are_in_the_namespace() {
    let topology = Topology::build(&TopologyOptions::default()).unwrap();
    let _server = Server::start(&topology.backends[0], PORT).unwrap();
    let runtime = topology.client.runtime().unwrap();
    let source = IpAddr::from(topology.clients_v4[0]);
    let target = target(&topology.backends[0], source);
    let reply = runtime.block_on(async move {
        let socket = wire::udp_socket(source, target).await?;
        wire::udp_ask_on(&socket).await?;
        wire::udp_ask_on(&socket).await
    });
    assert_eq!(reply.unwrap().backend, "b1");
}
