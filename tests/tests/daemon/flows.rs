//! `splitter flows`: what is listed and counted are the connections that were made, and the estimate
//! is within its bound.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    thread,
    time::{Duration, Instant},
};

use aya::maps::{HashMap, Map, MapData};
use serde_json::Value;
use splitter_common::{
    clock::Jiffies32,
    flow::{Entry, entry::state, hop::NO_HOP},
    layout::{FlowEntry, FlowKey},
};
use splitter_tests::{
    client::{Client, Persistent},
    flood::Flood,
    topology::vip_for,
};
use splitter_user::dataplane::pod::Raw;

use crate::{
    floods::flooded,
    scene::{PORT, Scene, scene},
};

/// How long the estimate may take until it has seen what there is.
const ESTIMATE_LIMIT: Duration = Duration::from_secs(60);
/// Connections of every client.
const EACH: usize = 3;
/// Entries that the test makes.
const MADE: u32 = 10_000;

type Flows = HashMap<MapData, Raw<FlowKey>, Raw<FlowEntry>>;

/// What `splitter flows VERB shop` says to these arguments.
fn asked(scene: &Scene, verb: &str, arguments: &[&str]) -> Value {
    let mut all = vec!["flows", verb, "shop", "-o", "json"];
    all.extend(arguments);
    let told = scene.daemon.cli_ok(&all).expect("told");
    serde_json::from_str(&told).expect("JSON")
}

/// Flows by version.
fn counted(scene: &Scene, arguments: &[&str]) -> BTreeMap<String, u64> {
    let told = asked(scene, "count", arguments);
    let versions = told["versions"].as_array().expect("versions");
    let by_version: BTreeMap<String, u64> = versions
        .iter()
        .map(|each| {
            let name = each["name"].as_str().expect("a name").to_owned();
            (name, each["flows"].as_u64().expect("a number"))
        })
        .collect();
    assert_eq!(told["flows"], by_version.values().sum::<u64>());
    by_version
}

/// Opens connections of every client; by version and by client, how many.
fn connect<'a>(
    scene: &Scene,
    client: &'a Client,
) -> (
    Vec<Persistent<'a>>,
    BTreeMap<String, u64>,
    BTreeMap<IpAddr, String>,
) {
    let (mut open, mut by_version, mut of) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
    for source in scene.clients() {
        for _ in 0..EACH {
            let target = vip_for(source, PORT);
            let mut connection = client.connect(source, target).expect("connected");
            let reply = connection.ask().expect("answered");
            *by_version.entry(reply.version.clone()).or_default() += 1;
            of.insert(source, reply.version);
            open.push(connection);
        }
    }
    (open, by_version, of)
}

#[test]
fn flows_listed_and_counted_are_the_connections_that_were_made() {
    let scene = scene(false, "50%");
    let client = Client::new(&scene.topology.client).expect("a client");
    let (open, by_version, of) = connect(&scene, &client);
    assert_eq!(by_version.len(), 2, "both versions serve: {by_version:?}");
    assert_eq!(counted(&scene, &[]), by_version);
    for (source, version) in &of {
        let source = source.to_string();
        let own = BTreeMap::from([(version.clone(), EACH as u64)]);
        let told = counted(&scene, &["--client", &source, "--version", version]);
        assert_eq!(told, own, "{source}");
        let list = asked(&scene, "list", &["--client", &source]);
        let flows = list["flows"].as_array().expect("flows");
        assert_eq!((flows.len(), &list["more"]), (EACH, &0.into()));
        for flow in flows {
            let told = flow["client"].as_str().expect("a client");
            let address: std::net::SocketAddr = told.parse().expect("an address and port");
            assert_eq!(address.ip().to_string(), source);
            assert_eq!(flow["version"], **version);
            assert_eq!(flow["state"], "established");
            let backends = scene.topology.backends_of(version);
            let mut names = backends.flat_map(|each| [IpAddr::from(each.v4), each.v6.into()]);
            let backend: std::net::SocketAddr = flow["backend"]
                .as_str()
                .and_then(|backend| backend.parse().ok())
                .expect("a backend");
            assert!(names.any(|name| name == backend.ip()), "{flow}");
        }
    }
    let all = open.len();
    let list = asked(&scene, "list", &["--limit", "2"]);
    assert_eq!(list["flows"].as_array().expect("flows").len(), 2);
    assert_eq!(list["more"], all - 2);
    let text = scene
        .daemon
        .cli_ok(&["flows", "list", "shop", "--limit", "2"]);
    let more = format!("and {} more", all - 2);
    assert!(text.as_ref().expect("told").contains(&more), "{text:?}");
    // A client that closes leaves a flow that closes.
    drop(open);
    wait(|| {
        let told = asked(&scene, "count", &[]);
        let states = told["versions"].as_array().expect("versions").iter();
        states
            .map(|each| each["closing"].as_u64().expect("a number"))
            .sum::<u64>()
            == all as u64
    });
    assert_eq!(counted(&scene, &[]), by_version);
    // Handshakes that nobody completes are in the other table.
    flooded(&scene, Flood::Syns, 40);
    assert_eq!(counted(&scene, &[]), by_version);
    wait(|| {
        let told = asked(
            &scene,
            "count",
            &["--pending", "--client", "10.100.128.0/17"],
        );
        told["flows"] == 40
    });
    let refused = scene
        .daemon
        .cli(&["flows", "count", "shop", "--version", "canry"])
        .expect("ran");
    assert_eq!(refused.code, Some(4), "{}", refused.stderr);
    assert!(refused.stderr.contains("canary"), "{}", refused.stderr);
}

