//! Clients that are judged: each counts once for each thing, under the weights that decided it.

use std::collections::BTreeMap;

use serde_json::Value;
use splitter_tests::{
    client::{AskError, Client},
    daemon::Daemon,
    server::Server,
    topology::{Topology, TopologyOptions, vip_for},
};

use crate::scene::{PORT, Scene, config};

/// The usual scene, with clients that are judged. `keys`: what else its service says, a line each.
pub(crate) fn judged_scene(keys: &str) -> Scene {
    let topology = Topology::build(&TopologyOptions::default()).expect("a topology");
    let servers = Server::start_all(&topology, PORT).expect("servers");
    let text = config(&topology, "50%");
    let text = text.replace(
        "[service.shop]\n",
        &format!("[service.shop]\nprotocol = \"http1\"\nturn_slo = \"20ms\"\n{keys}"),
    );
    let daemon = Daemon::start(&topology.lb, &text).expect("a daemon");
    Scene {
        daemon,
        servers,
        topology,
    }
}

/// What a version's clients were counted for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Counted {
    decided: u64,
    flow: u64,
    flow_bad: u64,
    bad: u64,
    late: u64,
    handshake: u64,
    turn: u64,
    turn_times: u64,
}

impl Counted {
    /// A client more, whose first flow was a good one.
    fn one_more(&mut self) {
        for each in [
            &mut self.decided,
            &mut self.flow,
            &mut self.handshake,
            &mut self.turn,
            &mut self.turn_times,
        ] {
            *each += 1;
        }
    }
}

fn counts(value: &Value) -> Counted {
    let number = |name: &str| value[name].as_u64().expect("a number");
    Counted {
        decided: number("decided"),
        flow: number("flow"),
        flow_bad: number("flow_bad"),
        bad: number("bad"),
        late: number("late"),
        handshake: number("handshake"),
        turn: number("turn"),
        turn_times: value["turn_time"]["count"].as_u64().expect("a number"),
    }
}

pub(crate) fn evidence(scene: &Scene) -> Value {
    let asked = scene.daemon.api_get("/v1/services/shop/evidence");
    asked.expect("evidence")
}

/// By version; the release and its first slice are the same.
fn by_version(versions: &Value) -> BTreeMap<String, Counted> {
    let versions = versions.as_array().expect("versions").iter();
    versions
        .map(|version| {
            let release = counts(&version["release"]);
            assert_eq!(release, counts(&version["slice"]), "{version}");
            (
                version["name"].as_str().expect("a name").to_owned(),
                release,
            )
        })
        .collect()
}

#[test]
fn clients_count_once_over_flows_weights_and_daemons() {
    let mut scene = judged_scene("");
    let client = Client::new(&scene.topology.client).expect("a client");
    let clients = scene.clients();
    let (last, asking) = clients.split_last().expect("clients");
    let mut wanted = BTreeMap::<String, Counted>::new();
    for source in asking {
        let (source, target) = (*source, vip_for(*source, PORT));
        let version = scene.explained(source);
        let all = wanted.entry(version.clone()).or_default();
        let ask = |path: &str| client.get_path(source, target, path);
        ask("/").expect("answered");
        ask("/").expect("answered once more");
        all.one_more();
        if version == "canary" {
            ask("/slow?ms=40").expect("answered late");
            assert!(ask("/status?n=500").is_err());
            assert_eq!(ask("/reset"), Err(AskError::Reset));
            // Its first flow was a good one.
            (all.late, all.bad) = (all.late + 1, all.bad + 1);
        }
    }
    let told = evidence(&scene);
    assert_eq!(by_version(&told["versions"]), wanted, "{}", scene.told());
    assert_eq!(by_version(&told["weights"][0]["versions"]), wanted);
    for check in told["split"].as_array().expect("checks") {
        assert_eq!(check["alarm"], false, "{check}");
        let clients = wanted.values().map(|all| all.decided).sum::<u64>();
        assert_eq!(check["clients"], clients, "{check}");
    }

    scene.daemon.kill9().expect("killed");
    // Nobody is counted again, and who comes first is counted without a daemon.
    let target = vip_for(asking[0], PORT);
    client.get_path(asking[0], target, "/").expect("answered");
    let target = vip_for(*last, PORT);
    client.get_path(*last, target, "/").expect("answered");
    scene.daemon.serve().expect("restarted");
    let all = wanted.entry(scene.explained(*last)).or_default();
    all.one_more();
    assert_eq!(by_version(&evidence(&scene)["versions"]), wanted);

    // Other weights begin at nothing, and whoever was counted in the release counts no more in it.
    let set = ["weight", "set", "shop", "canary=60%"];
    scene.daemon.cli_ok(&set).expect("set");
    for source in &clients {
        let target = vip_for(*source, PORT);
        client.get_path(*source, target, "/").expect("answered");
    }
    let told = evidence(&scene);
    assert_eq!(by_version(&told["versions"]), wanted);
    assert_eq!(told["weights"][1]["in_force"], true);
    assert_eq!(told["weights"][1]["weights"]["canary"], "60%");
    for counted in by_version(&told["weights"][1]["versions"]).values() {
        assert_eq!(*counted, Counted::default());
    }
}

#[test]
fn evidence_begins_anew_when_it_is_told_to_or_the_release_is_another() {
    let scene = judged_scene("");
    let client = Client::new(&scene.topology.client).expect("a client");
    let everyone_asks = || {
        for source in scene.clients() {
            let target = vip_for(source, PORT);
            client.get_path(source, target, "/").expect("answered");
        }
    };
    let decided = || {
        let told = by_version(&evidence(&scene)["versions"]);
        told.values().map(|all| all.decided).sum::<u64>()
    };
    let all = scene.clients().len() as u64;
    everyone_asks();
    assert_eq!(decided(), all, "{}", scene.told());
    let reset = ["evidence", "reset", "shop", "--reason", "another build"];
    let said = scene.daemon.cli_ok(&reset).expect("reset");
    assert!(
        said.starts_with("shop: evidence of release 1 begins with generation"),
        "{said}"
    );
    assert_eq!(decided(), 0);
    let events = scene.daemon.cli_ok(&["events"]).expect("events");
    assert!(events.contains("shop: evidence begun anew by"), "{events}");
    assert!(events.contains("another build"), "{events}");
    everyone_asks();
    assert_eq!(decided(), all);
    let shown = scene.daemon.cli_ok(&["evidence", "show", "shop"]);
    let shown = shown.expect("shown");
    assert!(shown.contains("split at the decision: canary"), "{shown}");

    let text = config(&scene.topology, "0%");
    scene.daemon.write_config(&text).expect("written");
    scene.daemon.cli_ok(&["reload"]).expect("reloaded");
    let text = text.replace("[service.shop]\n", "[service.shop]\nrelease = \"2\"\n");
    scene.daemon.write_config(&text).expect("written");
    scene.daemon.cli_ok(&["reload"]).expect("reloaded");
    assert_eq!(decided(), 0);
    everyone_asks();
    assert_eq!(decided(), all);
    assert_eq!(evidence(&scene)["release"], "2");
}
