//! What comes back: from every port, for as long as it takes, or not through this host.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use splitter_tests::{
    client::Client,
    daemon::Daemon,
    server::Server,
    topology::{Topology, TopologyOptions, VIP_V4, vip_for},
};

use crate::scene::{PORT, config, scene};

#[test]
fn a_vip_of_every_port_serves_each_port_that_its_backends_have() {
    let topology = Topology::build(&TopologyOptions::default()).expect("a topology");
    let ports = [PORT, 9_090];
    let servers: Vec<_> = ports
        .iter()
        .map(|port| Server::start_all(&topology, *port).expect("servers"))
        .collect();
    let mut text = config(&topology, "50%").replace(&format!(":{PORT}/"), ":0/");
    for backend in &topology.backends {
        let (v4, v6) = (IpAddr::V4(backend.v4), IpAddr::V6(backend.v6));
        for address in [v4, v6] {
            let with_port = SocketAddr::new(address, PORT).to_string();
            text = text.replace(&with_port, &address.to_string());
        }
    }
    let daemon = Daemon::start(&topology.lb, &text).expect("a daemon");
    let client = Client::new(&topology.client).expect("a client");
    for source in topology.clients() {
        let path = format!("/v1/services/shop/explain?client={source}");
        let version = daemon.api_get(&path).expect("explained")["version"].clone();
        for port in ports {
            let target = vip_for(source, port);
            let tcp = client.get(source, target).expect("answered");
            let udp = client.udp_ask(source, target).expect("answered");
            assert_eq!((&*tcp.version, &*udp.version), {
                let version = version.as_str().expect("a version");
                (version, version)
            });
        }
    }
    for server in servers.iter().flatten() {
        assert!(server.connections_accepted() > 0, "both ports of all serve");
    }
    let explained = daemon.cli(&["explain", "shop", "10.100.0.1:40000"]);
    let explained = explained.expect("ran");
    assert!(
        explained.stderr.contains("--vip 203.0.113.10:443/tcp"),
        "{}",
        explained.stderr
    );
    let vip = format!("{VIP_V4}:9090/tcp");
    let explained = daemon.cli_ok(&["explain", "shop", "10.100.0.1:40000", "--vip", &vip]);
    let explained = explained.expect("explained");
    assert!(explained.contains(&vip), "{explained}");
}

#[test]
fn a_half_closed_connection_downloads_for_a_minute_across_weight_changes() {
    const CHUNK: usize = 20_000;
    const CHUNKS: usize = 120;
    let scene = scene(false, "50%");
    // On another port than the servers of the scene, and alone: the client's version is known so.
    let listeners: Vec<TcpListener> = scene
        .topology
        .backends
        .iter()
        .map(|backend| {
            let address = SocketAddr::new(backend.v4.into(), 7_070);
            backend.netns.run(|| TcpListener::bind(address))
        })
        .collect::<Result<_, _>>()
        .expect("listeners");
    let text = config(&scene.topology, "50%").replace(&format!(":{PORT}\""), ":7070\"");
    let mut scene = scene;
    scene.daemon.stop().expect("stopped");
    scene.daemon.write_config(&text).expect("written");
    scene.daemon.serve().expect("restarted");
    for listener in listeners {
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut asked = Vec::new();
            stream.read_to_end(&mut asked).expect("the whole question");
            for _ in 0..CHUNKS {
                stream.write_all(&[7; CHUNK]).expect("written");
                thread::sleep(Duration::from_millis(500));
            }
        });
    }
    let vip = SocketAddr::from((VIP_V4, PORT));
    let client = &scene.topology.client;
    let mut stream = client
        .run(|| TcpStream::connect_timeout(&vip, Duration::from_secs(5)))
        .expect("connected");
    stream.write_all(b"all of it, please").expect("asked");
    stream.shutdown(Shutdown::Write).expect("half closed");
    let reader = thread::spawn(move || {
        let mut got = Vec::new();
        stream.read_to_end(&mut got).map(|_| got.len())
    });
    for weight in ["0%", "100%", "50%"] {
        thread::sleep(Duration::from_secs(10));
        let set = format!("canary={weight}");
        let changed = scene.daemon.cli_ok(&["weight", "set", "shop", &set]);
        changed.expect("set");
    }
    let got = reader.join().expect("read").expect("the whole answer");
    assert_eq!(got, CHUNK * CHUNKS);
    assert_eq!((scene.resets(), scene.drops()), (0, 0));
}

#[test]
fn replies_that_bypass_the_host_are_named_and_told_from_a_dead_server() {
    let scene = scene(false, "0%");
    let [bypassing, dead] = &scene
        .topology
        .backends_of("stable")
        .take(2)
        .collect::<Vec<_>>()[..]
    else {
        panic!("two stable backends");
    };
    // Its way to clients no longer leads here; its way to this host does.
    let route = ["route", "add", "blackhole", "10.1.0.2/32"];
    bypassing.netns.ip(&route).expect("routed");
    dead.netns
        .ip(&["link", "set", "eth0", "down"])
        .expect("down");
    let vip = SocketAddr::from((VIP_V4, PORT));
    let dial = || {
        scene.topology.client.run(|| {
            thread::scope(|scope| {
                for _ in 0..16 {
                    scope.spawn(|| TcpStream::connect_timeout(&vip, Duration::from_secs(4)));
                }
            });
        });
    };
    let told = |status: &serde_json::Value, backend: String, what: &str| {
        let warnings = status["warnings"].as_array().expect("warnings");
        warnings.iter().any(|warning| {
            let text = warning.as_str().expect("a text");
            text.contains(&backend) && text.contains(what)
        })
    };
    dial();
    let socket = |address| SocketAddr::new(IpAddr::V4(address), PORT).to_string();
    let both = scene.daemon.until(|status| {
        told(status, socket(bypassing.v4), "replies bypass this host")
            && told(status, socket(dead.v4), "does not answer: none of")
    });
    both.expect("both are told");
    // It ends with the cause.
    let route = ["route", "del", "blackhole", "10.1.0.2/32"];
    bypassing.netns.ip(&route).expect("routed");
    dial();
    let ended = scene
        .daemon
        .until(|status| !told(status, socket(bypassing.v4), "bypass"));
    ended.expect("no longer told");
}
