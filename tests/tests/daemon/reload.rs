//! Reloads: what the file changed takes effect, and nothing else, and nobody is hurt.

use splitter_tests::load::LoadMode;

use crate::scene::{PORT, Scene, config, scene};

impl Scene {
    /// Writes the configuration that `change` makes of the usual one.
    fn write(&self, weight: &str, change: impl Fn(String) -> String) {
        let text = change(config(&self.topology, weight));
        self.daemon.write_config(&text).expect("written");
    }

    pub(crate) fn reload(&self) -> String {
        self.daemon.cli_ok(&["reload"]).expect("reloaded")
    }

    fn weight(&self) -> f64 {
        let status = self.daemon.status_json().expect("a status");
        let canary = &status["services"][0]["versions"][1];
        canary["weight_percent"].as_f64().expect("a number")
    }

    fn warnings(&self) -> String {
        let status = self.daemon.status_json().expect("a status");
        status["warnings"].to_string()
    }
}

#[test]
fn a_reload_under_load_applies_what_the_file_changed_and_hurts_nobody() {
    let scene = scene(false, "10%");
    // The second backend of the stable version comes later.
    let second = &scene.topology.backends[1];
    let without = |text: String| {
        let (v4, v6) = (
            format!(", \"{}:{PORT}\"", second.v4),
            format!(", \"[{}]:{PORT}\"", second.v6),
        );
        assert!(text.contains(&v4) && text.contains(&v6), "{text}");
        text.replace(&v4, "").replace(&v6, "")
    };
    scene.write("10%", without);
    scene.reload();
    let loads = [LoadMode::NewConnection, LoadMode::KeepAlive, LoadMode::Udp]
        .map(|mode| scene.load_at(mode, 150));
    scene.ask_on(&loads, 60);
    scene
        .daemon
        .cli_ok(&["weight", "set", "shop", "canary=30%"])
        .expect("set");
    // Another key than the one that was set: the weight stays, and new backends are reached.
    let more = |text: String| {
        text + "[service.other]\nvips = [\"203.0.113.77:80/tcp\"]\n\
                [service.other.version.stable]\nbaseline = true\nbackends = [\"10.2.0.11:81\"]\n"
    };
    scene.write("10%", more);
    assert!(
        scene.warnings().contains("splitter reload"),
        "{}",
        scene.warnings()
    );
    let told = scene.reload();
    assert!(
        told.contains("service other is new") && told.contains("canary=30%, set at run time"),
        "{told}"
    );
    let comes = format!("+ backend {}:{PORT} of stable: weight 1", second.v4);
    assert!(told.contains(&comes), "{comes}: {told}");
    assert_eq!(scene.weight(), 30.0);
    assert!(!scene.warnings().contains("reload"), "{}", scene.warnings());
    scene.ask_on(&loads, 60);
    // The key itself: the file wins and says so, and the other service goes.
    scene.write("20%", |text| text);
    let dry = scene.daemon.cli_ok(&["reload", "--dry-run"]).expect("said");
    for wanted in [
        "nothing was changed",
        "~ weight of canary: 30% -> 20%",
        "10% of all clients would move from canary to stable",
        "service other goes",
        "the weight 30% set at run time is dropped",
    ] {
        assert!(dry.contains(wanted), "{wanted}: {dry}");
    }
    assert_eq!(scene.weight(), 30.0, "a dry run changes nothing");
    let told = scene.reload();
    assert!(
        told.contains("10% of all clients move from canary to stable"),
        "{told}"
    );
    assert_eq!(scene.weight(), 20.0);
    scene.ask_on(&loads, 60);
    let mut reports = loads.map(|load| load.stop());
    for report in &reports {
        scene.unharmed(report);
    }
    let of_new_flows = std::mem::take(&mut reports[0]).by_client;
    assert!(
        of_new_flows
            .values()
            .any(|seen| seen.backends.contains("b2")),
        "the backend that came has flows: {of_new_flows:?}"
    );
    scene.everyone_gets_what_explain_says();
    let told = scene.reload();
    assert!(
        told.contains("nothing else than what is in force"),
        "{told}"
    );
}

