//! Cohorts: members get their version, leave it on time whoever runs, and outlive daemon and tables.

use std::{
    fs,
    net::IpAddr,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use splitter_tests::{client::Client, topology::vip_for};

use crate::scene::{PORT, Scene, config, scene};

/// How long it may take until a member has left, or was swept away.
const LEAVES_LIMIT: Duration = Duration::from_secs(60);

/// The usual service, whose members of `beta` get the canary and nobody else.
pub(crate) fn with_cohort(scene: &Scene) -> String {
    let segment = "segment = [{ name = \"testers\", match = { cohort = \"beta\" }, \
                   weight = { canary = \"100%\" } }]\n";
    config(&scene.topology, "0%").replace("[service.shop]\n", &format!("[service.shop]\n{segment}"))
}

impl Scene {
    fn cohort(&self, arguments: &[&str]) -> String {
        let all = [&["cohort"], arguments].concat();
        self.daemon.cli_ok(&all).expect("done")
    }

    /// For how long a member stays in `beta`, seconds, and its reference.
    fn left(&self, address: IpAddr) -> (Option<f64>, Value) {
        let path = format!("/v1/memberships?address={address}");
        let told = self.daemon.api_get(&path).expect("told");
        let of = &told["cohorts"][0];
        assert_eq!(of["cohort"], "beta", "{told}");
        (of["left_s"].as_f64(), of["reference"].clone())
    }

    fn members(&self) -> u64 {
        let told = self.daemon.api_get("/v1/cohorts").expect("listed");
        told["cohorts"][0]["members"].as_u64().expect("a number")
    }
}

#[test]
fn a_member_gets_the_canary_and_leaves_on_time_with_the_daemon_dead() {
    let mut scene = scene(false, "0%");
    let text = with_cohort(&scene);
    scene.daemon.write_config(&text).expect("written");
    scene.reload();
    let told = scene.told();
    assert!(
        told.contains("shop/testers asks for cohort beta, which does not exist"),
        "{told}"
    );
    scene.cohort(&["create", "beta"]);
    let clients = scene.clients();
    let is_v6 = |client: &&IpAddr| client.is_ipv6();
    let six = *clients.iter().find(is_v6).expect("one by IPv6");
    let [stays, renewed, leaves] = [clients[0], clients[1], clients[2]];
    scene.cohort(&["add", "beta", &stays.to_string()]);
    scene.cohort(&["add", "beta", &six.to_string(), "--ttl", "1h"]);
    let told = scene.cohort(&[
        "add",
        "beta",
        &renewed.to_string(),
        "--ttl",
        "30m",
        "--ref",
        "jane",
    ]);
    assert!(
        told.contains("added to cohort beta for another 30m 0s"),
        "{told}"
    );
    for client in &clients {
        let member = [stays, renewed, six].contains(client);
        let expected = if member { "canary" } else { "stable" };
        assert_eq!(scene.explained(*client), expected, "{client}");
    }
    scene.everyone_gets_what_explain_says();
    let why = scene
        .daemon
        .cli_ok(&["explain", "shop", &renewed.to_string()]);
    let why = why.expect("explained");
    assert!(why.contains("in cohort beta for another "), "{why}");
    assert!(
        why.contains("segment testers (cohort beta) takes the client"),
        "{why}"
    );
    let before = scene.left(renewed);
    assert_eq!(before.1, "jane");

    assert_eq!(scene.served_by(leaves), "stable");
    scene.cohort(&["add", "beta", &leaves.to_string(), "--ttl", "6s"]);
    assert_eq!(scene.served_by(leaves), "canary");
    scene.daemon.kill9().expect("killed");
    let begin = Instant::now();
    while scene.served_by(leaves) == "canary" {
        assert!(begin.elapsed() < LEAVES_LIMIT, "its time was up long ago");
        thread::sleep(Duration::from_millis(200));
    }
    for member in [stays, renewed, six] {
        assert_eq!(scene.served_by(member), "canary", "{member}");
    }

    scene.daemon.serve().expect("restarted");
    let after = scene.left(renewed);
    assert!(
        after.0 < before.0 && after.0 > Some(1.0),
        "{before:?} {after:?}"
    );
    assert_eq!((after.1, scene.left(stays).0), (before.1, None));
    let begin = Instant::now();
    while scene.members() != 3 {
        assert!(
            begin.elapsed() < LEAVES_LIMIT,
            "{} members",
            scene.members()
        );
        thread::sleep(Duration::from_millis(100));
    }
    scene.cohort(&["remove", "beta", &stays.to_string()]);
    assert_eq!(scene.served_by(stays), "stable");

    // New tables, as after a reboot: members are there before the first packet.
    scene.daemon.stop().expect("stopped");
    let pins = scene.daemon.pin_dir().to_string_lossy().into_owned();
    let detached = scene.daemon.cli_offline(&["detach", "--pin-dir", &pins]);
    assert_eq!(detached.expect("ran").code, Some(0));
    scene.daemon.serve().expect("started");
    assert_eq!(scene.served_by(six), "canary");
    assert!(scene.left(renewed).0 < after.0);
    scene.cohort(&["delete", "beta"]);
    assert_eq!(scene.served_by(six), "stable");
}

/// Clients and open flows that a dry run says would move, both ways: `stable` to `canary` first.
fn foreseen(scene: &Scene, arguments: &[&str]) -> [(u64, u64); 2] {
    let all = [&["cohort"], arguments, &["--dry-run", "-o", "json"]].concat();
    let told = scene.daemon.cli_ok(&all).expect("foreseen");
    let told: Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!(told["dry_run"], true);
    let [of] = &told["seen"].as_array().expect("services")[..] else {
        panic!("one service asks for it: {told}");
    };
    assert_eq!(of["service"], "shop");
    let clients = scene.clients().len();
    assert_eq!(of["seen"]["clients"], clients, "all were seen");
    let moves = of["seen"]["moves"].as_array().expect("moves");
    ["canary", "stable"].map(|to| {
        let found = moves.iter().find(|of| of["to"] == to);
        found.map_or((0, 0), |of| {
            let number = |field: &str| of[field].as_u64().expect("a number");
            (number("clients"), number("open_flows"))
        })
    })
}

#[test]
fn a_dry_run_says_who_of_those_seen_lately_would_move_and_changes_nothing() {
    let scene = scene(false, "0%");
    let text = with_cohort(&scene);
    scene.daemon.write_config(&text).expect("written");
    scene.reload();
    let told = scene.cohort(&["create", "beta", "--dry-run"]);
    assert!(told.contains("would be created"), "{told}");
    let none = ["cohort", "add", "beta", "10.0.0.1", "--dry-run"];
    let none = scene.daemon.cli(&none).expect("ran");
    assert_eq!(none.code, Some(4), "it was not created: {none:?}");
    scene.cohort(&["create", "beta"]);
    let clients = scene.clients();
    let client = Client::new(&scene.topology.client).expect("a client");
    let mut open = Vec::new();
    for (nth, source) in clients.iter().enumerate() {
        // The third one has two flows.
        for _ in 0..1 + usize::from(nth == 2) {
            let connection = client.connect(*source, vip_for(*source, PORT));
            let mut connection = connection.expect("connected");
            assert_eq!(connection.ask().expect("answered").version, "stable");
            open.push(connection);
        }
    }
    let names: Vec<String> = clients.iter().map(ToString::to_string).collect();
    let [first, third, last] = [&names[0], &names[2], &names[names.len() - 1]];
    assert_eq!(foreseen(&scene, &["add", "beta", first]), [(1, 1), (0, 0)]);
    assert_eq!(foreseen(&scene, &["add", "beta", "192.0.2.1"]), [(0, 0); 2]);
    let file = scene.daemon.config_path().with_file_name("members.csv");
    fs::write(&file, format!("{first}\n{third},1h\n{last}\n192.0.2.1\n")).expect("written");
    let path = file.to_string_lossy().into_owned();
    let import = ["import", "beta", &path];
    assert_eq!(foreseen(&scene, &import), [(3, 4), (0, 0)]);
    assert_eq!(scene.members(), 0, "nothing was changed");
    for name in [first, third, last] {
        assert_eq!(scene.explained(name.parse().expect("an address")), "stable");
    }
    scene.cohort(&import);
    let moved = clients
        .iter()
        .filter(|each| scene.explained(**each) == "canary");
    assert_eq!(moved.count(), 3, "as it was said");
    // Who is in it already stays.
    assert_eq!(foreseen(&scene, &["add", "beta", first]), [(0, 0); 2]);
    assert_eq!(
        foreseen(&scene, &["remove", "beta", third]),
        [(0, 0), (1, 2)]
    );
    assert_eq!(foreseen(&scene, &["delete", "beta"]), [(0, 0), (3, 4)]);
    assert_eq!(scene.members(), 4, "nothing was changed");
    let told = scene.cohort(&["delete", "beta", "--dry-run"]);
    assert!(
        told.contains("3 would move from canary to stable: 4 open flows"),
        "{told}"
    );
    scene.cohort(&["delete", "beta"]);
    assert!(
        clients
            .iter()
            .all(|each| scene.explained(*each) == "stable")
    );
    let events = scene.daemon.cli_ok(&["events"]).expect("told");
    assert_eq!(
        events.matches("cohort beta created by").count(),
        1,
        "{events}"
    );
}

#[test]
fn an_import_is_whole_or_leaves_bad_lines_out_and_a_database_that_is_lost_is_told() {
    let mut scene = scene(false, "0%");
    let text = with_cohort(&scene);
    scene.daemon.write_config(&text).expect("written");
    scene.reload();
    scene.cohort(&["create", "beta", "--reason", "a trial"]);
    let clients = scene.clients();
    let file = scene.daemon.config_path().with_file_name("members.csv");
    let path = file.to_string_lossy().into_owned();
    let text = format!(
        "address,ttl,reference\n{},1h,\"Doe, Jane\"\n10.0.0.0/8\n{}\n",
        clients[0], clients[1]
    );
    fs::write(&file, text).expect("written");
    let import = ["cohort", "import", "beta", &path];
    let refused = scene.daemon.cli(&import).expect("ran");
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(
        refused
            .stderr
            .contains("nothing was changed:\nline 3: 10.0.0.0/8 is a prefix"),
        "{refused:?}"
    );
    assert_eq!(
        (scene.members(), scene.explained(clients[0])),
        (0, "stable".into())
    );
    let told = scene.cohort(&["import", "beta", &path, "--skip-bad"]);
    assert!(
        told.contains("2 members added, 0 renewed") && told.contains("line 3: "),
        "{told}"
    );
    let versions = [0, 1, 2].map(|nth: usize| scene.explained(clients[nth]));
    assert_eq!(versions, ["canary", "canary", "stable"]);
    assert_eq!(scene.left(clients[0]).1, "Doe, Jane");
    let events = scene.daemon.cli_ok(&["events"]).expect("told");
    assert!(
        events.contains("cohort beta created by") && events.contains("1 bad lines left out"),
        "{events}"
    );
    let twice = scene
        .daemon
        .cli(&["cohort", "create", "beta"])
        .expect("ran");
    assert_eq!(twice.code, Some(5), "{twice:?}");
    let none = ["cohort", "add", "bta", "10.0.0.1"];
    let none = scene.daemon.cli(&none).expect("ran");
    assert!(
        none.code == Some(4) && none.stderr.contains("did you mean beta?"),
        "{none:?}"
    );

    // What the kernel has goes by the database, even one that is gone.
    scene.daemon.kill9().expect("killed");
    let database = scene.daemon.state_path().with_file_name("cohorts.db");
    fs::write(&database, "damaged, whatever it was".repeat(200)).expect("written");
    for end in ["db-wal", "db-shm"] {
        let _not_there = fs::remove_file(database.with_extension(end));
    }
    scene.daemon.serve().expect("restarted");
    let told = scene.told();
    assert!(told.contains("there are no cohorts any more"), "{told}");
    assert_eq!(scene.explained(clients[0]), "stable");
}
