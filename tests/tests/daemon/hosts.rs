//! Hosts and time: a VIP that the host itself owns, a backend with a new MAC or behind another router, and
//! more neighbours than the kernel cares to keep.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use splitter_tests::{
    client::Client,
    daemon::Daemon,
    server::Server,
    topology::{Backend, Topology, TopologyOptions, VIP_V4, VIP_V6, vip_for},
};

use crate::scene::{PORT, config, scene};

/// How long what has to come is waited for.
const LIMIT: Duration = Duration::from_secs(30);
/// Backends on one link.
const MANY: u16 = 300;
/// How many seconds those are watched, unless `SPLITTER_WATCH_S` says otherwise: the kernel looks for
/// neighbours to drop every 30 s (`gc_interval`), which this sees twice.
const WATCH_S: u64 = 65;

#[test]
fn a_vip_on_lo_is_never_answered_by_the_hosts_own_stack() {
    let scene = scene(false, "50%");
    let lb = &scene.topology.lb;
    lb.ip(&["address", "add", &format!("{VIP_V4}/32"), "dev", "lo"])
        .expect("the VIP on lo");
    let listener = lb.run(|| {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).expect("bound");
        listener.set_nonblocking(true).expect("set");
        listener
    });
    // Until the way to a client is known its answers go through the host's stack, which drops what
    // comes from outside by an address of its own; `status` warns of that.
    lb.run(|| {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("bound");
        socket.send_to(b"x", "10.1.0.2:9").expect("sent");
    });
    let neighbours = || lb.ip(&["neigh", "show", "10.1.0.2"]).expect("told");
    let begin = Instant::now();
    while !neighbours().contains("lladdr") {
        assert!(begin.elapsed() < LIMIT, "{}", neighbours());
        thread::sleep(Duration::from_millis(20));
    }
    scene.everyone_gets_what_explain_says();
    let taken = listener.accept();
    assert!(taken.is_err(), "the host answered {taken:?}");
    // Nor does it end flows that it does not know.
    let client = Client::new(&scene.topology.client).expect("a client");
    let source = scene.clients()[0];
    let mut open = client
        .connect(source, vip_for(source, PORT))
        .expect("connected");
    open.ask().expect("answered");
    assert_eq!(scene.resets(), 0);
    let status = scene.daemon.status_json().expect("a status");
    let warned = status["warnings"].to_string();
    assert!(warned.contains(&VIP_V4.to_string()), "{warned}");
}

fn backends(status: &Value) -> Vec<&Value> {
    backends_of(status, 0)
}

fn backends_of(status: &Value, service: usize) -> Vec<&Value> {
    let versions = status["services"][service]["versions"].as_array();
    let versions = versions.expect("versions").iter();
    versions
        .flat_map(|version| version["backends"].as_array().expect("backends"))
        .collect()
}

#[test]
fn a_backend_that_announces_a_new_mac_is_reached_by_it() {
    const MAC: &str = "02:11:22:33:44:55";
    let scene = scene(false, "0%");
    let backend = &scene.topology.backends[0];
    for name in [
        "net/ipv4/conf/eth0/arp_notify",
        "net/ipv6/conf/eth0/ndisc_notify",
    ] {
        backend.netns.sysctl(name, "1").expect("set");
    }
    // The kernel announces it by a gratuitous ARP, and by an advertisement that nobody has asked for.
    backend
        .netns
        .ip(&["link", "set", "eth0", "address", MAC])
        .expect("another MAC");
    for own in [IpAddr::V4(backend.v4), IpAddr::V6(backend.v6)] {
        until_reached_by(&scene.daemon, 0, SocketAddr::new(own, PORT), MAC);
    }
    let client = Client::new(&scene.topology.client).expect("a client");
    let source = scene.clients().into_iter().find(IpAddr::is_ipv4);
    let source = source.expect("an IPv4 client");
    let served = (0..100).any(|_| {
        let reply = client.get(source, vip_for(source, PORT)).expect("answered");
        reply.backend == "b1"
    });
    assert!(served, "one flow of a hundred is b1's");
}

