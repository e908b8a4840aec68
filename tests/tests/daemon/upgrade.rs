//! Upgrades: the program is replaced under its links while packets flow, and none is lost but those
//! that a queue has counted; at half the rate that comes through whole.

use std::collections::BTreeSet;

use splitter_tests::{
    count::{Stream, sustained},
    load::LoadMode,
};
use splitter_user::{
    config::load,
    dataplane::{DataPlane, Options, Target},
    model::XdpChoice,
};

use crate::scene::{Scene, config, scene};

/// Where the counted datagrams go.
const COUNTED: u16 = 9_999;
/// Larger than one buffer holds, so that the program for several is taken.
const JUMBO: u32 = 9_000;

/// A daemon with a service more, for datagrams that are counted one by one, a stream of half as many as come
/// through whole, and what was forwarded before it.
fn counted_scene() -> (Scene, Stream, u64) {
    let mut scene = scene(false, "10%");
    let server = scene.topology.backends[0].v4;
    let text = format!(
        "{}[service.counted]\nvips = [\"203.0.113.10:{COUNTED}/udp\"]\n\
         [service.counted.version.stable]\nbaseline = true\nbackends = [\"{server}:{COUNTED}\"]\n",
        config(&scene.topology, "10%")
    );
    scene.daemon.stop().expect("stopped");
    scene.daemon.write_config(&text).expect("written");
    scene.daemon.serve().expect("started");
    let most = sustained(&scene.topology, COUNTED, || Ok(())).expect("a rate");
    let forwarded = scene.counter_of("counted", "stable", "packets_in");
    let stream = Stream::paced(&scene.topology, COUNTED, (most / 2).max(1)).expect("a stream");
    (scene, stream, forwarded)
}

/// The program of an interface, by its id.
fn program(scene: &Scene, interface: &str) -> u32 {
    let lb = &scene.topology.lb;
    let shown = lb.ip(&["-o", "link", "show", interface]).expect("shown");
    let id = shown.split("prog/xdp id ").nth(1).expect("a program");
    let id = id.split_whitespace().next().expect("an id");
    id.parse().expect("a number")
}

/// What a start of the product does to an interface, over and over: programs for frames in one
/// buffer and in several in turn, since the kernel does nothing where a link has the program
/// already. Returns the programs that ran.
fn update(scene: &Scene, times: u32) -> BTreeSet<u32> {
    let options = Options {
        pin_dir: Some(scene.daemon.pin_dir().to_owned()),
        limits: load(&scene.daemon.config_path()).expect("a file").limits,
    };
    let lb = &scene.topology.lb;
    let mut programs = BTreeSet::new();
    let mut plane = DataPlane::open(&options).expect("taken over");
    assert!(plane.adopted());
    for time in 0..times {
        for name in &scene.topology.lb_interfaces {
            let before = program(scene, name);
            let target = Target {
                name: (*name).to_owned(),
                link_name: (*name).to_owned(),
                mtu: if time % 2 == 0 { JUMBO } else { 1_500 },
                up: true,
                choice: XdpChoice::Native,
                ifindex: lb.ifindex(name).expect("a number"),
                present: Some((before, true)),
            };
            let attached = plane.attach(&target).expect("attached");
            assert!(attached.adopted, "under its link: {attached:?}");
            let after = program(scene, name);
            assert_ne!(before, after, "another program runs");
            programs.insert(after);
        }
    }
    programs
}

#[test]
fn over_a_hundred_link_updates_lose_no_packet() {
    let (mut scene, stream, before) = counted_scene();
    let loads = [LoadMode::NewConnection, LoadMode::KeepAlive].map(|mode| scene.load_at(mode, 150));
    scene.ask_on(&loads, 60);
    let mut updates = 0;
    // The whole product, stopped in good order and not.
    for clean in [true, false, true] {
        let before = program(&scene, "cli0");
        if clean {
            scene.daemon.stop().expect("stopped");
        } else {
            scene.daemon.kill9().expect("killed");
        }
        scene.daemon.serve().expect("taken over");
        assert_ne!(program(&scene, "cli0"), before, "another program runs");
        updates += scene.topology.lb_interfaces.len();
    }
    scene.daemon.stop().expect("stopped");
    for _binary in 0..3 {
        let programs = scene.topology.lb.run(|| update(&scene, 18));
        assert_eq!(programs.len(), 2, "each start loads its own: {programs:?}");
        updates += 18 * scene.topology.lb_interfaces.len();
    }
    scene.daemon.serve().expect("taken over");
    assert!(updates > 100, "{updates}");
    scene.ask_on(&loads, 60);
    assert!(stream.runs(), "it has ended before the last update");
    let counts = stream.stop(&scene.topology).expect("counted");
    assert!(counts.sent > 2_000, "{counts:?}");
    assert_eq!(counts.twice, 0, "{counts:?}");
    let lost = counts.sent - counts.received;
    assert!(
        lost <= counts.dropped,
        "lost otherwise than by a queue that counted it: {counts:?}"
    );
    let forwarded = scene.counter_of("counted", "stable", "packets_in") - before;
    assert!(
        (counts.arrived..=counts.sent).contains(&forwarded),
        "{forwarded}, {counts:?}"
    );
    for load in loads {
        scene.unharmed(&load.stop());
    }
}
