//! Interfaces: whose program they carry, in which mode, and when they come and go.

use aya::programs::links::PinnedLink;
use splitter_tests::{
    client::Client,
    daemon::Daemon,
    server::Server,
    topology::{Topology, TopologyOptions, vip_for},
};

use crate::scene::{PORT, config, scene};

#[test]
fn a_foreign_program_and_an_absent_interface_are_named() {
    let topology = Topology::build(&TopologyOptions::default()).expect("a topology");
    let good = config(&topology, "10%");
    let absent = good.replace("name = \"srv0\"", "name = \"srv7\"");
    let mut daemon = Daemon::prepare(&topology.lb, &absent).expect("prepared");
    assert!(daemon.serve().is_err());
    assert!(
        daemon.log().contains("srv7") && daemon.log().contains("srv0"),
        "{}",
        daemon.log()
    );

    let first = Daemon::start(&topology.lb, &good).expect("started");
    daemon.write_config(&good).expect("written");
    assert!(daemon.serve().is_err());
    assert!(
        daemon.log().contains("another XDP program"),
        "{}",
        daemon.log()
    );
    drop(first);
}

#[test]
fn a_way_that_does_not_carry_the_program_is_named() {
    let topology = Topology::build(&TopologyOptions::default()).expect("a topology");
    let lone =
        config(&topology, "10%").replace("[[interface]]\nname = \"srv0\"\nxdp = \"native\"\n", "");
    let daemon = Daemon::start(&topology.lb, &lone).expect("a daemon");
    let status = daemon.status_json().expect("a status");
    let warnings = status["warnings"].to_string();
    assert!(
        warnings.contains("is reached by srv0, which does not carry the program"),
        "{warnings}"
    );
}

#[test]
fn a_mode_that_is_refused_leaves_the_one_that_ran() {
    let mut scene = scene(false, "10%");
    let good = config(&scene.topology, "10%");
    let with_lo = |mode| format!("[[interface]]\nname = \"lo\"\nxdp = \"{mode}\"\n{good}");
    scene.daemon.stop().expect("stopped");
    scene
        .daemon
        .write_config(&with_lo("generic"))
        .expect("written");
    scene.daemon.serve().expect("lo takes generic XDP");
    scene.daemon.stop().expect("stopped");
    scene
        .daemon
        .write_config(&with_lo("native"))
        .expect("written");
    let error = scene.daemon.serve().expect_err("lo has no native XDP");
    let told = format!("{error:#}\n{}", scene.daemon.log());
    assert!(
        told.contains("refuses native XDP") && told.contains("it runs in the mode it had"),
        "{told}"
    );
    let links = scene
        .topology
        .lb
        .ip(&["link", "show", "lo"])
        .expect("shown");
    assert!(links.contains("xdpgeneric"), "{links}");
}

#[test]
fn an_interface_is_free_as_soon_as_it_was_detached() {
    let mut scene = scene(false, "10%");
    scene.daemon.stop().expect("stopped");
    let pin_dir = scene.daemon.pin_dir().to_str().expect("UTF-8").to_owned();
    // Whoever looks at the link, as `bpftool link` does, holds it: the pin alone is not all.
    let link = scene.daemon.layout_dir().join("link_cli0");
    let held = PinnedLink::from_pin(link).expect("a link");
    scene
        .daemon
        .cli_ok(&["detach", "--pin-dir", &pin_dir])
        .expect("detached");
    let links = scene.topology.lb.ip(&["link", "show"]).expect("shown");
    assert!(!links.contains("prog/xdp"), "{links}");
    scene.daemon.serve().expect("attached at once");
    drop(held);
}

#[test]
fn an_interface_that_is_made_again_carries_the_program_again() {
    let topology = Topology::build(&TopologyOptions::default()).expect("a topology");
    let lb = &topology.lb;
    let make = || {
        let pair = [
            "link", "add", "more0", "type", "veth", "peer", "name", "more1",
        ];
        lb.ip(&pair).expect("made");
        lb.ip(&["link", "set", "more0", "up"]).expect("up");
    };
    make();
    let text = format!(
        "[[interface]]\nname = \"more0\"\nxdp = \"native\"\n{}",
        config(&topology, "10%")
    );
    let daemon = Daemon::start(lb, &text).expect("a daemon");
    let carried = |mode: &'static str| {
        move |status: &serde_json::Value| status["interfaces"][0]["mode"] == mode
    };
    daemon.until(carried("native")).expect("attached");
    lb.ip(&["link", "del", "more0"]).expect("deleted");
    let status = daemon.until(carried("none")).expect("noticed");
    let warnings = status["warnings"].to_string();
    assert!(
        warnings.contains("more0 does not carry the program: the interface is gone"),
        "{warnings}"
    );
    make();
    let status = daemon.until(carried("native")).expect("attached again");
    let links = lb.ip(&["link", "show", "more0"]).expect("shown");
    assert!(links.contains("prog/xdp"), "{links}");
    let own = lb.ifindex("more0").expect("an index");
    assert_eq!(status["interfaces"][0]["ifindex"], own);
    assert!(
        !status["warnings"].to_string().contains("more0"),
        "{status}"
    );
}

