//! Owns what the tests of health and of single backends ask: who gets new flows, who answers, and
//! whether everybody kept their version.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::{Duration, Instant},
};

use serde_json::Value;
use splitter_tests::{
    client::{AskError, Client, Reply},
    daemon::Daemon,
    load::Load,
    server::Server,
    topology::{Topology, TopologyOptions},
};

use crate::scene::{PORT, Scene, config};

/// How long servers may take to be found out.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// Two stable servers and two of the canary, which has half of the clients.
pub(crate) fn watched(more: &str) -> Scene {
    let topology = Topology::build(&TopologyOptions::default()).expect("a topology");
    let servers = Server::start_all(&topology, PORT).expect("servers");
    let text = config(&topology, "50%") + more;
    let daemon = Daemon::start(&topology.lb, &text).expect("a daemon");
    Scene {
        daemon,
        servers,
        topology,
    }
}

/// The backends of a status with that state of `field`: by the last bytes of their addresses.
pub(crate) fn backends_with(status: &Value, field: &str, wanted: &Value) -> BTreeSet<String> {
    let versions = status["services"][0]["versions"].as_array();
    let versions = versions.expect("versions").iter();
    let backends = versions.flat_map(|version| version["backends"].as_array().expect("backends"));
    backends
        .filter(|backend| backend["health"][field] == *wanted)
        .map(|backend| {
            let address = backend["address"].as_str().expect("an address");
            address
                .trim_start_matches("10.2.0.")
                .trim_start_matches("[fd02::")
                .to_owned()
        })
        .collect()
}

pub(crate) fn v4_and_v6(last: u8) -> [String; 2] {
    [format!("{last}:{PORT}"), format!("{last}]:{PORT}")]
}

/// Waits until each load has put so many questions.
pub(crate) fn until_asked(loads: &[Load], requests: u64) {
    let begin = Instant::now();
    while loads.iter().any(|load| load.report().requests < requests) {
        assert!(begin.elapsed() < LIMIT, "the load stands still");
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Scene {
    /// Ends the servers of a backend.
    pub(crate) fn kill(&mut self, backend: &str) {
        self.servers.retain(|server| server.backend() != backend);
    }

    pub(crate) fn revive(&mut self, backend: &str) {
        let mut all = self.topology.backends.iter();
        let found = all.find(|each| each.name == backend).expect("a backend");
        self.servers
            .push(Server::start(found, PORT).expect("a server"));
    }

    /// Waits until exactly these servers, in IPv4 and IPv6, get no new flows.
    pub(crate) fn until_out(&self, out: &[u8]) -> Value {
        let wanted: BTreeSet<String> = out.iter().flat_map(|last| v4_and_v6(*last)).collect();
        let is_so = |status: &Value| backends_with(status, "serves", &Value::Bool(false)) == wanted;
        self.daemon.until(is_so).expect("the tables follow")
    }

    pub(crate) fn versions(&self) -> BTreeMap<IpAddr, String> {
        let clients = self.clients().into_iter();
        clients
            .map(|client| (client, self.explained(client)))
            .collect()
    }

    /// Every client asks a few times over new connections.
    pub(crate) fn ask_all(&self) -> Vec<(IpAddr, Result<Reply, AskError>)> {
        let client = Client::new(&self.topology.client).expect("a client");
        let rounds = 0..4;
        rounds
            .flat_map(|_| client.get_many(&self.clients(), PORT, 8))
            .collect()
    }

    /// Every client is served by its version, and by none of the backends `avoided`.
    pub(crate) fn all_served(&self, versions: &BTreeMap<IpAddr, String>, avoided: &[&str]) {
        for (client, reply) in self.ask_all() {
            let reply = reply.unwrap_or_else(|error| panic!("{client}: {error}\n{}", self.told()));
            assert_eq!(reply.version, versions[&client], "{client}");
            assert!(
                !avoided.contains(&reply.backend.as_str()),
                "{client}: {reply:?}"
            );
        }
    }

    /// Waits until some new flow is answered by that backend.
    pub(crate) fn until_answered_by(&self, backend: &str) {
        let begin = Instant::now();
        loop {
            let replies = self.ask_all();
            let mut good = replies.iter().filter_map(|(_, reply)| reply.as_ref().ok());
            if good.any(|reply| reply.backend == backend) {
                return;
            }
            assert!(
                begin.elapsed() < LIMIT,
                "{backend} gets no flow\n{}",
                self.told()
            );
        }
    }
}
