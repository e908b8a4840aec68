//! Owns the configurations of random cases and what becomes of them: weights, backends that come,
//! go and change their version or service, VIPs that move, services that vanish.
//!
//! Not every change is valid; one that is refused is a step that does nothing.

use fastrand::Rng;
use splitter_user::model::FlowFate;

use crate::compare::step::Step;

/// Weights that meet the edges.
const WEIGHTS: [&str; 8] = [
    "0%", "0.0001%", "10%", "33.3333%", "50%", "66.6666%", "90%", "100%",
];

/// The services: VIPs, and versions with their weight (none: the baseline) and the last bytes of
/// the backends that they begin with.
struct Service {
    name: &'static str,
    vips: &'static [&'static str],
    extra: &'static [(&'static str, &'static str)],
    versions: &'static [(&'static str, &'static str)],
    /// The third byte (IPv4) and second half (IPv6) of its backends' addresses.
    network: u8,
    /// Behind each backend's address.
    port: &'static str,
    families: &'static [bool],
}

const SERVICES: [Service; 6] = [
    Service {
        name: "shop",
        vips: &[
            "203.0.113.10:80/tcp",
            "[2001:db8::10]:80/tcp",
            "203.0.113.10:53/udp",
            "[2001:db8::10]:53/udp",
        ],
        extra: &[
            ("direct", DIRECT[1]),
            ("protocol", "\"http1\""),
            ("turn_slo", "\"20s\""),
        ],
        versions: &[("stable", ""), ("canary", "50%")],
        network: 0,
        port: ":8080",
        families: &[true, false],
    },
    Service {
        name: "geo",
        vips: &["203.0.113.20:443/tcp", "[2001:db8::20]:443/udp"],
        extra: &[
            ("key", "\"client/24\""),
            ("affinity", "\"client\""),
            ("protocol", "\"http1\""),
        ],
        versions: &[("canary", "20%"), ("stable", ""), ("beta", "30%")],
        network: 1,
        port: ":443",
        families: &[true, false],
    },
    Service {
        name: "dns",
        vips: &["203.0.113.10:5353/udp", "[2001:db8::30]:53/udp"],
        extra: &[("key", "\"flow\""), ("affinity", "\"flow\"")],
        versions: &[("stable", ""), ("canary", "33.3333%")],
        network: 2,
        port: "",
        families: &[true, false],
    },
    Service {
        name: "flip",
        // The last one at an address where every other port is another service's.
        vips: &[
            "203.0.113.40:80/tcp",
            "203.0.113.40:81/tcp",
            "203.0.113.60:82/tcp",
        ],
        extra: &[("salt_group", "\"pair\"")],
        versions: &[
            ("stable", ""),
            ("canary", "10%"),
            ("v2", "5%"),
            ("v3", "25%"),
        ],
        network: 3,
        port: "",
        families: &[true],
    },
    Service {
        name: "flop",
        vips: &["203.0.113.50:90/tcp", "203.0.113.50:91/tcp"],
        extra: &[("salt_group", "\"pair\"")],
        versions: &[("stable", ""), ("canary", "10%")],
        network: 3,
        port: "",
        families: &[true],
    },
    Service {
        name: "every",
        vips: &[
            "203.0.113.60:0/tcp",
            "[2001:db8::60]:0/udp",
            "[2001:db8::60]:0/tcp",
        ],
        extra: &[("key", "\"flow\"")],
        versions: &[("stable", ""), ("canary", "50%")],
        network: 4,
        port: "",
        families: &[true, false],
    },
];

/// Those who speak to backends directly.
const DIRECT: [&str; 3] = [
    "[]",
    "[\"10.100.7.0/24\",\"fd64:9::/32\"]",
    "[\"10.100.0.0/16\",\"fd64::1\"]",
];

/// Those who are not served, or alone are; more often nobody.
const LISTED: [&str; 5] = [
    "[]",
    "[]",
    "[]",
    "[\"10.100.7.0/24\",\"fd64:9::/32\",\"10.100.0.1\"]",
    "[\"10.100.0.0/24\",\"fd64::/48\"]",
];

/// Who is in a segment: prefixes in each other, alone and together.
const MATCHES: [&str; 6] = [
    "prefix=[\"10.100.0.0/16\",\"fd64::/16\"]",
    "prefix=[\"10.100.7.0/24\",\"fd64:9::/32\",\"10.100.0.1\"]",
    "prefix=[\"10.100.0.0/24\",\"fd64::/48\"]",
    "prefix=[\"0.0.0.0/0\"],not={prefix=[\"10.100.0.0/25\"]}",
    "any=[{prefix=[\"::/0\"]},{prefix=[\"10.100.0.0/30\"]}]",
    "not={all=[{prefix=[\"10.100.0.0/24\"]},{not={prefix=[\"10.100.0.0/28\"]}}]}",
];

