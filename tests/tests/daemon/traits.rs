//! Device classes and activity, over real connections: by the SYNs of this kernel's stack, whose time to live
//! is changed as if it were another's.

use std::{fs, net::IpAddr};

use serde_json::Value;
use splitter_tests::capture::Capture;

use crate::scene::{Scene, config, scene};

/// A scene with a class of its own for SYNs that begin with a time to live of 128, whose devices are of the
/// canary, as clients of four flows are.
fn scene_of(traits: &str) -> Scene {
    let scene = scene(false, "0%");
    let of_service = "segment = [\n\
         { name = \"kiosks\", match = { device = [\"kiosk\"] }, weight = { canary = \"100%\" } },\n\
         { name = \"regulars\", match = { activity = [\"heavy\"] }, weight = { canary = \"100%\" } },\n]\n";
    let text = config(&scene.topology, "0%").replace(
        "[service.shop]\n",
        &format!(
            "[[device]]\nclass = \"kiosk\"\nttl = 128\noptions = \"mss sack ts nop ws\"\n\
             [service.shop]\ntraits = {{ normal_from = 2, heavy_from = 4, {traits} }}\n{of_service}"
        ),
    );
    scene.daemon.write_config(&text).expect("written");
    let told = scene.reload();
    assert!(
        told.contains("devices") && told.contains("kiosk: ttl 128"),
        "{told}"
    );
    scene
}

impl Scene {
    /// Two clients of IPv4, whose time to live can be set.
    fn two(&self) -> [IpAddr; 2] {
        let v4 = self.clients().into_iter().filter(IpAddr::is_ipv4);
        let two: Vec<IpAddr> = v4.take(2).collect();
        [two[0], two[1]]
    }

    /// With which time to live clients begin.
    fn begin_with_ttl(&self, ttl: &str) {
        let client = &self.topology.client;
        client.sysctl("net/ipv4/ip_default_ttl", ttl).expect("set");
    }

    fn traits(&self, client: IpAddr) -> Value {
        let client = client.to_string();
        let told = self
            .daemon
            .cli_ok(&["explain", "shop", &client, "-o", "json"]);
        let told: Value = serde_json::from_str(&told.expect("explained")).expect("JSON");
        told["traits"].clone()
    }
}

#[test]
fn a_device_is_known_by_its_syn_and_stands_whatever_the_next_one_shows() {
    let mut scene = scene_of("latch = \"1h\"");
    let [one, other] = scene.two();
    let fresh = scene.traits(one);
    assert_eq!(fresh["stands_s"], Value::Null, "{fresh}");
    assert_eq!(
        (&fresh["activity"], &fresh["flows"]),
        (&"new".into(), &0.into())
    );
    assert_eq!(scene.served_by(one), "stable");
    let known = scene.traits(one);
    assert_eq!(known["device"], "linux-like", "{known}");
    assert_eq!(known["flows"], 1, "{known}");
    let stands_s = known["stands_s"].as_f64().expect("seconds");
    assert!((3_000.0..=3_600.0).contains(&stands_s), "{known}");
    scene.begin_with_ttl("128");
    assert_eq!(scene.served_by(other), "canary");
    assert_eq!(scene.traits(other)["device"], "kiosk");
    // It was of another device a moment ago.
    assert_eq!(scene.served_by(one), "stable");
    // Who of those seen lately would move is known by what their flows were decided by.
    let away = ["weight", "set", "shop", "canary=0%", "--segment", "kiosks"];
    let told = scene
        .daemon
        .cli_ok(&[&away[..], &["--dry-run", "-o", "json"]].concat());
    let told: Value = serde_json::from_str(&told.expect("told")).expect("JSON");
    let moves = &told["seen"]["moves"];
    assert_eq!(
        (&moves[0]["clients"], &moves[1]),
        (&1.into(), &Value::Null),
        "{told}"
    );
    scene.begin_with_ttl("64");
    assert_eq!(scene.served_by(other), "canary");
    scene.daemon.kill9().expect("killed");
    assert_eq!(scene.served_by(other), "canary", "nobody runs");
    scene.daemon.serve().expect("started");
    assert_eq!(scene.served_by(other), "canary");
    assert_eq!(scene.explained(other), "canary");
    let status = scene.daemon.status_json().expect("a status");
    let kiosks = &status["services"][0]["segments"][0];
    let canary = kiosks["versions"].as_array().expect("versions").iter();
    let flows: u64 = canary.filter_map(|each| each["new_flows"].as_u64()).sum();
    assert_eq!(flows, 4, "{kiosks}");
    // Rules alone are another: SYNs that begin with 64 are of kiosks from now on, and what stands stands.
    let text = fs::read_to_string(scene.daemon.config_path()).expect("read");
    let text = text.replace("ttl = 128", "ttl = 64");
    scene.daemon.write_config(&text).expect("written");
    let told = scene.reload();
    assert!(told.contains("rule 1"), "{told}");
    let third = scene.clients().into_iter().filter(IpAddr::is_ipv4).nth(2);
    assert_eq!(scene.served_by(third.expect("a third one")), "canary");
    assert_eq!(scene.served_by(one), "stable");
}