#[test]
fn a_file_with_an_error_changes_nothing_and_is_warned_of_until_it_is_mended() {
    let mut scene = scene(false, "10%");
    scene.daemon.stop().expect("stopped");
    scene.daemon.manage().expect("managed");
    scene.daemon.serve().expect("started");
    assert_eq!(scene.daemon.told_manager().expect("told"), "READY=1\n");
    let before = scene.daemon.generation().expect("a generation");
    scene.write("10%", |text| {
        text + "[service.shop.version.stabel]\nwieght = \"5%\"\n"
    });
    assert!(
        scene.warnings().contains("no daemon starts"),
        "{}",
        scene.warnings()
    );
    for arguments in [&["reload", "--dry-run"][..], &["reload"]] {
        let output = scene.daemon.cli(arguments).expect("ran");
        assert_eq!(output.code, Some(2), "{output:?}");
        let place = format!("\n{}:", scene.daemon.config_path().display());
        assert!(
            output.stderr.contains(&place) && output.stderr.contains("wieght"),
            "{output:?}"
        );
    }
    assert_eq!(scene.daemon.generation().expect("a generation"), before);
    let warnings = scene.warnings();
    assert!(
        warnings.contains("was refused") && warnings.contains("wieght"),
        "{warnings}"
    );
    // Mended, and told by the signal that a service manager sends.
    scene.write("40%", |text| text);
    scene.daemon.hang_up().expect("told");
    let reloading = scene.daemon.told_manager().expect("told");
    assert!(
        reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="),
        "{reloading}"
    );
    assert_eq!(scene.daemon.told_manager().expect("told"), "READY=1\n");
    let mended = |status: &serde_json::Value| {
        status["services"][0]["versions"][1]["weight_percent"] == 40.0
            && !status["warnings"].to_string().contains("refused")
    };
    scene.daemon.until(mended).expect("reloaded");
    assert!(
        scene.daemon.log().contains("reloaded by SIGHUP"),
        "{}",
        scene.daemon.log()
    );
}

#[test]
fn interfaces_are_changed_by_a_reload_all_or_none() {
    let scene = scene(false, "10%");
    let lb = &scene.topology.lb;
    let pair = [
        "link", "add", "more0", "type", "veth", "peer", "name", "more1",
    ];
    lb.ip(&pair).expect("made");
    lb.ip(&["link", "set", "more0", "up"]).expect("up");
    let with = |names: &'static [(&str, &str)]| {
        move |text: String| {
            let listed = names.iter().map(|(name, mode)| {
                format!("[[interface]]\nname = \"{name}\"\nxdp = \"{mode}\"\n")
            });
            text + &listed.collect::<String>()
        }
    };
    let shown = |name: &str| lb.ip(&["link", "show", name]).expect("shown");
    let load = scene.load_at(LoadMode::NewConnection, 150);
    scene.write("10%", with(&[("more0", "generic")]));
    let told = scene.reload();
    assert!(told.contains("+ more0: generic"), "{told}");
    assert!(shown("more0").contains("xdpgeneric"), "{}", shown("more0"));
    // One that cannot be had takes back what was done to the others, weights too.
    scene.write("90%", with(&[("more0", "native"), ("lo", "native")]));
    let output = scene.daemon.cli(&["reload"]).expect("ran");
    assert_eq!(output.code, Some(5), "{output:?}");
    assert!(
        output.stderr.contains("lo: its driver refuses native XDP"),
        "{output:?}"
    );
    assert!(shown("more0").contains("xdpgeneric"), "{}", shown("more0"));
    assert_eq!(scene.weight(), 10.0);
    assert!(
        scene.warnings().contains("was refused"),
        "{}",
        scene.warnings()
    );
    scene.write("10%", with(&[("more0", "native")]));
    let told = scene.reload();
    assert!(told.contains("~ more0: generic -> native"), "{told}");
    assert!(!shown("more0").contains("xdpgeneric") && shown("more0").contains("prog/xdp"));
    scene.write("10%", with(&[("more7", "native")]));
    let output = scene.daemon.cli(&["reload", "--dry-run"]).expect("ran");
    assert_eq!(output.code, Some(4), "{output:?}");
    scene.write("10%", |text| text);
    assert!(scene.reload().contains("- more0: native"));
    scene.ask_on([&load], 120);
    assert!(!shown("more0").contains("prog/xdp"), "{}", shown("more0"));
    scene.unharmed(&load.stop());
    let status = scene.daemon.status_json().expect("a status");
    let names: Vec<&str> = status["interfaces"]
        .as_array()
        .expect("interfaces")
        .iter()
        .filter_map(|each| each["name"].as_str())
        .collect();
    assert_eq!(names, scene.topology.lb_interfaces);
}