/// Waits until something holds.
fn wait(mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < ESTIMATE_LIMIT, "it does not come to hold");
        thread::sleep(Duration::from_millis(100));
    }
}

/// The table of established flows, as it is pinned.
fn established(scene: &Scene) -> Flows {
    let pin = scene.daemon.layout_dir().join("map_ESTABLISHED");
    let data = MapData::from_pin(pin).expect("the pinned table");
    Flows::try_from(Map::LruHashMap(data)).expect("a table of flows")
}

/// Puts entries like `like`, of clients of their own, into the table.
fn put(
    flows: &mut Flows,
    like: (FlowKey, Entry),
    network: [u8; 2],
    number: u32,
    change: impl Fn(&mut Entry),
) {
    let (key, mut entry) = like;
    change(&mut entry);
    for at in 0..number {
        let [_, _, high, low] = at.to_be_bytes();
        let client = IpAddr::from([network[0], network[1], high, low]);
        let key = FlowKey {
            client: client.into(),
            ..key
        };
        let element = entry.pack(splitter_common::flow::Table::Established, key.tag(), NO_HOP);
        flows
            .insert(Raw(key), Raw(element), 0)
            .expect("room in the table");
    }
}

/// What `status` estimates for a version.
fn estimated(scene: &Scene, version: &str) -> Option<u64> {
    let status = scene.daemon.status_json().expect("a status");
    let versions = status["services"][0]["versions"]
        .as_array()
        .expect("versions");
    let found = versions.iter().find(|each| each["name"] == version);
    found.expect("the version")["open_flows"]["flows"].as_u64()
}

#[test]
fn ten_thousand_entries_are_counted_exactly_and_estimated_within_the_bound() {
    let scene = scene(false, "50%");
    let client = Client::new(&scene.topology.client).expect("a client");
    let (_open, mut truth, of) = connect(&scene, &client);
    let mut flows = established(&scene);
    let templates: BTreeMap<String, (FlowKey, Entry)> = flows
        .iter()
        .filter_map(Result::ok)
        .map(|(Raw(key), Raw(element))| {
            let entry = Entry::unpack(&element, key.tag()).expect("an entry");
            (of[&IpAddr::from(key.client)].clone(), (key, entry))
        })
        .filter(|(_, (key, _))| IpAddr::from(key.client).is_ipv4())
        .collect();
    let (stable, canary) = (templates["stable"], templates["canary"]);
    put(&mut flows, stable, [192, 18], MADE - 1_000, |_| {});
    put(&mut flows, canary, [192, 19], 1_000, |_| {});
    *truth.get_mut("stable").expect("serves") += u64::from(MADE - 1_000);
    *truth.get_mut("canary").expect("serves") += 1_000;
    assert_eq!(counted(&scene, &[]), truth);
    assert_eq!(
        counted(&scene, &["--client", "192.18.4.0/24"])["stable"],
        256
    );
    // What the packet path would not use is no flow.
    put(&mut flows, stable, [192, 20], 700, |entry| {
        entry.generation = 0;
    });
    put(&mut flows, stable, [192, 21], 700, |entry| {
        entry.state |= state::OWN;
    });
    put(&mut flows, stable, [192, 22], 700, |entry| {
        entry.state |= state::RST_CLIENT;
        entry.seen = Jiffies32(entry.seen.0.wrapping_sub(1 << 20));
    });
    assert_eq!(counted(&scene, &[]), truth);
    // Three times the deviation of a sample of all: what was not looked at can only be less.
    for (version, truth) in &truth {
        let bound = (3.0 * (*truth as f64).sqrt()) as u64;
        wait(|| estimated(&scene, version).is_some_and(|told| told.abs_diff(*truth) <= bound));
    }
    let all: u64 = truth.values().sum();
    let truth = all as f64 * 100.0 / 65_536.0;
    wait(|| {
        let status = scene.daemon.status_json().expect("a status");
        let fill = status["tables"][0]["fill_percent"].as_f64();
        (fill.expect("a number") - truth).abs() < 0.5
    });
    let told = scene.told();
    assert!(
        told.contains("tables: established ~1") && told.contains(" % of 65,536, pending ~0 % of"),
        "{told}"
    );
    assert!(told.contains("  flows stable ~"), "{told}");
}
