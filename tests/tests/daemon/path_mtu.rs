//! What does not fit: ways narrower than packets, on either side and behind a router, and
//! datagrams in fragments. Real sockets find the MTU of the path, or stall.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    thread,
    time::Duration,
};

use splitter_tests::{ethtool, netns::Netns, topology::vip_for};

use crate::scene::{PORT, Scene, config, scene};

/// What is sent each way; many times what fits a path.
const BODY: usize = 400_000;
/// A path that stalls shows by then.
const STALLED: Duration = Duration::from_secs(20);

/// Servers on every backend that read a body and send one back; then the daemon's configuration
/// names them.
fn with_bodies(mut scene: Scene) -> Scene {
    for backend in &scene.topology.backends {
        for address in [IpAddr::V4(backend.v4), IpAddr::V6(backend.v6)] {
            let socket = SocketAddr::new(address, 7_070);
            let listener = backend.netns.run(|| TcpListener::bind(socket));
            let listener = listener.expect("a listener");
            thread::spawn(move || {
                while let Ok((mut stream, _)) = listener.accept() {
                    let mut body = vec![0; BODY];
                    // One whose client has given up is no fault of the server's.
                    let _given_up = stream
                        .read_exact(&mut body)
                        .and_then(|()| stream.write_all(&body));
                }
            });
        }
    }
    let text = config(&scene.topology, "50%").replace(&format!(":{PORT}\""), ":7070\"");
    scene.daemon.stop().expect("stopped");
    scene.daemon.write_config(&text).expect("written");
    scene.daemon.serve().expect("restarted");
    scene
}

/// Sends a body to the VIP from a namespace and reads it back.
fn both_ways(from: &Netns, vip: SocketAddr) {
    let stream = from.run(|| TcpStream::connect_timeout(&vip, STALLED));
    let mut stream = stream.expect("connected");
    stream.set_read_timeout(Some(STALLED)).expect("set");
    stream.set_write_timeout(Some(STALLED)).expect("set");
    let sent: Vec<u8> = (0..BODY).map(|byte| byte as u8).collect();
    stream.write_all(&sent).expect("a path that takes it");
    let mut got = vec![0; BODY];
    stream
        .read_exact(&mut got)
        .expect("a path that brings it back");
    assert!(got == sent, "the body is the same");
}

fn counted(scene: &Scene, reason: &str) -> u64 {
    let status = scene.daemon.status_json().expect("a status");
    let reasons = status["reasons"].as_array().expect("reasons");
    let of_reason = reasons.iter().filter(|each| each["reason"] == reason);
    of_reason
        .map(|each| each["packets"].as_u64().expect("a number"))
        .sum()
}

#[test]
fn a_narrow_way_on_either_side_of_this_host_is_found_by_both_ends() {
    for (side, v4, v6) in [
        ("cli0", "10.1.0.0/24", "fd01::/64"),
        ("srv0", "10.2.0.0/24", "fd02::/64"),
    ] {
        let scene = with_bodies(scene(false, "50%"));
        // By their routes: a veth would lose what is longer than it takes itself.
        let narrow = format!(
            "route replace {v4} dev {side} scope link mtu lock 1300\n\
             route replace {v6} dev {side} metric 256 mtu lock 1300\n"
        );
        scene.topology.lb.ip_batch(&narrow).expect("narrowed");
        // The daemon hears of it within a second.
        thread::sleep(Duration::from_secs(1));
        for client in [
            IpAddr::V4(scene.topology.clients_v4[0]),
            IpAddr::V6(scene.topology.clients_v6[0]),
        ] {
            both_ways(&scene.topology.client, vip_for(client, PORT));
        }
        assert!(counted(&scene, "too_big") > 0, "{side}: it was found out");
    }
}

#[test]
fn a_narrow_way_behind_a_router_is_found_by_its_errors() {
    let scene = with_bodies(scene(false, "50%"));
    // The client's namespace becomes the router to a client far behind it.
    let router = &scene.topology.client;
    let far = Netns::new("far").expect("a namespace");
    let path = far.path();
    router
        .ip_batch(&format!(
            "link add far0 type veth peer name eth0 netns {path}\n\
             link set far0 up\naddress add 10.100.99.1/24 dev far0\n\
             address add fd64:0:0:99::1/64 dev far0 nodad\n\
             route replace 10.100.99.0/24 dev far0 scope link mtu lock 1300\n\
             route replace fd64:0:0:99::/64 dev far0 metric 256 mtu lock 1300\n"
        ))
        .expect("a router");
    far.ip_batch(
        "link set lo up\nlink set eth0 up\naddress add 10.100.99.2/24 dev eth0\n\
         address add fd64:0:0:99::2/64 dev eth0 nodad\n\
         route add default via 10.100.99.1\nroute add default via fd64:0:0:99::1\n",
    )
    .expect("addresses");
    // XDP forwards a partial checksum as it is.
    ethtool::set_tx_checksum(&far, "eth0", false).expect("set");
    for name in ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"] {
        router.sysctl(name, "1").expect("forwarding");
    }
    for client in [
        IpAddr::V4(scene.topology.clients_v4[0]),
        IpAddr::V6(scene.topology.clients_v6[0]),
    ] {
        both_ways(&far, vip_for(client, PORT));
    }
    assert!(
        counted(&scene, "icmp_error") > 0,
        "the router's errors reach the backends"
    );
}

#[test]
fn a_datagram_of_many_fragments_goes_there_and_back() {
    let mut scene = scene(false, "50%");
    for backend in &scene.topology.backends {
        for address in [IpAddr::V4(backend.v4), IpAddr::V6(backend.v6)] {
            let socket = SocketAddr::new(address, 7_070);
            let socket = backend.netns.run(|| UdpSocket::bind(socket));
            let socket = socket.expect("a socket");
            thread::spawn(move || {
                let mut datagram = vec![0; 65_000];
                while let Ok((length, client)) = socket.recv_from(&mut datagram) {
                    let _unreachable = socket.send_to(&datagram[..length], client);
                }
            });
        }
    }
    let text = config(&scene.topology, "50%").replace(&format!(":{PORT}\""), ":7070\"");
    scene.daemon.stop().expect("stopped");
    scene.daemon.write_config(&text).expect("written");
    scene.daemon.serve().expect("restarted");
    for client in scene.topology.clients() {
        let socket = scene
            .topology
            .client
            .run(|| UdpSocket::bind(SocketAddr::new(client, 0)))
            .expect("a socket");
        socket.set_read_timeout(Some(STALLED)).expect("set");
        let sent: Vec<u8> = (0..9_000).map(|byte| byte as u8).collect();
        socket.send_to(&sent, vip_for(client, PORT)).expect("sent");
        let mut got = vec![0; 65_000];
        let (length, from) = socket.recv_from(&mut got).expect("answered");
        assert_eq!(from, vip_for(client, PORT));
        assert!(got[..length] == sent, "all of it, in order");
    }
    assert!(counted(&scene, "fragment_followed") > 0);
    assert_eq!(scene.drops(), 0);
}
