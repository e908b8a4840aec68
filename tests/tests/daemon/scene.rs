//! Owns the scene of the daemon's tests: a topology, servers, a daemon, and what all of them ask.

use std::{
    net::{IpAddr, SocketAddr},
    thread,
    time::{Duration, Instant},
};

use splitter_tests::{
    client::{AskError, Client, Reply},
    daemon::Daemon,
    load::{Load, LoadMode, LoadOptions, Report},
    server::Server,
    topology::{Topology, TopologyOptions, vip_for},
};

pub(crate) const PORT: u16 = 8080;
/// How long a load may take for what it is waited for.
const ASK_ON_LIMIT: Duration = Duration::from_secs(30);

/// The service of the default topology: TCP and UDP, IPv4 and IPv6.
pub(crate) fn config(topology: &Topology, canary_weight: &str) -> String {
    let mut text = String::from("[limits]\nflows = 65536\npending = 16384\n");
    for interface in &topology.lb_interfaces {
        text += &format!("[[interface]]\nname = \"{interface}\"\nxdp = \"native\"\n");
    }
    text += &format!(
        "[service.shop]\nvips = [\"203.0.113.10:{PORT}/tcp\", \"203.0.113.10:{PORT}/udp\", \
         \"[2001:db8::10]:{PORT}/tcp\", \"[2001:db8::10]:{PORT}/udp\"]\n"
    );
    for version in ["stable", "canary"] {
        let addresses: Vec<String> = topology
            .backends_of(version)
            .flat_map(|backend| {
                let (v4, v6) = (IpAddr::V4(backend.v4), IpAddr::V6(backend.v6));
                [SocketAddr::new(v4, PORT), SocketAddr::new(v6, PORT)]
            })
            .map(|address| format!("\"{address}\""))
            .collect();
        let role = match version {
            "stable" => "baseline = true".to_owned(),
            _ => format!("weight = \"{canary_weight}\""),
        };
        text += &format!(
            "[service.shop.version.{version}]\n{role}\nbackends = [{}]\n",
            addresses.join(", ")
        );
    }
    text
}

pub(crate) struct Scene {
    pub(crate) daemon: Daemon,
    pub(crate) servers: Vec<Server>,
    pub(crate) topology: Topology,
}

pub(crate) fn scene(same_interface: bool, canary_weight: &str) -> Scene {
    let options = TopologyOptions {
        same_interface,
        ..TopologyOptions::default()
    };
    let topology = Topology::build(&options).expect("a topology");
    let servers = Server::start_all(&topology, PORT).expect("servers");
    let daemon = Daemon::start(&topology.lb, &config(&topology, canary_weight)).expect("a daemon");
    Scene {
        daemon,
        servers,
        topology,
    }
}

impl Scene {
    pub(crate) fn clients(&self) -> Vec<IpAddr> {
        self.topology.clients()
    }

    /// The version that a new connection gets.
    pub(crate) fn served_by(&self, source: IpAddr) -> String {
        let client = Client::new(&self.topology.client).expect("a client");
        let reply = client.get(source, vip_for(source, PORT));
        reply.expect("answered").version
    }

    /// The version that `explain` names.
    pub(crate) fn explained(&self, client: IpAddr) -> String {
        let path = format!("/v1/services/shop/explain?client={client}");
        let answer = self.daemon.api_get(&path).expect("explained");
        answer["version"].as_str().expect("a version").to_owned()
    }

    /// Every client asks over TCP and UDP and gets the version that `explain` names.
    pub(crate) fn everyone_gets_what_explain_says(&self) {
        let client = Client::new(&self.topology.client).expect("a client");
        for source in self.clients() {
            let expected = self.explained(source);
            let target = vip_for(source, PORT);
            let answered = |reply: Result<Reply, AskError>| {
                reply.unwrap_or_else(|error| panic!("{source}: {error}\n{}", self.told()))
            };
            let tcp = answered(client.get(source, target));
            let udp = answered(client.udp_ask(source, target));
            assert_eq!(
                (&tcp.version, &udp.version),
                (&expected, &expected),
                "{source}"
            );
            assert_eq!(
                tcp.client, source,
                "the backend sees the client's own address"
            );
        }
    }

    /// What the daemon says of itself, for failures.
    pub(crate) fn told(&self) -> String {
        self.daemon
            .cli_ok(&["status"])
            .unwrap_or_else(|error| error.to_string())
    }

    pub(crate) fn load(&self, mode: LoadMode) -> Load {
        self.load_at(mode, 400)
    }

    /// A load of so many requests a second.
    pub(crate) fn load_at(&self, mode: LoadMode, requests_per_s: u32) -> Load {
        let clients = self.clients();
        let divisor = std::env::var("SPLITTER_LOAD_DIVISOR");
        let divisor = divisor.map_or(1, |text| text.parse().expect("a number"));
        let options = LoadOptions {
            targets: vec![
                vip_for(clients[0], PORT),
                vip_for(clients[clients.len() - 1], PORT),
            ],
            clients,
            requests_per_s: requests_per_s / divisor,
            duration: Duration::from_secs(180),
            concurrency: 16,
            mode,
        };
        Load::start(&self.topology.client, options).expect("a load")
    }

    /// Waits until every load has put so many more questions.
    pub(crate) fn ask_on<'l>(&self, loads: impl IntoIterator<Item = &'l Load>, more: u64) {
        for load in loads {
            let (begin, before) = (Instant::now(), load.report().requests);
            while load.report().requests < before + more {
                assert!(begin.elapsed() < ASK_ON_LIMIT, "{:?}", load.report());
                thread::sleep(Duration::from_millis(20));
            }
        }
    }

    /// Counters of a version of the usual service, by name, from `status`.
    pub(crate) fn counter(&self, version: &str, counter: &str) -> u64 {
        self.counter_of("shop", version, counter)
    }

    /// Counters of a version, by name, from `status`.
    pub(crate) fn counter_of(&self, service: &str, version: &str, counter: &str) -> u64 {
        let status = self.daemon.status_json().expect("a status");
        let services = status["services"].as_array().expect("services");
        let service = services.iter().find(|each| each["name"] == service);
        let versions = service.expect("the service")["versions"]
            .as_array()
            .expect("versions");
        let found = versions
            .iter()
            .find(|each| each["name"] == version)
            .expect("the version");
        found["counters"][counter].as_u64().expect("a counter")
    }

    /// Resets of both versions by both sides, as the program counted them.
    pub(crate) fn resets(&self) -> u64 {
        ["stable", "canary"]
            .iter()
            .flat_map(|version| {
                ["resets_by_client", "resets_by_server"].map(|side| self.counter(version, side))
            })
            .sum()
    }

    /// Packets dropped, as the program counted them.
    pub(crate) fn drops(&self) -> u64 {
        let status = self.daemon.status_json().expect("a status");
        let reasons = status["reasons"].as_array().expect("reasons");
        let dropped = reasons.iter().filter(|each| each["verdict"] == "drop");
        dropped
            .map(|each| each["packets"].as_u64().expect("a number"))
            .sum()
    }

    pub(crate) fn unharmed(&self, report: &Report) {
        assert!(report.requests > 100, "{report:?}");
        assert_eq!((report.failed, report.resets), (0, 0), "{report:?}");
        assert_eq!(
            (self.resets(), self.drops()),
            (0, 0),
            "as the program counted"
        );
    }
}
