//! Tests of the configuration: a good file, `conf.d`, and the law of weights; bad files in [`bad`], VIPs of
//! every port in [`every_port`], databases of regions in [`databases`].

mod bad;
mod databases;
mod devices;
mod every_port;
mod health;
pub(super) mod mmdb;
mod segments;

use std::collections::BTreeMap;
use std::fs;

use self::bad::{STABLE, VIPS, one};
use super::{Texts, WeightsError, apply_weights, check_weights, load, parse_str};
use crate::model::{Affinity, Config, FlowFate, FlowLimit, Limits, SplitKey, XdpChoice};
use splitter_common::weight::Weight;

const GOOD: &str = r#"
[[interface]]
name = "eth0"
[[interface]]
name = "eth1"
xdp = "native"

[limits]
flows = 65_536
backends = 40_000

[service.shop]
vips = ["203.0.113.10:443/tcp", "[2001:db8::10]:443/tcp", "203.0.113.10:443/udp"]
forward = "nat"
key = "client/24"
affinity = "client"
salt_group = "front"

[service.shop.version.zebra]
weight = "2.5%"
backends = ["10.0.3.11:8443", "2001:db8:3::11"]

[service.shop.version.stable]
baseline = true
backends = ["10.0.1.11:8443", "10.0.1.12:8443", "[2001:db8:1::11]:8443"]

[service.shop.version.canary]
weight = "5%"
backends = [
  { address = "10.0.2.11:8443", weight = 2 },
  { address = "10.0.2.12:8443", weight = 0 },
  "[2001:db8:2::11]:8443",
]

[service.alone]
vips = ["203.0.113.11:53/udp"]
version.stable = { baseline = true, backends = ["10.0.9.1"] }
"#;

#[test]
fn a_good_file_is_read_whole_and_in_order() {
    let config = parse_str("splitter.toml", GOOD).expect("good");
    assert_eq!(config.interfaces[0].xdp, XdpChoice::Auto);
    assert_eq!(config.interfaces[1].xdp, XdpChoice::Native);
    assert_eq!(
        config.limits,
        Limits {
            flows: 65_536,
            backends: 40_000,
            ..Limits::default()
        }
    );
    let names: Vec<_> = config
        .services
        .iter()
        .map(|service| service.name.as_str())
        .collect();
    assert_eq!(names, ["shop", "alone"]);
    let shop = &config.services[0];
    let names: Vec<_> = shop
        .versions
        .iter()
        .map(|version| version.name.as_str())
        .collect();
    assert_eq!(names, ["zebra", "stable", "canary"]);
    assert_eq!(
        (shop.key, shop.affinity),
        (SplitKey::Client24, Some(Affinity::Client))
    );
    assert_eq!(
        (shop.release.as_str(), shop.salt_group.as_deref()),
        ("1", Some("front"))
    );
    assert_eq!(shop.rest().to_string(), "92.5%");
    let backends: Vec<_> = shop.versions[2]
        .backends
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        backends,
        ["10.0.2.11:8443", "10.0.2.12:8443", "[2001:db8:2::11]:8443"]
    );
    assert_eq!(shop.versions[2].backends[0].weight, 2);
    assert_eq!(shop.versions[0].backends[1].port, None);
}

