//! Segments: over real connections, with their weights changed live, by the file and at run time.

use std::{fs, net::IpAddr};

use splitter_tests::{
    client::{AskError, Client},
    topology::vip_for,
};

use crate::scene::{PORT, Scene, config, scene};

/// The usual service with two segments; who is in the second stands in a file beside it.
fn with_segments(scene: &Scene, weight: &str) -> String {
    let segments = format!(
        "segment = [\n\
         {{ name = \"one\", match = {{ prefix = [\"{}\"] }}, weight = {{ canary = \"0%\" }} }},\n\
         {{ name = \"staff\", match = {{ prefix_file = \"staff.txt\" }}, \
         weight = {{ canary = \"{weight}\" }} }},\n]\n",
        scene.clients()[0]
    );
    config(&scene.topology, "0%")
        .replace("[service.shop]\n", &format!("[service.shop]\n{segments}"))
}

/// A scene in which all clients but the first are staff, who get the canary.
fn with_staff() -> Scene {
    let scene = scene(false, "0%");
    scene.staff(&scene.clients()[1..]);
    let text = with_segments(&scene, "100%");
    scene.daemon.write_config(&text).expect("written");
    scene.reload();
    scene
}

impl Scene {
    /// Writes the file of who is in `staff`.
    fn staff(&self, clients: &[IpAddr]) {
        let mut text = "# who works here\n\n".to_owned();
        for client in clients {
            text += &format!("{client} # one of them\n");
        }
        let path = self.daemon.config_path().with_file_name("staff.txt");
        fs::write(path, text).expect("written");
    }
}

#[test]
fn clients_of_a_segment_have_its_weights_and_explain_says_so() {
    let scene = scene(false, "0%");
    let clients = scene.clients();
    // The first is in both; that it comes first counts.
    let (staff, others) = clients.split_at(clients.len() / 2);
    scene.staff(staff);
    let text = with_segments(&scene, "100%");
    scene.daemon.write_config(&text).expect("written");
    let told = scene.reload();
    assert!(told.contains("+ segment staff"), "{told}");
    scene.everyone_gets_what_explain_says();
    for client in &clients {
        let expected = match client {
            first if *first == clients[0] => "stable",
            member if staff.contains(member) => "canary",
            _ => "stable",
        };
        assert_eq!(scene.explained(*client), expected, "{client}");
    }
    let explained = |client: IpAddr| {
        let told = scene
            .daemon
            .cli_ok(&["explain", "shop", &client.to_string()]);
        told.expect("explained")
    };
    let told = explained(staff[1]);
    assert!(
        told.contains("takes the client: its weights count"),
        "{told}"
    );
    let told = explained(others[0]);
    assert!(told.contains("in no segment"), "{told}");
    // Each client asked twice: over TCP and UDP.
    let status = scene.daemon.status_json().expect("a status");
    let service = &status["services"][0];
    let flows = |segment: usize, version: usize| {
        let version = &service["segments"][segment]["versions"][version];
        version["new_flows"].as_u64().expect("a number")
    };
    let counts = [[0, 0], [0, 1], [1, 0], [1, 1]].map(|[of, version]| flows(of, version));
    let staff_flows = 2 * (staff.len() as u64 - 1);
    assert_eq!(counts, [2, 0, 0, staff_flows]);
    assert_eq!(service["by_hash"]["stable"], 2 * others.len() as u64);
}

#[test]
fn a_segments_weight_is_changed_live_and_survives_a_restart() {
    let mut scene = with_staff();
    let clients = scene.clients();
    {
        let client = Client::new(&scene.topology.client).expect("a client");
        let mut open = client
            .connect(clients[1], vip_for(clients[1], PORT))
            .expect("connected");
        assert_eq!(open.ask().expect("answered").version, "canary");
        let set = [
            "weight",
            "set",
            "shop",
            "canary=0%",
            "--segment",
            "staff",
            "--flows",
            "reset",
        ];
        let told = scene.daemon.cli_ok(&set).expect("set");
        assert!(
            told.contains("of all clients in staff move from canary to stable"),
            "{told}"
        );
        assert_eq!(open.ask().expect_err("cut"), AskError::Reset);
    }
    assert_eq!(scene.explained(clients[1]), "stable");
    scene.everyone_gets_what_explain_says();
    scene.daemon.kill9().expect("killed");
    scene.daemon.serve().expect("restarted");
    assert_eq!(
        scene.explained(clients[1]),
        "stable",
        "what was set survives"
    );
    // The file wins when it changes that same key.
    let text = with_segments(&scene, "99%");
    scene.daemon.write_config(&text).expect("written");
    let told = scene.reload();
    assert!(
        told.contains("the weight 0% set at run time is dropped"),
        "{told}"
    );
    let refused = ["weight", "set", "shop", "canary=1%", "--segment", "stuff"];
    let refused = scene.daemon.cli(&refused).expect("ran");
    assert!(
        refused.code != Some(0) && refused.stderr.contains("did you mean \"staff\"?"),
        "{refused:?}"
    );
}

