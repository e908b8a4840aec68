//! Commits over the kernel's maps: at every moment each VIP has an owner whose tables stand.
//! Needs root.

use std::time::Duration;

use splitter_common::{
    hash::HashKey,
    layout::{Control, Counter, Word},
    reason::Reason,
};
use splitter_tests::{netns::Netns, packet::Frame, plane, spec::run::fixed_secret};
use splitter_user::{
    config::parse_str,
    dataplane::DataPlane,
    model::Config,
    plan::{Image, Numbers, Running as _},
    secret::Secret,
};

const SEED: HashKey = HashKey { k0: 3, k1: 5 };

/// A data plane of its own, in memory.
struct Lab {
    plane: DataPlane,
    numbers: Numbers,
    secret: Secret,
    _netns: Netns,
}

impl Lab {
    fn new() -> Self {
        let netns = Netns::new("commits").expect("a namespace");
        netns.enter();
        Self {
            plane: plane::in_memory(4_096).expect("a data plane"),
            numbers: Numbers::default(),
            secret: fixed_secret().expect("a secret"),
            _netns: netns,
        }
    }

    fn commit(&mut self, config: &Config) {
        self.numbers = self
            .numbers
            .next(config, &self.secret, &self.plane)
            .expect("numbers");
        let image = Image::build(config, &self.numbers, &self.secret).expect("an image");
        self.plane.commit(&image, SEED).expect("committed");
    }

    /// Which side of the directory is in force: one switch changes it, two do not.
    fn side(&self) -> u32 {
        let word = self
            .plane
            .maps()
            .control
            .load_word(Control::Directory as u32);
        Word::unpack(word).side
    }

    /// How often packets ended for a reason.
    fn counted(&self, reason: Reason) -> u64 {
        plane::counted(&self.plane, reason)
    }

    fn syn(&mut self, port: u16, vip: &str) {
        let line = format!("10.100.0.1:{port} > {vip} tcp SYN");
        let end = |text: &str| {
            let socket: std::net::SocketAddr = text.parse()?;
            Ok((socket.ip(), socket.port()))
        };
        let frame = Frame::parse(&line, end).expect("a frame");
        self.plane
            .run(&frame.bytes(), &mut Vec::new())
            .expect("ran");
    }
}

/// Services by name, last byte of their VIP, and last byte of their only backend.
fn config(services: &[(&str, u8, u8)]) -> Config {
    let mut text = "[[interface]]\nname = \"eth0\"\n".to_owned();
    for (name, vip, backend) in services {
        text += &format!(
            "[service.{name}]\nvips = [\"203.0.113.{vip}:80/tcp\"]\n[service.{name}.version.stable]\nbaseline = true\n\
             backends = [\"10.2.0.{backend}:80\"]\n"
        );
    }
    parse_str("test.toml", &text).expect("a valid configuration")
}

#[test]
fn a_vip_that_moves_is_never_nobodys() {
    let mut lab = Lab::new();
    lab.commit(&config(&[("a", 1, 11), ("b", 2, 12)]));
    let before = lab.side();
    lab.commit(&config(&[("a", 2, 11), ("b", 1, 12)]));
    assert_ne!(before, lab.side(), "the directory is switched once");
    lab.syn(40_001, "203.0.113.1:80");
    assert_eq!(lab.counted(Reason::NewFlow), 1);
    let b = &lab.numbers.services["b"];
    let number = b.backends["stable"]["10.2.0.12:80"].number;
    let cells = lab.plane.cells(number);
    assert_eq!(
        cells[Counter::NewFlows as usize],
        1,
        "its new owner has the flow"
    );
}