#[test]
fn files_of_conf_d_belong_to_the_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let main = directory.path().join("splitter.toml");
    let put =
        |name: &str, text: &str| fs::write(directory.path().join(name), text).expect("written");
    put("splitter.toml", &one(&format!("{VIPS}{STABLE}")));
    assert_eq!(load(&main).expect("good").services.len(), 1);
    let digest = || Texts::read(&main).digest();
    let alone = digest();
    fs::create_dir(directory.path().join("conf.d")).expect("made");
    let till = "[service.till]\nvips = [\"203.0.113.10:444/tcp\"]\n\
                version.stable = { baseline = true, backends = [\"10.0.7.1\"] }\n";
    put("conf.d/10-till.toml", till);
    put("conf.d/notes.txt", "no toml");
    put("conf.d/.hidden.toml", "no toml");
    assert_eq!(load(&main).expect("good").services[1].name, "till");
    let both = digest();
    assert_ne!(alone, both);
    put("conf.d/notes.txt", "still no toml");
    assert_eq!(digest(), both);
    put("conf.d/10-till.toml", &till.replace("444", "445"));
    assert_ne!(digest(), both);
    put("conf.d/10-till.toml", till);
    assert_eq!(digest(), both);
    put("conf.d/20-again.toml", till);
    let shown = load(&main).expect_err("twice").to_string();
    assert_eq!(shown.lines().count(), 1, "{shown}");
    assert!(
        shown.contains("20-again.toml:1:10: service \"till\" stands in "),
        "{shown}"
    );
    assert!(shown.contains("10-till.toml:1:10 already"), "{shown}");
    let missing = load(&directory.path().join("none.toml"))
        .expect_err("missing")
        .to_string();
    assert!(
        missing.contains("none.toml: cannot read the configuration: No such file"),
        "{missing}"
    );
}

#[test]
fn weights_set_at_run_time_keep_the_law() {
    let config: Config = parse_str("splitter.toml", GOOD).expect("good");
    let shop = &config.services[0];
    let set = |pairs: &[(&str, &str)]| -> BTreeMap<String, Weight> {
        let pair = |(name, text): &(&str, &str)| {
            ((*name).to_owned(), Weight::parse(text).expect("a weight"))
        };
        pairs.iter().map(pair).collect()
    };
    let changed = apply_weights(shop, &set(&[("canary", "50%")])).expect("fits");
    assert_eq!(changed.rest().to_string(), "47.5%");
    assert_eq!(
        check_weights(shop, &set(&[("canary", "50%"), ("stable", "47.5%")])),
        Ok(())
    );
    let why = |pairs: &[(&str, &str)]| check_weights(shop, &set(pairs)).expect_err("refused");
    assert!(matches!(
        why(&[("stable", "50%")]),
        WeightsError::BaselineIsRest { .. }
    ));
    assert_eq!(
        why(&[("canry", "5%")]).to_string(),
        "service \"shop\" has no version \"canry\"; did you mean \"canary\"?"
    );
    assert_eq!(
        why(&[("canary", "98%")]).to_string(),
        "service \"shop\": the weights add up to 100.5%, over 100% (zebra 2.5% + canary 98%); \
         lower one of them"
    );
}

#[test]
fn what_is_said_of_flows_is_read_and_is_nothing_by_default() {
    let text = |keys: &str| {
        format!(
            "[[interface]]\nname = \"eth0\"\n[service.shop]\nvips = [\"203.0.113.10:443/tcp\"]\n{keys}\n\
             version.stable = {{ baseline = true, backends = [\"10.0.1.11:8443\"] }}\n"
        )
    };
    let service = |keys: &str| {
        let config = parse_str("splitter.toml", &text(keys)).expect("a valid file");
        config.services[0].clone()
    };
    let plain = service("");
    assert_eq!((plain.flows, plain.limits), Default::default());
    assert!(plain.deny.is_empty() && plain.allow.is_empty());
    let said = service(
        "flows = \"drain=90s\"\ndeny = [\"198.51.100.0/24\"]\nallow = [\"2001:db8::/32\"]\n\
         limit = { flows_per_s = 1000, client_flows_per_s = 10, client_burst = 50 }",
    );
    assert_eq!(said.flows, FlowFate::Drain(90));
    assert_eq!(said.deny, ["198.51.100.0/24".parse().expect("a prefix")]);
    assert_eq!(said.allow, ["2001:db8::/32".parse().expect("a prefix")]);
    let limit = |flows_per_s, burst| Some(FlowLimit { flows_per_s, burst });
    assert_eq!(said.limits.all, limit(1_000, 1_000));
    assert_eq!(said.limits.each, limit(10, 50));
}