/// What becomes of open flows. No multiple of an age comes within three seconds of a drain's end.
const FATES: [FlowFate; 8] = [
    FlowFate::Keep,
    FlowFate::Keep,
    FlowFate::Keep,
    FlowFate::Reset,
    FlowFate::Reset,
    FlowFate::Drain(20),
    FlowFate::Drain(45),
    FlowFate::Drain(72),
];

type Changes = Vec<(String, String)>;

/// The configuration that a case begins with.
pub(in crate::compare) fn first(rng: &mut Rng) -> Step {
    let mut changes = vec![("interface".to_owned(), "[{name=\"eth0\"}]".to_owned())];
    for service in &SERVICES {
        changes.extend(whole(service, false, rng));
    }
    Step::Commit {
        reuse: false,
        fate: FlowFate::Keep,
        changes,
    }
}

/// A later commit.
pub(in crate::compare) fn change(rng: &mut Rng) -> Step {
    let service = &SERVICES[rng.usize(..SERVICES.len())];
    let changes = match rng.u32(..18) {
        0..=3 => weights(service, rng),
        4..=6 => backends(service, true, rng),
        7 => vips(service, rng),
        8 => swap(rng),
        9 => vec![(format!("service.{}", service.name), String::new())],
        10 => {
            // The salt or the place of clients: only while no version but the baseline has weight.
            let mut changes: Changes = service
                .versions
                .iter()
                .filter(|(_, weight)| !weight.is_empty())
                .map(|(version, _)| (path(service, version, "weight"), quoted("0%")))
                .collect();
            let key = ["client", "client/24", "flow"][rng.usize(..3)];
            changes.push((format!("service.{}.key", service.name), quoted(key)));
            let affinity = ["client", "flow"][rng.usize(..2)];
            let release = ["1", "1", "2"][rng.usize(..3)];
            changes.push((format!("service.{}.release", service.name), quoted(release)));
            changes.push((
                format!("service.{}.affinity", service.name),
                quoted(affinity),
            ));
            changes
        }
        11 => {
            let direct = DIRECT[rng.usize(..DIRECT.len())].to_owned();
            vec![(format!("service.{}.direct", service.name), direct)]
        }
        12 | 13 => {
            let prefixes = LISTED[rng.usize(..LISTED.len())].to_owned();
            vec![(format!("service.{}.deny", service.name), prefixes)]
        }
        14 => {
            let prefixes = LISTED[rng.usize(..LISTED.len())].to_owned();
            vec![(format!("service.{}.allow", service.name), prefixes)]
        }
        15 | 16 => {
            let segments = segments(service, rng);
            vec![(format!("service.{}.segment", service.name), segments)]
        }
        _ => whole(service, true, rng),
    };
    Step::Commit {
        reuse: rng.bool(),
        fate: FATES[rng.usize(..FATES.len())],
        changes,
    }
}

/// What happens to evidence: the next slice, or a release that begins, before which the baseline has often
/// had turns enough to say which are slow.
pub(in crate::compare) fn evidence(rng: &mut Rng) -> Step {
    let service = SERVICES[rng.usize(..SERVICES.len())].name.to_owned();
    match rng.u32(..4) {
        0 => Step::Slice,
        1 => Step::Anew(service),
        _ => Step::Turned(service),
    }
}

/// What is slow of the first service is known in half of the cases.
pub(in crate::compare) fn turned(rng: &mut Rng) -> Option<Step> {
    rng.bool()
        .then(|| Step::Turned(SERVICES[0].name.to_owned()))
}

/// A service as it begins, with some of its backends.
fn whole(service: &Service, is_later: bool, rng: &mut Rng) -> Changes {
    let mut changes = vec![(format!("service.{}.vips", service.name), list(service.vips))];
    for (key, value) in service.extra {
        changes.push((
            format!("service.{}.{key}", service.name),
            (*value).to_owned(),
        ));
    }
    for (version, weight) in service.versions {
        let (key, value) = match *weight {
            "" => ("baseline", "true".to_owned()),
            weight => ("weight", quoted(weight)),
        };
        changes.push((path(service, version, key), value));
    }
    changes.extend(backends(service, is_later, rng));
    changes
}