#[test]
fn a_commit_that_finds_no_room_changes_nothing() {
    let mut lab = Lab::new();
    lab.commit(&config(&[("a", 1, 11)]));
    let before = lab.plane.in_use();
    let (row, side) = (lab.plane.maps().service_in_force(0), lab.side());
    // Far more endpoints than the directory has room for, which `check` refuses.
    let backends: Vec<String> = (0..700u32)
        .map(|n| format!("\"10.3.{}.{}\"", n / 250, n % 250 + 1))
        .collect();
    let vips: Vec<String> = (1..100)
        .map(|port| format!("\"203.0.113.9:{port}/tcp\""))
        .collect();
    let mut wanted = config(&[("a", 1, 12)]);
    let mut more = config(&[("b", 2, 13)]).services.remove(0);
    let list = |texts: &[String]| texts.join(", ");
    let huge = format!(
        "[[interface]]\nname = \"eth0\"\n[service.b]\nvips = [{}]\n\
         [service.b.version.stable]\nbaseline = true\nbackends = [{}]\n",
        list(&vips[..1]),
        list(&backends)
    );
    more.versions = parse_str("test.toml", &huge).expect("valid").services[0]
        .versions
        .clone();
    more.vips = vips
        .iter()
        .map(|vip| vip.trim_matches('"').parse().expect("a VIP"))
        .collect();
    wanted.services.push(more);
    let numbers = lab.numbers.next(&wanted, &lab.secret, &lab.plane);
    let image = Image::build(&wanted, &numbers.expect("numbers"), &lab.secret).expect("an image");
    let error = lab.plane.commit(&image, SEED).expect_err("no room");
    assert!(error.to_string().contains("do not fit"), "{error}");
    assert_eq!(lab.plane.maps().service_in_force(0), row);
    assert_eq!((lab.plane.in_use(), lab.side()), (before, side));
    lab.syn(40_001, "203.0.113.1:80");
    assert_eq!(lab.counted(Reason::NewFlow), 1);
}

#[test]
fn a_commit_without_state_takes_no_number_from_what_runs() {
    let mut lab = Lab::new();
    let wanted = config(&[("a", 1, 11), ("b", 2, 12)]);
    lab.commit(&wanted);
    let (old, before) = (lab.numbers.clone(), lab.side());
    let in_use = lab.plane.in_use();
    assert_eq!((in_use.services.len(), in_use.backends.len()), (2, 2));
    lab.numbers = Numbers {
        generation: lab.plane.generation(),
        ..Numbers::default()
    };
    lab.commit(&wanted);
    assert_ne!(before, lab.side(), "the directory is switched once");
    for (name, service) in &lab.numbers.services {
        assert!(!in_use.services.contains(&service.number), "{name}");
        for frontend in service.frontends.values() {
            assert!(!in_use.frontends.contains(&frontend.number), "{name}");
        }
    }
    for backend in lab.numbers.backend_numbers() {
        assert!(!in_use.backends.contains(&backend.number));
    }
    lab.syn(40_001, "203.0.113.1:80");
    assert_eq!(lab.counted(Reason::NewFlow), 1);
    let now = lab.plane.in_use();
    for service in old.services.values() {
        assert!(!now.services.contains(&service.number), "given back");
    }
}

#[test]
fn a_prefix_list_stands_while_a_row_names_it_and_equal_ones_are_one() {
    let mut lab = Lab::new();
    let with = |lists: [&[&str]; 2]| {
        let mut config = config(&[("a", 1, 11), ("b", 2, 12)]);
        for (service, list) in config.services.iter_mut().zip(lists) {
            let prefix = |text: &&str| text.parse().expect("a prefix");
            service.direct = list.iter().map(prefix).collect();
        }
        config
    };
    let named = |lab: &Lab| [0, 1].map(|number| lab.plane.maps().service_in_force(number).direct);
    let sizes = |lab: &Lab| -> Vec<usize> {
        assert!(lab.plane.prefixes_freed(Duration::from_secs(60)));
        let lists = lab.plane.prefix_lists().expect("they are read");
        lists.values().map(|list| list.said().len()).collect()
    };
    let two = ["10.9.0.0/16", "fd09::/16"];
    lab.commit(&with([&two, &two]));
    let [a, b] = named(&lab);
    assert!(a != 0 && a == b, "{a} {b}");
    assert_eq!(sizes(&lab), [2]);
    let three = ["10.9.0.0/16", "10.8.0.0/16", "fd09::/16"];
    lab.commit(&with([&two, &three]));
    let [still, other] = named(&lab);
    assert_eq!(still, a, "what did not change stands");
    assert_ne!(other, a, "a list in force is never changed");
    assert_eq!(sizes(&lab), [2, 3]);
    lab.commit(&with([&three, &[]]));
    assert_eq!(named(&lab), [other, 0]);
    assert_eq!(sizes(&lab), [3], "nobody names the old one");
}
