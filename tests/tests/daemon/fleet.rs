//! A fleet: two hosts with the same file, lists, members and secret decide alike, a million times, before
//! and after both take a new release; they say so, and say when they do not.

use std::{
    collections::BTreeSet,
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use splitter_tests::{
    daemon::Daemon,
    mmdb::put_countries,
    netns::Netns,
    prometheus::get,
    topology::{Topology, TopologyOptions},
};
use splitter_user::api::{
    Client,
    types::{ClientSimulated, Simulate, SimulateClient},
};

/// Decisions of one service that are compared at a time.
const CLIENTS: usize = 250_000;
/// How long a metric may take to follow.
const LIMIT: Duration = Duration::from_secs(60);
const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9406);
const SERVICES: [&str; 2] = ["shop", "mail"];

/// Two services of three versions with segments of each kind. `weights`: else all are 0 %, as a new
/// release wants it.
fn text(topology: &Topology, release: &str, weights: bool) -> String {
    let mut text = format!(
        "[limits]\nflows = 65536\npending = 16384\n[metrics]\nlisten = \"{LISTEN}\"\n[databases]\n\
         country = \"country.mmdb\"\n"
    );
    for interface in &topology.lb_interfaces {
        text += &format!("[[interface]]\nname = \"{interface}\"\nxdp = \"native\"\n");
    }
    let weight = |percent: &str| {
        if weights {
            percent.to_owned()
        } else {
            "0%".to_owned()
        }
    };
    for (name, port, key) in [("shop", 8080, "client"), ("mail", 8081, "client/24")] {
        let segment = |name: &str, matches: &str, canary: &str, beta: &str| {
            format!(
                "[[service.SERVICE.segment]]\nname = \"{name}\"\nmatch = {{ {matches} }}\n\
                 weight = {{ canary = \"{}\", beta = \"{}\" }}\n",
                weight(canary),
                weight(beta)
            )
        };
        let segments = [
            segment("listed", "prefix_file = \"staff.txt\"", "100%", "0%"),
            segment("abroad", "country = [\"FR\"]", "40%", "20%"),
            segment("testers", "cohort = \"beta\"", "0%", "100%"),
        ];
        text += &format!(
            "[service.{name}]\nvips = [\"203.0.113.10:{port}/tcp\", \"[2001:db8::10]:{port}/tcp\"]\n\
             key = \"{key}\"\nrelease = \"{release}\"\n{}",
            segments.concat().replace("SERVICE", name)
        );
        for (version, own) in [
            ("stable", "baseline = true".to_owned()),
            ("canary", format!("weight = \"{}\"", weight("5%"))),
            ("beta", format!("weight = \"{}\"", weight("7.5%"))),
        ] {
            let backends: Vec<String> = topology
                .backends_of(version)
                .flat_map(|each| {
                    let (v4, v6) = (IpAddr::V4(each.v4), IpAddr::V6(each.v6));
                    [v4, v6].map(|address| format!("\"{}\"", SocketAddr::new(address, port)))
                })
                .collect();
            text += &format!(
                "[service.{name}.version.{version}]\n{own}\nbackends = [{}]\n",
                backends.join(", ")
            );
        }
    }
    text
}

/// As many of both families, some of whom are in each segment.
fn clients() -> Vec<SimulateClient> {
    let mut random = fastrand::Rng::with_seed(5);
    let one = |nth: usize| {
        let number = random.u32(..);
        let address = match nth % 2 {
            0 => IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 | number >> 8)),
            _ => IpAddr::V6(Ipv6Addr::from_bits(
                0x2001_0db8_0009_u128 << 80 | u128::from(number) << 64 | 1,
            )),
        };
        SimulateClient {
            address,
            port: None,
            vip: None,
            device: None,
        }
    };
    (0..CLIENTS).map(one).collect()
}

struct Host {
    daemon: Daemon,
    netns: Netns,
}

impl Host {
    /// A daemon with the file, the lists and the members of all hosts. `secret`: that of another.
    fn start(netns: &Netns, text: &str, members: &[IpAddr], secret: Option<PathBuf>) -> Self {
        let mut daemon = Daemon::prepare(netns, text).expect("prepared");
        let beside = |name: &str| daemon.config_path().with_file_name(name);
        fs::write(beside("staff.txt"), "10.1.0.0/16\n2001:db8:9:1000::/52\n").expect("written");
        let france = [("10.64.0.0/10", "FR"), ("2001:db8:9:8000::/49", "FR")];
        let networks = france.map(|(network, code)| (network.parse().expect("a network"), code));
        put_countries(&beside("country.mmdb"), &networks).expect("written");
        if let Some(secret) = secret {
            fs::copy(secret, daemon.secret_path()).expect("the same secret");
        }
        let file = beside("members.csv");
        let lines: Vec<String> = members.iter().map(ToString::to_string).collect();
        fs::write(&file, lines.join("\n")).expect("written");
        daemon.serve().expect("a daemon");
        daemon.cli_ok(&["cohort", "create", "beta"]).expect("made");
        let file = file.to_string_lossy().into_owned();
        let import = ["cohort", "import", "beta", &file];
        daemon.cli_ok(&import).expect("imported");
        Self {
            daemon,
            netns: netns.clone(),
        }
    }