/// Other weights.
fn weights(service: &Service, rng: &mut Rng) -> Changes {
    let weighted = service
        .versions
        .iter()
        .filter(|(_, weight)| !weight.is_empty());
    let mut changes = Changes::new();
    let mut is_taken = false;
    for (version, _) in weighted {
        // More than one large weight would be over 100 %.
        let weight = if is_taken {
            WEIGHTS[rng.usize(..3)]
        } else {
            WEIGHTS[rng.usize(..WEIGHTS.len())]
        };
        is_taken |= !matches!(weight, "0%" | "0.0001%" | "10%");
        changes.push((path(service, version, "weight"), quoted(weight)));
    }
    changes
}

/// Up to three segments.
fn segments(service: &Service, rng: &mut Rng) -> String {
    let weighted: Vec<&str> = service
        .versions
        .iter()
        .filter(|(_, weight)| !weight.is_empty())
        .map(|(version, _)| *version)
        .collect();
    let segment = |name: &str, rng: &mut Rng| {
        let condition = MATCHES[rng.usize(..MATCHES.len())];
        let version = weighted[rng.usize(..weighted.len())];
        let weight = WEIGHTS[rng.usize(..WEIGHTS.len())];
        format!("{{name=\"{name}\",match={{{condition}}},weight={{{version}=\"{weight}\"}}}}")
    };
    let mut names = ["one", "two", "three"];
    rng.shuffle(&mut names);
    let count = rng.usize(..4);
    let all: Vec<String> = names[..count]
        .iter()
        .map(|name| segment(name, rng))
        .collect();
    format!("[{}]", all.join(","))
}

/// Other backends: each of a service's addresses goes to one of its versions or to none.
fn backends(service: &Service, is_later: bool, rng: &mut Rng) -> Changes {
    let mut of_version: Vec<Vec<String>> = vec![Vec::new(); service.versions.len()];
    for is_v4 in service.families {
        // Every version has one in each family of the VIPs.
        let first = if service.name == "flop" { 21 } else { 11 };
        let mut addresses: Vec<u8> = (first..first + 8).collect();
        if is_later && service.network == 3 && rng.bool() {
            // Now with one service of the pair, now with the other.
            addresses.push(31);
        }
        rng.shuffle(&mut addresses);
        for (nth, last) in addresses.into_iter().enumerate() {
            let version = match nth {
                nth if nth < of_version.len() => nth,
                _ => rng.usize(..of_version.len() + 2),
            };
            if let Some(backends) = of_version.get_mut(version) {
                // A version without any weight is refused.
                let weight = [1, 1, 1, 3, 0][rng.usize(..if nth < 4 { 4 } else { 5 })];
                backends.push(backend(service, *is_v4, last, weight));
            }
        }
    }
    let versions = service.versions.iter().zip(of_version);
    versions
        .map(|((version, _), all)| {
            (
                path(service, version, "backends"),
                format!("[{}]", all.join(",")),
            )
        })
        .collect()
}

fn backend(service: &Service, is_v4: bool, last: u8, weight: u32) -> String {
    let Service { network, port, .. } = service;
    let address = match (is_v4, port.is_empty()) {
        (true, _) => format!("10.2.{network}.{last}{port}"),
        (false, true) => format!("fd02:{network}::{last:x}"),
        (false, false) => format!("[fd02:{network}::{last:x}]{port}"),
    };
    if weight == 1 {
        quoted(&address)
    } else {
        format!("{{address={},weight={weight}}}", quoted(&address))
    }
}

/// Some of a service's VIPs.
fn vips(service: &Service, rng: &mut Rng) -> Changes {
    let some: Vec<&str> = service
        .vips
        .iter()
        .copied()
        .filter(|_| rng.bool())
        .collect();
    vec![(format!("service.{}.vips", service.name), list(&some))]
}

/// The pair's VIPs change hands.
fn swap(rng: &mut Rng) -> Changes {
    let all: Vec<&str> = SERVICES[3]
        .vips
        .iter()
        .chain(SERVICES[4].vips)
        .copied()
        .collect();
    let (mut one, mut two) = (Vec::new(), Vec::new());
    for vip in all {
        let side = if rng.bool() { &mut one } else { &mut two };
        side.push(vip);
    }
    vec![
        ("service.flip.vips".to_owned(), list(&one)),
        ("service.flop.vips".to_owned(), list(&two)),
    ]
}

fn path(service: &Service, version: &str, key: &str) -> String {
    format!("service.{}.version.{version}.{key}", service.name)
}

fn list(texts: &[&str]) -> String {
    let quoted: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
    format!("[{}]", quoted.join(","))
}

fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}
