//! Floods of pretended senders: they churn the pending flows, and nobody else.

use std::{net::SocketAddr, thread};

use splitter_tests::{
    client::Client,
    flood::{self, Flood},
    topology::{VIP_V4, vip_for},
};

use crate::scene::{PORT, Scene, config, scene};

/// The smallest table of pending flows.
const PENDING: u32 = 1_024;
/// Ten times what it holds, and some more.
const PACKETS: u32 = 12_000;

/// A scene whose pending table is as small as it can be.
fn small() -> Scene {
    let mut scene = scene(false, "50%");
    let text =
        config(&scene.topology, "50%").replace("pending = 16384", &format!("pending = {PENDING}"));
    scene.daemon.stop().expect("stopped");
    let pins = scene.daemon.pin_dir().display().to_string();
    let detached = scene.daemon.cli_offline(&["detach", "--pin-dir", &pins]);
    assert_eq!(detached.expect("ran").code, Some(0));
    scene.daemon.write_config(&text).expect("written");
    scene.daemon.serve().expect("started anew");
    scene
}

/// Floods the scene with so many packets of pretended senders.
pub(crate) fn flooded(scene: &Scene, flood: Flood, packets: u32) {
    let lb = &scene.topology.lb;
    let shown = lb
        .ip(&["-o", "link", "show", "cli0"])
        .expect("an interface");
    let mac = shown.split("link/ether ").nth(1).expect("a MAC");
    let mac: Vec<u8> = mac[..17]
        .split(':')
        .map(|byte| u8::from_str_radix(byte, 16).expect("a byte"))
        .collect();
    let mac = mac.try_into().expect("six bytes");
    let vip = SocketAddr::from((VIP_V4, PORT));
    let sent = flood::send(&scene.topology.client, "eth0", mac, vip, flood, packets);
    sent.expect("sent");
}

/// New flows that the program has counted.
fn new_flows(scene: &Scene) -> u64 {
    scene.counter("stable", "new_flows") + scene.counter("canary", "new_flows")
}

#[test]
fn a_flood_of_syns_evicts_no_flow_and_fails_no_handshake() {
    let scene = small();
    let client = Client::new(&scene.topology.client).expect("a client");
    let source = scene.topology.clients_v4[0].into();
    let target = vip_for(source, PORT);
    let mut kept = client.connect(source, target).expect("connected");
    let before = kept.ask().expect("answered");
    thread::scope(|scope| {
        let flood = scope.spawn(|| flooded(&scene, Flood::Syns, PACKETS));
        let mut rounds = 0;
        // At least one round, and as many as the flood lasts.
        loop {
            for source in scene.clients() {
                let answer = client.get(source, vip_for(source, PORT));
                answer.unwrap_or_else(|error| panic!("{source}: {error}\n{}", scene.told()));
            }
            rounds += 1;
            if flood.is_finished() {
                break;
            }
        }
        assert!(rounds > 0);
    });
    assert!(
        new_flows(&scene) > u64::from(10 * PENDING),
        "the flood was seen: {}",
        new_flows(&scene)
    );
    // Decided anew it would go to the other version, or be taken up in the middle.
    let other = if before.version == "canary" {
        "0%"
    } else {
        "100%"
    };
    let set = format!("canary={other}");
    scene
        .daemon
        .cli_ok(&["weight", "set", "shop", &set])
        .expect("set");
    let after = kept.ask().expect("answered");
    assert_eq!(
        (after.server, after.version),
        (before.server, before.version)
    );
}

#[test]
fn a_flood_of_datagrams_evicts_no_confirmed_flow() {
    let scene = small();
    let client: SocketAddr = (scene.topology.clients_v4[0], 4_444).into();
    let socket = scene
        .topology
        .client
        .run(|| std::net::UdpSocket::bind(client))
        .expect("a socket");
    let limit = std::time::Duration::from_secs(10);
    socket.set_read_timeout(Some(limit)).expect("set");
    let ask = || {
        let vip = SocketAddr::from((VIP_V4, PORT));
        socket.send_to(b"who is there?", vip).expect("sent");
        let mut answer = [0; 2_048];
        let (length, _) = socket.recv_from(&mut answer).expect("answered");
        String::from_utf8_lossy(&answer[..length]).into_owned()
    };
    let before = ask();
    // The answer has confirmed it.
    flooded(&scene, Flood::Datagrams, PACKETS);
    assert!(new_flows(&scene) > u64::from(10 * PENDING));
    let version = scene.explained(client.ip());
    let other = if version == "canary" { "0%" } else { "100%" };
    let set = format!("canary={other}");
    scene
        .daemon
        .cli_ok(&["weight", "set", "shop", &set])
        .expect("set");
    assert_ne!(
        scene.explained(client.ip()),
        version,
        "decided anew it would move"
    );
    assert_eq!(ask(), before);
}