    fn reload(&self, text: &str) {
        self.daemon.write_config(text).expect("written");
        self.daemon.cli_ok(&["reload"]).expect("reloaded");
    }

    /// Digests of configuration and secret, of which the metric has the first as well.
    fn digests(&self) -> [String; 2] {
        let status = self.daemon.status_json().expect("a status");
        let digests = ["config_digest", "secret_digest"];
        let digests = digests.map(|name| status[name].as_str().expect("a digest").to_owned());
        let line = format!("splitter_config_info{{digest=\"{}\"}} 1\n", digests[0]);
        let begin = Instant::now();
        loop {
            let told = get(&self.netns, LISTEN, "/metrics", "*/*");
            if matches!(&told, Ok((_, text)) if text.contains(&line)) {
                return digests;
            }
            assert!(begin.elapsed() < LIMIT, "no {line} in {told:?}");
            thread::sleep(Duration::from_millis(200));
        }
    }

    /// What becomes of every client, in each service.
    fn decisions(&self, clients: &[SimulateClient]) -> Vec<ClientSimulated> {
        let daemon = Client::new(self.daemon.socket_path());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let mut all = Vec::new();
        for service in SERVICES {
            for part in clients.chunks(Simulate::MOST) {
                let wanted = Simulate {
                    clients: part.to_vec(),
                    ..Simulate::default()
                };
                let told = runtime.block_on(daemon.simulate(service, &wanted));
                all.extend(told.expect("answered").clients);
            }
        }
        all
    }
}

/// What both hosts say of every client.
fn of_both(hosts: [&Host; 2], clients: &[SimulateClient]) -> [Vec<ClientSimulated>; 2] {
    thread::scope(|scope| {
        let asked = hosts.map(|host| scope.spawn(|| host.decisions(clients)));
        asked.map(|asked| asked.join().expect("asked"))
    })
}

#[test]
fn two_hosts_decide_a_million_times_alike_and_say_when_they_would_not() {
    let options = TopologyOptions {
        backend_versions: ["stable", "canary", "beta"].map(String::from).to_vec(),
        same_interface: true,
        ..TopologyOptions::default()
    };
    let mut topology = Topology::build(&options).expect("a topology");
    let other = topology.add_second_lb().expect("a second one");
    let clients = clients();
    let members: Vec<IpAddr> = clients
        .iter()
        .step_by(50)
        .map(|each| each.address)
        .collect();
    let first = text(&topology, "1", true);
    let one = Host::start(&topology.lb, &first, &members, None);
    let secret = one.daemon.secret_path();
    let two = Host::start(&other, &first, &members, Some(secret));
    let digests = one.digests();
    assert_eq!(digests, two.digests());
    let [before, same] = of_both([&one, &two], &clients);
    assert!(before == same, "the hosts decide otherwise");
    // Every version and every segment has some.
    let kinds: BTreeSet<_> = before
        .iter()
        .map(|told| (told.segment.as_deref(), told.version.as_deref()))
        .collect();
    assert_eq!(kinds.len(), 1 + 3 + 1 + 3, "{kinds:?}");
    let mut compared = before.len();

    for (release, weights) in [("1", false), ("2", false), ("2", true)] {
        let text = text(&topology, release, weights);
        for host in [&one, &two] {
            host.reload(&text);
        }
    }
    let renewed = one.digests();
    assert_eq!(renewed, two.digests());
    assert!(
        renewed[0] != digests[0] && renewed[1] == digests[1],
        "{renewed:?}"
    );
    let [after, same] = of_both([&one, &two], &clients);
    assert!(after == same, "the hosts decide otherwise");
    compared += after.len();
    assert_eq!(compared, 1_000_000);
    let moved = before
        .iter()
        .zip(&after)
        .filter(|(before, after)| before != after);
    let moved = moved.count();
    assert!(
        moved > compared / 50,
        "the release draws anew: {moved} moved"
    );
    let segments = |all: &[ClientSimulated]| -> Vec<Option<String>> {
        all.iter().map(|told| told.segment.clone()).collect()
    };
    assert!(segments(&before) == segments(&after), "who they are stays");

    // A host with a secret of its own.
    let Host {
        daemon: mut gone, ..
    } = two;
    gone.stop().expect("stopped");
    let pins = gone.pin_dir().to_string_lossy().into_owned();
    let detached = gone.cli_offline(&["detach", "--pin-dir", &pins]);
    assert_eq!(detached.expect("ran").code, Some(0));
    let text = text(&topology, "2", true);
    let stranger = Host::start(&other, &text, &members, None);
    let strange = stranger.digests();
    assert!(
        strange[0] != renewed[0] && strange[1] != renewed[1],
        "{strange:?}"
    );
    let some = &clients[..4 * Simulate::MOST];
    let [own, strange] = of_both([&one, &stranger], some);
    assert!(own != strange, "the secret draws");
    assert!(segments(&own) == segments(&strange), "and only that");
}