/// Waits until a backend of a service is reached by a MAC.
fn until_reached_by(daemon: &Daemon, service: usize, backend: SocketAddr, mac: &str) {
    let begin = Instant::now();
    loop {
        let status = daemon.status_json().expect("a status");
        let mut all = backends_of(&status, service).into_iter();
        let found = all.find(|each| each["address"] == backend.to_string());
        let hop = found.expect("the backend")["next_hop"].to_string();
        if hop.contains(mac) {
            return;
        }
        assert!(begin.elapsed() < LIMIT, "{backend}: {hop}");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_backend_behind_another_router_is_reached_by_it() {
    const FAR_PORT: u16 = 9_090;
    let far: [(IpAddr, &str); 2] = [
        ("10.9.0.5".parse().expect("an address"), "/32"),
        ("fd09::5".parse().expect("an address"), "/128"),
    ];
    let scene = scene(false, "0%");
    let hosts = &scene.topology.backends[..2];
    let all = [Ipv6Addr::UNSPECIFIED.into()];
    let _servers: Vec<Server> = hosts
        .iter()
        .map(|host| {
            for (address, length) in far {
                let own = format!("{address}{length}");
                host.netns
                    .ip(&["address", "add", &own, "dev", "lo"])
                    .expect("an address");
            }
            Server::start_at(host, FAR_PORT, &all).expect("a server")
        })
        .collect();
    let macs: Vec<String> = hosts
        .iter()
        .map(|host| host.netns.mac("eth0").expect("a MAC"))
        .collect();
    let route = |host: usize| {
        let Backend { v4, v6, .. } = &scene.topology.backends[host];
        for ((address, length), router) in far.into_iter().zip([IpAddr::V4(*v4), IpAddr::V6(*v6)]) {
            let (to, via) = (format!("{address}{length}"), router.to_string());
            let lb = &scene.topology.lb;
            lb.ip(&["route", "replace", &to, "via", &via, "dev", "srv0"])
                .expect("a route");
        }
    };
    route(0);
    let sockets = far.map(|(address, _)| SocketAddr::new(address, FAR_PORT));
    let text = format!(
        "{}[service.shop-far]\nvips = [\"{VIP_V4}:{FAR_PORT}/tcp\", \"[{VIP_V6}]:{FAR_PORT}/tcp\"]\n\
         version.stable = {{ baseline = true, backends = [\"{}\", \"{}\"] }}\n",
        config(&scene.topology, "0%"),
        sockets[0],
        sockets[1]
    );
    scene.daemon.write_config(&text).expect("written");
    scene.daemon.cli_ok(&["reload"]).expect("reloaded");
    let client = Client::new(&scene.topology.client).expect("a client");
    for host in [0, 1, 0] {
        route(host);
        for socket in sockets {
            until_reached_by(&scene.daemon, 1, socket, &macs[host]);
        }
        for source in scene.clients() {
            let reply = client
                .get(source, vip_for(source, FAR_PORT))
                .expect("answered");
            assert_eq!(
                reply.backend, scene.topology.backends[host].name,
                "{source}"
            );
        }
    }
}

fn many() -> impl Iterator<Item = Ipv4Addr> {
    (0..MANY).map(|nth| {
        let [net, host] = [nth / 200, nth % 200 + 11];
        Ipv4Addr::new(10, 3, net as u8, host as u8)
    })
}

#[test]
fn three_hundred_backends_on_one_link_stay_resolved() {
    let options = TopologyOptions {
        backend_versions: vec!["stable".to_owned()],
        ..TopologyOptions::default()
    };
    let topology = Topology::build(&options).expect("a topology");
    let lb = &topology.lb;
    lb.ip(&["address", "add", "10.3.255.1/16", "dev", "srv0"])
        .expect("an address");
    // Neighbours grow old at once, so that the kernel may drop each whenever it looks.
    for (name, value) in [("gc_stale_time", "1"), ("base_reachable_time_ms", "1000")] {
        lb.sysctl(&format!("net/ipv4/neigh/srv0/{name}"), value)
            .expect("set");
    }
    let host = &topology.backends[0];
    let addresses: String = many()
        .map(|address| format!("address add {address}/16 dev eth0\n"))
        .collect();
    host.netns.ip_batch(&addresses).expect("addresses");
    let all = [Ipv4Addr::UNSPECIFIED.into()];
    let _server = Server::start_at(host, PORT, &all).expect("a server");
    let usual = config(&topology, "0%");
    let head = usual.split("[service.shop]").next().expect("a head");
    let sockets: Vec<String> = many()
        .map(|address| format!("\"{}\"", SocketAddr::new(address.into(), PORT)))
        .collect();
    let text = format!(
        "{head}[service.shop]\nvips = [\"{VIP_V4}:{PORT}/tcp\"]\n\
         version.stable = {{ baseline = true, backends = [{}] }}\n",
        sockets.join(", ")
    );
    let daemon = Daemon::start(lb, &text).expect("a daemon");
    let all_resolved = || {
        let status = daemon.status_json().expect("a status");
        let states = backends(&status).into_iter();
        let unresolved: Vec<String> = states
            .filter(|each| each["next_hop_state"] != "resolved")
            .map(|each| each["address"].to_string())
            .collect();
        unresolved
    };
    let begin = Instant::now();
    while !all_resolved().is_empty() {
        assert!(begin.elapsed() < LIMIT, "{:?}", all_resolved());
        thread::sleep(Duration::from_millis(100));
    }
    let client = Client::new(&topology.client).expect("a client");
    let clients: Vec<IpAddr> = topology
        .clients_v4
        .iter()
        .copied()
        .map(IpAddr::V4)
        .collect();
    let ask_all = || {
        // Each of the three hundred is met, or all but a few.
        let mut met = std::collections::BTreeSet::new();
        for _ in 0..100 {
            for (source, reply) in client.get_many(&clients, PORT, clients.len()) {
                let reply = reply.unwrap_or_else(|error| panic!("{source}: {error}"));
                met.insert(reply.server);
            }
        }
        assert!(met.len() > 250, "{} were met", met.len());
    };
    ask_all();
    let seconds = std::env::var("SPLITTER_WATCH_S");
    let seconds = seconds.map_or(WATCH_S, |text| text.parse().expect("a number"));
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(seconds) {
        let unresolved = all_resolved();
        assert!(unresolved.is_empty(), "{unresolved:?}");
        thread::sleep(Duration::from_millis(500));
    }
    ask_all();
    let status = daemon.status_json().expect("a status");
    let reasons = status["reasons"].as_array().expect("reasons");
    // The first answer to a client whose neighbour nobody has asked for goes through the host.
    let handed_over: Vec<&Value> = reasons
        .iter()
        .filter(|each| each["verdict"] == "resolve" && each["reason"] != "reply")
        .collect();
    assert!(handed_over.is_empty(), "{handed_over:?}");
}
