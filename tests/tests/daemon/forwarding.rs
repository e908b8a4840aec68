//! Traffic: to its version, past the VIP, through the host's stack.

use std::net::{IpAddr, SocketAddr};

use splitter_tests::{client::Client, server::Server, topology::vip_for};

use crate::scene::{PORT, config, scene};

#[test]
fn splits_tcp_and_udp_of_both_families_over_two_interfaces() {
    let scene = scene(false, "50%");
    scene.everyone_gets_what_explain_says();
    for version in ["stable", "canary"] {
        assert!(scene.counter(version, "handshakes") > 0, "{version}");
        let begun = scene.counter(version, "syns_begun");
        assert_eq!(begun, scene.counter(version, "syns_answered"), "{version}");
        assert_eq!(begun, scene.counter(version, "handshakes"), "{version}");
    }
    let answered: u64 = scene.servers.iter().map(Server::datagrams_answered).sum();
    let tcp: u64 = scene.servers.iter().map(Server::connections_accepted).sum();
    let flows = scene.counter("stable", "new_flows") + scene.counter("canary", "new_flows");
    assert_eq!(flows, answered + tcp, "every flow reached a server once");
}

#[test]
fn splits_on_a_single_interface() {
    let scene = scene(true, "50%");
    scene.everyone_gets_what_explain_says();
}

#[test]
fn the_first_syn_to_an_unresolved_neighbour_reaches_the_backend() {
    // Nobody resolves beforehand: the daemon is dead, its lease is over, the neighbours are gone.
    let mut scene = scene(false, "0%");
    scene.daemon.kill9().expect("killed");
    scene.daemon.end_lease().expect("ended");
    let lb = &scene.topology.lb;
    lb.ip(&["neigh", "flush", "dev", "srv0"]).expect("flushed");
    let client = Client::new(&scene.topology.client).expect("a client");
    for source in [
        scene.topology.clients_v4[0].into(),
        scene.topology.clients_v6[0].into(),
    ] {
        let source: IpAddr = source;
        let reply = client
            .get(source, vip_for(source, PORT))
            .expect("answered at once");
        assert_eq!(reply.version, "stable");
    }
    scene.daemon.serve().expect("restarted");
    let status = scene.daemon.status_json().expect("a status");
    let reasons = status["reasons"].as_array().expect("reasons");
    let handed_over: u64 = reasons
        .iter()
        .filter(|count| count["verdict"] == "resolve" && count["reason"] == "new_flow")
        .map(|count| count["packets"].as_u64().expect("a count"))
        .sum();
    assert_eq!(handed_over, 2, "{reasons:?}");
}

#[test]
fn other_traffic_through_and_to_the_host_passes() {
    let mut scene = scene(false, "50%");
    let direct = "direct = [\"10.100.0.1\"]\n[service.shop.version.stable]";
    let config = config(&scene.topology, "50%").replace("[service.shop.version.stable]", direct);
    scene.daemon.stop().expect("stopped");
    scene.daemon.write_config(&config).expect("written");
    scene.daemon.serve().expect("restarted");
    let client = Client::new(&scene.topology.client).expect("a client");
    let source = scene.topology.clients_v4[0].into();
    let backend = &scene.topology.backends[0];
    let direct = SocketAddr::new(backend.v4.into(), PORT);
    let reply = client.get(source, direct).expect("routed past the VIP");
    assert_eq!(
        reply.server,
        IpAddr::V4(backend.v4),
        "the reply keeps the backend's address"
    );
    // The same client by the VIP, and another one who is not on the list.
    assert!(client.get(source, vip_for(source, PORT)).is_ok());
    let other = scene.topology.clients_v4[1].into();
    assert!(
        client.get(other, direct).is_err(),
        "for all others a backend's answers are the VIP's"
    );
}