#[test]
fn who_comes_often_is_of_the_regulars_once_what_was_found_has_stood_its_time() {
    let scene = scene_of("latch = \"1s\"");
    let [regular, rare] = scene.two();
    // The first four flows of a new client: none of them finds it heavy, however the time goes.
    for _ in 0..4 {
        assert_eq!(scene.served_by(regular), "stable", "{}", scene.told());
    }
    assert_eq!(scene.served_by(rare), "stable");
    scene.until_explained(regular, "canary");
    assert_eq!(scene.served_by(regular), "canary");
    assert_eq!(scene.served_by(rare), "stable");
    let known = scene.traits(regular);
    assert_eq!(
        (&known["activity"], &known["flows"]),
        (&"heavy".into(), &5.into())
    );
    assert_eq!(scene.traits(rare)["flows"], 2);
}

#[test]
fn a_capture_says_what_devices_there_were_and_where_they_would_go() {
    let mut scene = scene_of("latch = \"1h\"");
    let [one, other] = scene.two();
    let capture = Capture::start(&scene.topology.client, "eth0").expect("begun");
    scene.served_by(one);
    scene.begin_with_ttl("128");
    scene.served_by(other);
    let frames = capture.stop().expect("a capture");
    let path = scene.daemon.config_path().with_file_name("day.pcap");
    fs::write(&path, frames).expect("written");
    let path = path.to_string_lossy().into_owned();
    let told = scene.daemon.cli_ok(&["devices", &path]).expect("told");
    let classes: Vec<&str> = told
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert_eq!(classes, ["CLASS", "kiosk", "linux-like"], "{told}");
    assert!(
        told.contains("ttl 128, options mss sack ts nop ws"),
        "{told}"
    );
    // Where nothing stands for anybody, what a SYN shows decides.
    scene.daemon.stop().expect("stopped");
    let pin_dir = scene.daemon.pin_dir().to_string_lossy().into_owned();
    let detach = ["detach", "--pin-dir", &pin_dir];
    scene.daemon.cli_ok(&detach).expect("detached");
    scene.daemon.serve().expect("started");
    let told = scene.daemon.cli_ok(&["simulate", &path, "-o", "json"]);
    let told: Value = serde_json::from_str(&told.expect("simulated")).expect("JSON");
    let clients = told["clients"].as_array().expect("clients");
    let segment = |client: IpAddr| {
        let client = client.to_string();
        let found = clients
            .iter()
            .find(|each| each["client"] == client.as_str());
        let found = found.expect("a client of the capture");
        (found["version"].clone(), found["segment"].clone())
    };
    assert_eq!(segment(one), ("stable".into(), Value::Null));
    assert_eq!(segment(other), ("canary".into(), "kiosks".into()));
}
