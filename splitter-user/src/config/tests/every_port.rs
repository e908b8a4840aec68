//! VIPs of every port, and the prefixes that speak to backends directly.

use super::super::parse_str;
use super::bad::{STABLE, VIPS, expect, one};

const EVERY: &str = "vips = [\"203.0.113.10:0/tcp\"]\n";
const BARE: &str = "version.stable = { baseline = true, backends = [\"10.0.1.11\"] }\n";

fn good(text: &str) {
    if let Err(errors) = parse_str("splitter.toml", text) {
        panic!("{text}\n=>\n{errors}");
    }
}

#[test]
fn a_vip_of_every_port_takes_backends_without_a_port() {
    good(&one(&format!("{EVERY}{BARE}")));
    expect(
        &one(&format!("{EVERY}{STABLE}")),
        &["5:49 backend 10.0.1.11:8443 has a port | takes every port | write \"10.0.1.11\""],
    );
}

#[test]
fn a_port_of_its_own_may_stand_beside_every_port_of_the_same_address() {
    let both = "vips = [\"203.0.113.10:0/tcp\", \"203.0.113.10:443/tcp\"]\n";
    good(&one(&format!("{both}{BARE}")));
    let beside = |vip: &str, backend: &str| {
        one(&format!(
            "{EVERY}{BARE}[service.web]\nvips = [\"{vip}\"]\n\
             version.stable = {{ baseline = true, backends = [\"{backend}\"] }}\n"
        ))
    };
    good(&beside("203.0.113.10:443/tcp", "10.0.1.11:443"));
    good(&beside("203.0.113.10:443/tcp", "10.0.1.12:8443"));
    good(&beside("203.0.113.10:443/udp", "10.0.1.11:8443"));
    // Port 8443 of the VIP of every port leads there too.
    let told = "8:49 every port of it serves VIP 203.0.113.10:0/tcp | either | another backend";
    expect(&beside("203.0.113.10:443/tcp", "10.0.1.11:8443"), &[told]);
    // So does port 443 of another address.
    expect(&beside("203.0.113.11:443/tcp", "10.0.1.11:443"), &[told]);
    expect(
        &beside("203.0.113.11:0/tcp", "10.0.1.11"),
        &["8:49 would serve VIP 203.0.113.11:0/tcp"],
    );
}

#[test]
fn prefixes_that_speak_to_backends_directly() {
    let file = one(&format!(
        "{VIPS}direct = [\"10.9.0.0/16\", \"192.0.2.7\", \"2001:db8::/32\"]\n{STABLE}"
    ));
    let config = parse_str("splitter.toml", &file).expect("good");
    let direct: Vec<String> = config.services[0]
        .direct
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(direct, ["10.9.0.0/16", "192.0.2.7/32", "2001:db8::/32"]);
    expect(
        &one(&format!(
            "{VIPS}direct = [\"10.9.0.1/16\", \"nine\", 9]\n{STABLE}"
        )),
        &[
            "5:11 `direct`: \"10.9.0.1/16\" has bits set behind its prefix | \"10.9.0.0/16\"",
            "5:26 `direct`: \"nine\" is no prefix",
            "5:34 must be a string",
        ],
    );
}