#[test]
fn weights_of_segments_are_read_back_where_the_state_was_lost_or_is_old() {
    let mut scene = with_staff();
    let clients = scene.clients();
    let versions = |scene: &Scene| -> Vec<String> {
        let clients = clients.iter();
        clients.map(|client| scene.explained(*client)).collect()
    };
    let set = |scene: &Scene, weight: &str| {
        let set = ["weight", "set", "shop", weight, "--segment", "staff"];
        scene.daemon.cli_ok(&set).expect("set");
    };
    let weight = |scene: &Scene| {
        let status = scene.daemon.status_json().expect("a status");
        let staff = &status["services"][0]["segments"][1];
        assert_eq!(staff["name"], "staff");
        staff["versions"][1]["weight"].clone()
    };
    set(&scene, "canary=40%");
    let before = versions(&scene);
    for version in ["stable", "canary"] {
        assert!(before[1..].iter().any(|each| each == version), "{before:?}");
    }
    scene.daemon.kill9().expect("killed");
    for end in ["", "-wal", "-shm"] {
        let path = format!("{}{end}", scene.daemon.state_path().display());
        let _not_there = fs::remove_file(path);
    }
    scene.daemon.serve().expect("restarted");
    assert_eq!(versions(&scene), before, "nobody moves");
    assert_eq!(weight(&scene), "40%", "{}", scene.told());
    scene.everyone_gets_what_explain_says();

    // And it stays a weight that was set: over starts, until the file changes that same key.
    scene.daemon.stop().expect("stopped");
    let old = fs::read(scene.daemon.state_path()).expect("a state");
    scene.daemon.serve().expect("restarted");
    assert_eq!(weight(&scene), "40%", "{}", scene.told());
    set(&scene, "canary=70%");
    let before = versions(&scene);
    scene.daemon.stop().expect("stopped");
    fs::write(scene.daemon.state_path(), old).expect("written");
    scene.daemon.serve().expect("restarted");
    assert_eq!(versions(&scene), before, "nobody moves");
    assert_eq!(weight(&scene), "70%", "{}", scene.told());
    scene.everyone_gets_what_explain_says();
    let text = with_segments(&scene, "99%");
    scene.daemon.write_config(&text).expect("written");
    let told = scene.reload();
    assert!(
        told.contains("the weight 70% set at run time is dropped"),
        "{told}"
    );
}

#[test]
fn a_file_of_prefixes_is_read_again_by_itself_and_its_errors_are_told_by_line() {
    let scene = scene(false, "0%");
    let clients = scene.clients();
    scene.staff(&clients[1..2]);
    let text = with_segments(&scene, "100%");
    scene.daemon.write_config(&text).expect("written");
    scene.reload();
    scene.staff(&clients[2..3]);
    scene.until_explained(clients[2], "canary");
    let versions = [1, 2].map(|nth: usize| scene.explained(clients[nth]));
    assert_eq!(versions, ["stable", "canary"]);
    let path = scene.daemon.config_path().with_file_name("staff.txt");
    fs::write(&path, "10.0.0.0/8\n\n  10.0.0.1/8 # no\n").expect("written");
    let refused = scene.daemon.cli(&["reload"]).expect("ran");
    let place = format!("{}:3:3: ", path.display());
    assert!(
        refused.stderr.contains(&place) && refused.stderr.contains("bits set behind"),
        "{refused:?}"
    );
    assert_eq!(scene.explained(clients[2]), "canary", "nothing was changed");
}