#[test]
fn a_vip_that_is_this_hosts_own_is_named() {
    let scene = scene(false, "10%");
    let lb = &scene.topology.lb;
    let names_it = |status: &serde_json::Value| {
        let warnings = status["warnings"].to_string();
        warnings.contains("203.0.113.10 is an address of this host")
    };
    lb.ip(&["address", "add", "203.0.113.10/32", "dev", "lo"])
        .expect("added");
    scene.daemon.until(names_it).expect("warned of");
    lb.ip(&["address", "del", "203.0.113.10/32", "dev", "lo"])
        .expect("taken off");
    let not = |status: &serde_json::Value| !names_it(status);
    scene.daemon.until(not).expect("no longer warned of");
}

#[test]
fn with_a_bridge_all_interfaces_run_generic_and_clients_are_answered() {
    let topology = Topology::build(&TopologyOptions::default()).expect("a topology");
    topology
        .lb
        .ip_batch(
            "link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0\n\
             link set br0 up\naddress flush dev srv0\nlink set srv0 master br0\n\
             address add 10.2.0.1/24 dev br0\naddress add fd02::1/64 dev br0 nodad\n",
        )
        .expect("bridged");
    let text = config(&topology, "50%")
        .replace("\"srv0\"", "\"br0\"")
        .replace("\"native\"", "\"auto\"");
    let _servers = Server::start_all(&topology, PORT).expect("servers");
    let daemon = Daemon::start(&topology.lb, &text).expect("a daemon");
    let status = daemon.status_json().expect("a status");
    for interface in status["interfaces"].as_array().expect("interfaces") {
        assert_eq!(interface["mode"], "generic", "{interface}");
    }
    let client = Client::new(&topology.client).expect("a client");
    for source in topology.clients() {
        client
            .get(source, vip_for(source, PORT))
            .unwrap_or_else(|error| panic!("{source}: {error}\n{status:#}"));
    }
}

#[test]
fn a_name_with_a_dot_can_be_attached_to_and_a_new_name_keeps_the_program() {
    let topology = Topology::build(&TopologyOptions::default()).expect("a topology");
    let lb = &topology.lb;
    let pair = [
        "link", "add", "more.1", "type", "veth", "peer", "name", "more1",
    ];
    lb.ip(&pair).expect("made");
    let named = |name: &str| {
        format!(
            "[[interface]]\nname = \"{name}\"\nxdp = \"native\"\n{}",
            config(&topology, "10%")
        )
    };
    let mut daemon = Daemon::start(lb, &named("more.1")).expect("a daemon");
    let down = |status: &serde_json::Value| {
        let warnings = status["warnings"].to_string();
        warnings.contains("more.1 is down")
    };
    daemon.until(down).expect("warned of");
    lb.ip(&["link", "set", "more.1", "name", "other0"])
        .expect("renamed");
    let told = daemon
        .until(|status| status["interfaces"][0]["note"].is_string())
        .expect("noticed");
    let warnings = told["warnings"].to_string();
    assert!(
        warnings.contains("more.1: is called other0 now and carries the program still"),
        "{warnings}"
    );
    daemon.stop().expect("stopped");
    daemon.write_config(&named("other0")).expect("written");
    daemon.serve().expect("its own link, by another name");
    assert!(
        daemon
            .log()
            .contains("other0: program replaced under its link")
    );
}

#[test]
fn a_renamed_interface_changes_its_mode_and_survives_who_has_its_name_now() {
    let topology = Topology::build(&TopologyOptions::default()).expect("a topology");
    let lb = &topology.lb;
    let pair = [
        "link", "add", "more0", "type", "veth", "peer", "name", "more1",
    ];
    lb.ip(&pair).expect("made");
    let with = |interfaces: &[(&str, &str)]| {
        let listed: String = interfaces
            .iter()
            .map(|(name, mode)| format!("[[interface]]\nname = \"{name}\"\nxdp = \"{mode}\"\n"))
            .collect();
        listed + &config(&topology, "10%")
    };
    let mut daemon = Daemon::start(lb, &with(&[("more0", "native")])).expect("a daemon");
    daemon.stop().expect("stopped");
    lb.ip(&["link", "set", "more0", "name", "other0"])
        .expect("renamed");
    // Under its old name in the file, and in another mode.
    daemon
        .write_config(&with(&[("more0", "generic")]))
        .expect("written");
    daemon.serve().expect("attached by the name that it has");
    let links = lb.ip(&["link", "show", "other0"]).expect("shown");
    assert!(links.contains("xdpgeneric"), "{links}");
    daemon.stop().expect("stopped");
    // Its old name is a bridge's by now, which has no native XDP.
    lb.ip(&["link", "add", "more0", "type", "bridge"])
        .expect("made");
    let both = with(&[("more0", "native"), ("other0", "generic")]);
    daemon.write_config(&both).expect("written");
    daemon.serve().expect_err("a bridge has no native XDP");
    let links = lb.ip(&["link", "show", "other0"]).expect("shown");
    assert!(links.contains("xdpgeneric"), "{links}");
}
