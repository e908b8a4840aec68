//! `splitter simulate`: what it says of each client of a list is what the kernel then does with its
//! connections, and what it says of a capture is what the kernel counted of the same packets.

use std::{
    collections::BTreeMap,
    fs,
    net::IpAddr,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use splitter_tests::{capture::Capture, client::Client, topology::vip_for};

use crate::scene::{PORT, Scene, config, scene};

/// How long the last packets may take until both have counted them.
const LIMIT: Duration = Duration::from_secs(30);

/// The usual service, with a segment that pins, one that does not, and a client that is denied.
fn with_segments(scene: &Scene) -> String {
    let clients = scene.clients();
    let names = |clients: &[IpAddr]| {
        let names: Vec<String> = clients.iter().map(|each| format!("\"{each}\"")).collect();
        names.join(", ")
    };
    let is_v6 = |client: &&IpAddr| client.is_ipv6();
    let sixes: Vec<IpAddr> = clients.iter().filter(is_v6).copied().collect();
    let rules = format!(
        "[service.shop]\ndeny = [{}]\nsegment = [\n\
         {{ name = \"pinned\", match = {{ prefix = [{}] }}, weight = {{ canary = \"100%\" }} }},\n\
         {{ name = \"half\", match = {{ prefix = [{}] }}, weight = {{ canary = \"50%\" }} }},\n]\n",
        names(&denied(scene)),
        names(&[clients[1], sixes[1]]),
        names(&[&clients[2..10], &sixes[2..8]].concat()),
    );
    config(&scene.topology, "30%").replace("[service.shop]\n", &rules)
}

/// Who is not served.
fn denied(scene: &Scene) -> [IpAddr; 1] {
    [scene.clients()[0]]
}

impl Scene {
    /// What `simulate` says of a file that holds this.
    fn simulated(&self, name: &str, content: &[u8], arguments: &[&str]) -> Value {
        let path = self.daemon.config_path().with_file_name(name);
        fs::write(&path, content).expect("written");
        let path = path.to_string_lossy().into_owned();
        let all = [&["simulate", &path, "-o", "json"], arguments].concat();
        let told = self.daemon.cli_ok(&all).expect("simulated");
        serde_json::from_str(&told).expect("JSON")
    }

    /// The version that every client really gets, by a connection; `None`: none comes about.
    fn asked(&self) -> BTreeMap<IpAddr, Option<String>> {
        let client = Client::new(&self.topology.client).expect("a client");
        let clients = self.clients().into_iter();
        clients
            .map(|source| {
                let reply = client.get(source, vip_for(source, PORT));
                (source, reply.ok().map(|reply| reply.version))
            })
            .collect()
    }

    /// New flows by segment and version, as the kernel counted them; "-": in none.
    fn flows(&self) -> BTreeMap<(String, String), u64> {
        let status = self.daemon.status_json().expect("a status");
        let service = &status["services"][0];
        let mut flows = BTreeMap::new();
        for segment in list(&service["segments"]) {
            for version in list(&segment["versions"]) {
                let key = (text(&segment["name"]), text(&version["version"]));
                flows.insert(key, number(&version["new_flows"]));
            }
        }
        for (version, count) in service["by_hash"].as_object().expect("by version") {
            flows.insert(("-".to_owned(), version.clone()), number(count));
        }
        flows
    }
}

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().expect("a list")
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

fn number(value: &Value) -> u64 {
    value.as_u64().expect("a number")
}

/// What was told of every client, by a field; `None` where it is denied.
fn told_of(told: &Value, field: &str) -> BTreeMap<IpAddr, Option<String>> {
    let clients = list(&told["clients"]).iter();
    clients
        .map(|client| {
            let denied = client["denied"].as_bool().expect("told");
            let version = (!denied).then(|| text(&client[field]));
            (
                text(&client["client"]).parse().expect("an address"),
                version,
            )
        })
        .collect()
}

/// Sums by segment and version, of a field.
fn sums(told: &Value, field: &str) -> BTreeMap<(String, String), u64> {
    let versions = list(&told["services"][0]["versions"]).iter();
    versions
        .map(|of| {
            let segment = of["segment"].as_str().unwrap_or("-").to_owned();
            ((segment, text(&of["version"])), number(&of[field]))
        })
        .collect()
}

/// Who differs, by both versions.
fn moved(
    before: &BTreeMap<IpAddr, Option<String>>,
    after: &BTreeMap<IpAddr, Option<String>>,
) -> BTreeMap<(String, String), u64> {
    let mut moved = BTreeMap::new();
    for (client, from) in before {
        if let (Some(from), Some(to)) = (from, &after[client])
            && from != to
        {
            *moved.entry((from.clone(), to.clone())).or_default() += 1;
        }
    }
    moved
}

fn moves(told: &Value) -> BTreeMap<(String, String), u64> {
    let moves = list(&told["services"][0]["moves"]).iter();
    moves
        .map(|of| ((text(&of["from"]), text(&of["to"])), number(&of["clients"])))
        .collect()
}

#[test]
fn what_is_said_of_a_list_is_what_the_kernel_does_then() {
    let scene = scene(false, "30%");
    let rules = with_segments(&scene);
    scene.daemon.write_config(&rules).expect("written");
    scene.reload();
    let clients = scene.clients();
    let lines: Vec<String> = clients
        .iter()
        .map(|each| format!("{each},a user"))
        .collect();
    let names = lines.join("\n");
    let told = scene.simulated("clients.csv", names.as_bytes(), &[]);
    let asked = scene.asked();
    assert_eq!(told_of(&told, "version"), asked);
    assert_eq!(asked[&denied(&scene)[0]], None, "denied");
    assert_eq!(sums(&told, "clients"), scene.flows(), "each asked once");
    assert_eq!(
        told["services"][0]["denied"]["clients"],
        denied(&scene).len()
    );

    let others: [(&str, &[&str]); 2] = [("canary=70%", &[]), ("canary=0%", &["--segment", "half"])];
    for (weight, segment) in others {
        let before = scene.asked();
        let arguments = [&["--weight", weight], segment].concat();
        let told = scene.simulated("clients.csv", names.as_bytes(), &arguments);
        assert_eq!(told_of(&told, "version"), before, "nothing was changed");
        let set = [&["weight", "set", "shop", weight], segment].concat();
        scene.daemon.cli_ok(&set).expect("set");
        let after = scene.asked();
        assert_eq!(told_of(&told, "would_be"), after, "{weight} {segment:?}");
        let moved = moved(&before, &after);
        assert!(!moved.is_empty(), "{weight} moves nobody");
        assert_eq!(moves(&told), moved);
    }

    // Of a client whose port is told the backend is, too.
    let client = Client::new(&scene.topology.client).expect("a client");
    let mut open = Vec::new();
    for source in &clients[1..] {
        let connection = client.connect(*source, vip_for(*source, PORT));
        let mut connection = connection.expect("connected");
        connection.ask().expect("answered");
        open.push(connection);
    }
    let flows = ["flows", "list", "shop", "-o", "json", "--limit", "10000"];
    let flows = scene.daemon.cli_ok(&flows).expect("listed");
    let flows: Value = serde_json::from_str(&flows).expect("JSON");
    let backends: BTreeMap<String, String> = list(&flows["flows"])
        .iter()
        .filter(|flow| flow["state"] == "established" && text(&flow["vip"]).ends_with("/tcp"))
        .map(|flow| (text(&flow["client"]), text(&flow["backend"])))
        .collect();
    assert_eq!(backends.len(), open.len());
    let names: Vec<&str> = backends.keys().map(String::as_str).collect();
    let told = scene.simulated("flows.txt", names.join("\n").as_bytes(), &[]);
    let told: BTreeMap<String, String> = list(&told["clients"])
        .iter()
        .map(|flow| (text(&flow["client"]), text(&flow["backend"])))
        .collect();
    assert_eq!(told, backends);
}

#[test]
fn what_is_said_of_a_capture_is_what_the_kernel_counted_of_it() {
    let scene = scene(false, "30%");
    let rules = with_segments(&scene);
    scene.daemon.write_config(&rules).expect("written");
    scene.reload();
    let capture = Capture::start(&scene.topology.client, "eth0").expect("begun");
    scene.asked();
    let client = Client::new(&scene.topology.client).expect("a client");
    for source in &scene.clients()[1..] {
        client
            .udp_ask(*source, vip_for(*source, PORT))
            .expect("answered");
    }
    // The ends of connections may still be on their way.
    let bytes = || {
        let of = ["stable", "canary"].map(|version| scene.counter(version, "bytes_in"));
        (of, scene.flows())
    };
    let begin = Instant::now();
    let mut counted = bytes();
    loop {
        thread::sleep(Duration::from_secs(1));
        let now = bytes();
        if now == counted {
            break;
        }
        counted = now;
        assert!(begin.elapsed() < LIMIT, "{counted:?}");
    }
    let file = capture.stop().expect("captured");
    let told = scene.simulated("day.pcap", &file, &[]);
    assert_eq!(sums(&told, "flows"), counted.1, "{told:#}");
    let of_version = |name: &str| {
        let sums = sums(&told, "bytes");
        let own = sums.iter().filter(|((_, version), _)| version == name);
        own.map(|(_, bytes)| bytes).sum::<u64>()
    };
    assert_eq!(["stable", "canary"].map(of_version), counted.0, "{told:#}");
    assert_eq!(told["services"][0]["denied"]["clients"], 1);
    let clients = scene.clients().len();
    assert_eq!(told["services"][0]["all"]["clients"], clients);
    let capture = &told["capture"];
    let (all, to_vips) = (number(&capture["packets"]), number(&capture["to_vips"]));
    assert!(
        all > to_vips,
        "answers are in it, and go to no VIP: {capture}"
    );
    assert_eq!([&capture["unread"], &capture["later_fragments"]], [0, 0]);

    // A file that breaks off is told, and what it holds is not counted by half.
    let path = scene.daemon.config_path().with_file_name("cut.pcap");
    fs::write(&path, &file[..file.len() - 1]).expect("written");
    let cut = scene.daemon.cli(&["simulate", &path.to_string_lossy()]);
    let cut = cut.expect("ran");
    assert!(
        cut.code == Some(2) && cut.stderr.contains("breaks off behind frame"),
        "{cut:?}"
    );
}
