//! All traffic moved mid-flow to a second load balancer, whose tables are empty: it has the same
//! configuration and secret, and nothing is shared between the two.

use std::{fs, net::IpAddr};

use splitter_tests::{
    client::{AskError, Client, Persistent},
    daemon::Daemon,
    topology::vip_for,
};

use crate::scene::{PORT, Scene, config, scene};

/// Connections of each client.
const EACH: usize = 6;

impl Scene {
    /// A second load balancer with the first one's secret and a weight of its own.
    fn second(&mut self, weight: &str) -> Daemon {
        let netns = self.topology.add_second_lb().expect("a second one");
        let text = config(&self.topology, weight);
        let mut second = Daemon::prepare(&netns, &text).expect("prepared");
        fs::copy(self.daemon.secret_path(), second.secret_path()).expect("the same secret");
        second.serve().expect("a second daemon");
        second
    }

    fn open<'c>(&self, client: &'c Client) -> Vec<(Persistent<'c>, String, String)> {
        let clients = self.clients();
        let all = clients.iter().flat_map(|source| [*source; EACH]);
        all.map(|source| {
            let opened = client.connect(source, vip_for(source, PORT));
            let mut open = opened.expect("connected");
            let reply = open.ask().expect("answered");
            (open, reply.version, reply.backend)
        })
        .collect()
    }
}

fn version_at(daemon: &Daemon, client: IpAddr) -> String {
    let path = format!("/v1/services/shop/explain?client={client}");
    let answer = daemon.api_get(&path).expect("explained");
    answer["version"].as_str().expect("a version").to_owned()
}

fn counter(daemon: &Daemon, counter: &str) -> u64 {
    let status = daemon.status_json().expect("a status");
    let versions = status["services"][0]["versions"].as_array();
    let versions = versions.expect("versions").iter();
    versions
        .map(|each| each["counters"][counter].as_u64().expect("a number"))
        .sum()
}

#[test]
fn at_the_same_weights_every_flow_goes_on() {
    let mut scene = scene(true, "30%");
    let second = scene.second("30%");
    let client = Client::new(&scene.topology.client).expect("a client");
    let mut open = scene.open(&client);
    scene.topology.lead_through_second_lb().expect("led");
    for _ in 0..3 {
        for (open, version, backend) in &mut open {
            let source = open.source();
            let reply = open
                .ask()
                .unwrap_or_else(|error| panic!("{source}: {error}"));
            assert_eq!((&reply.version, &reply.backend), (&*version, &*backend));
        }
    }
    assert_eq!(counter(&second, "adopted"), open.len() as u64);
    let resets = ["resets_by_client", "resets_by_server"].map(|each| counter(&second, each));
    assert_eq!(resets, [0, 0]);
    // Both say that they decide alike.
    let digests = [&scene.daemon, &second].map(|daemon| {
        let status = daemon.status_json().expect("a status");
        ["config_digest", "secret_digest"].map(|digest| status[digest].clone())
    });
    assert_eq!(digests[0], digests[1]);
}

#[test]
fn at_another_weight_only_clients_between_the_two_are_cut() {
    let mut scene = scene(true, "10%");
    let second = scene.second("40%");
    let client = Client::new(&scene.topology.client).expect("a client");
    let mut open = scene.open(&client);
    scene.topology.lead_through_second_lb().expect("led");
    let (mut stay, mut cut) = (0, 0);
    for (open, before, backend) in &mut open {
        let source = open.source();
        let asked = open.ask();
        if version_at(&second, source) == *before {
            assert_eq!(&asked.expect("it goes on").backend, backend, "{source}");
            stay += 1;
        } else {
            // Another server does not know it.
            assert_eq!(asked.expect_err("cut"), AskError::Reset, "{source}");
            cut += 1;
        }
    }
    assert!(stay > 0 && cut > 0, "{stay} stay, {cut} are cut");
}