/// A bridge has no native XDP, and a native program cannot send to one.
#[test]
fn an_interface_that_is_generic_makes_all_so_and_status_says_why() {
    let scene = scene(false, "10%");
    let auto = |text: String| text.replace("xdp = \"native\"", "xdp = \"auto\"");
    scene.write("10%", auto);
    let told = scene.reload();
    assert!(told.contains("~ cli0: native -> auto"), "{told}");
    let modes = || {
        let status = scene.daemon.status_json().expect("a status");
        let interfaces = status["interfaces"].as_array().expect("interfaces").clone();
        interfaces
            .iter()
            .map(|each| format!("{} {}", each["mode"], each["note"]))
            .collect::<Vec<String>>()
    };
    assert_eq!(modes(), ["\"native\" null"; 2]);
    let lb = &scene.topology.lb;
    lb.ip(&["link", "add", "br9", "type", "bridge"])
        .expect("made");
    lb.ip(&["link", "set", "br9", "up"]).expect("up");
    scene.write("10%", |text| auto(text) + "[[interface]]\nname = \"br9\"\n");
    scene.reload();
    assert!(
        modes().iter().all(|mode| mode.contains("\"generic\"")),
        "{:?}",
        modes()
    );
    assert!(
        modes()[0].contains("because another interface is"),
        "{:?}",
        modes()
    );
    scene.everyone_gets_what_explain_says();
    scene.write("10%", auto);
    scene.reload();
    // Another mode costs packets: it changes when that is asked for.
    assert!(
        modes()[0].contains("generic since earlier"),
        "{:?}",
        modes()
    );
    scene.write("10%", |text| text);
    scene.reload();
    assert_eq!(modes(), ["\"native\" null"; 2]);
    scene.everyone_gets_what_explain_says();
}

#[test]
fn sizes_of_tables_take_a_start_anew_and_clients_keep_their_version() {
    let mut scene = scene(false, "10%");
    let larger = |text: String| text.replace("flows = 65536", "flows = 131072");
    scene.write("20%", larger);
    let output = scene.daemon.cli(&["reload"]).expect("ran");
    assert_eq!(output.code, Some(5), "{output:?}");
    assert!(
        output.stderr.contains("flows = 131072") && output.stderr.contains("splitter detach"),
        "{output:?}"
    );
    assert_eq!(scene.weight(), 10.0, "nothing of the file is applied");
    // What the sentence says to do does it.
    scene.daemon.stop().expect("stopped");
    let pin_dir = scene.daemon.pin_dir().to_str().expect("UTF-8").to_owned();
    scene
        .daemon
        .cli_ok(&["detach", "--pin-dir", &pin_dir])
        .expect("detached");
    scene.daemon.serve().expect("started anew");
    assert_eq!(scene.weight(), 20.0);
    // A salt in use is refused as at a start.
    scene.write("20%", |text| {
        larger(text).replace("[service.shop]\n", "[service.shop]\nrelease = \"2\"\n")
    });
    let output = scene.daemon.cli(&["reload"]).expect("ran");
    assert_eq!(output.code, Some(5), "{output:?}");
    assert!(
        output.stderr.contains("the release has changed"),
        "{output:?}"
    );
    scene.everyone_gets_what_explain_says();
}
