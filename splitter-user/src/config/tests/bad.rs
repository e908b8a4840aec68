//! A table of bad files: what each must be answered with.

use super::super::{ConfigErrors, parse_str};

/// A file of one service; `service` goes under `[service.shop]`.
pub(super) fn one(service: &str) -> String {
    format!("[[interface]]\nname = \"eth0\"\n[service.shop]\n{service}\n")
}

pub(super) fn errors(text: &str) -> ConfigErrors {
    parse_str("splitter.toml", text).expect_err(text)
}

/// Every expected line, `LINE:COLUMN FRAGMENT | FRAGMENT`, must be there in order, and no other.
pub(super) fn expect(text: &str, wanted: &[&str]) {
    let shown = errors(text).to_string();
    let lines: Vec<_> = shown.lines().collect();
    assert_eq!(lines.len(), wanted.len(), "{text}\n=>\n{shown}");
    for (line, wanted) in lines.iter().zip(wanted) {
        let (place, fragments) = wanted.split_once(' ').expect("a place");
        assert!(
            line.starts_with(&format!("splitter.toml:{place}: ")),
            "{place} in {line}"
        );
        for fragment in fragments.split(" | ") {
            assert!(
                line.contains(fragment),
                "{fragment}
 in {line}"
            );
        }
    }
}

pub(super) const VIPS: &str = "vips = [\"203.0.113.10:443/tcp\"]\n";
pub(super) const STABLE: &str =
    "version.stable = { baseline = true, backends = [\"10.0.1.11:8443\"] }\n";

#[test]
fn a_slice_is_neither_a_moment_nor_for_ever() {
    for (slice, says) in [
        ("\"1s\"", "write a duration of 10s to 1day, such as \"10m\""),
        ("\"2days\"", "write a duration of 10s to 1day"),
        ("600", "write `slice = \"600s\"`"),
    ] {
        let text = one(&format!("slice = {slice}\n{VIPS}{STABLE}"));
        expect(&text, &[&format!("4:9 {says}")]);
    }
}

#[test]
fn values_of_the_wrong_kind() {
    let row = |service: &str, wanted: &[&str]| expect(&one(service), wanted);
    row(
        &format!("{VIPS}{STABLE}afinity = \"flow\""),
        &["6:1 service \"shop\": unknown key `afinity` | did you mean `affinity`?"],
    );
    row(
        &format!("{VIPS}{STABLE}flow = \"keep\""),
        &["6:1 unknown key `flow` | did you mean `flows`?"],
    );
    row(
        &format!("{VIPS}{STABLE}flows = \"drop\""),
        &["6:9 `flows`: \"drop\" is no fate of flows | write \"keep\", \"drain=5m\" or \"reset\""],
    );
    row(
        &format!("{VIPS}{STABLE}limit = {{ flows_per_s = 0, burst = 5 }}"),
        &["6:25 `flows_per_s` is 0: it must be 1 to 10000000"],
    );
    row(
        &format!("{VIPS}{STABLE}limit = {{ client_burst = 5 }}"),
        &["6:26 limit: `client_burst` limits nothing without `client_flows_per_s`"],
    );
    row(
        &format!("{VIPS}{STABLE}deny = [\"10.0.0.1/8\"]"),
        &["6:9 `deny` | bits set behind its prefix: write \"10.0.0.0/8\""],
    );
    row(
        &format!("{VIPS}{STABLE}key = \"ip\""),
        &["6:7 write \"client\" or \"client/24\""],
    );
    row(
        &format!("{VIPS}{STABLE}forward = \"l2\""),
        &["6:11 l2, ipip and gue are not supported yet | write \"nat\""],
    );
    row(
        &format!("{VIPS}{STABLE}forward = \"dsr\""),
        &["6:11 write \"nat\""],
    );
    row(
        &format!("{VIPS}{STABLE}release = \"One\""),
        &["6:11 `release` | a-z, 0-9"],
    );
    row(
        &format!("vips = \"203.0.113.10:443/tcp\"\n{STABLE}"),
        &["4:8 `vips` must be a list"],
    );
    row(
        &format!("{VIPS}version.stable = 5"),
        &["5:18 `version.stable` must be a table"],
    );
    row(
        &format!("{VIPS}version.Big = {{ baseline = true, backends = [\"10.0.0.1\"] }}"),
        &["5:9 version \"Big\": \"Big\" cannot be a version's name"],
    );
}

#[test]
fn vips_that_cannot_be() {
    for (vip, fragment) in [
        (
            "203.0.113.10:443",
            "names no protocol: write \"203.0.113.10:443/tcp\"",
        ),
        ("203.0.113.10:443/sctp", "write tcp or udp"),
        ("203.0.113.10", "names no port"),
        ("shop.example:443/tcp", "is no VIP"),
        ("0.0.0.0:443/tcp", "unspecified"),
        ("224.0.0.1:443/udp", "multicast"),
        ("[::1]:443/tcp", "loopback"),
        ("[::ffff:10.0.0.1]:443/tcp", "IPv4-mapped"),
    ] {
        expect(
            &one(&format!("vips = [\"{vip}\"]\n{STABLE}")),
            &[&format!("4:9 {fragment}")],
        );
    }
    expect(
        &one(&format!("vips = [443]\n{STABLE}")),
        &["4:9 must be a string such as"],
    );
    expect(
        &one(STABLE),
        &["3:10 service \"shop\": no VIP; write `vips = ["],
    );
    let twice = format!("vips = [\"10.9.0.1:1/tcp\", \"10.9.0.1:1/tcp\"]\n{STABLE}");
    expect(
        &one(&twice),
        &["4:27 belongs to service \"shop\" in splitter.toml:4:9 already"],
    );
}

#[test]
fn backends_that_cannot_be() {
    for (backend, fragment) in [
        ("\"10.0.1.11:0\"", "has port 0"),
        ("\"web1:80\"", "names are not looked up"),
        ("\"127.0.0.1:80\"", "loopback"),
        ("\"[fe80::1]:80\"", "link-local"),
        ("80", "a backend is \"address:port\""),
        ("{ weight = 1 }", "a backend is \"address:port\""),
        (
            "{ address = \"10.0.0.1\", weight = 1001 }",
            "`weight` is 1001: it must be 0 to 1000",
        ),
        (
            "{ address = \"10.0.0.1\", wieght = 1 }",
            "did you mean `weight`?",
        ),
        (
            "\"203.0.113.10:80\"",
            "has the address of VIP 203.0.113.10:443/tcp",
        ),
        (
            "\"[2001:db8::1]:80\"",
            "is IPv6, but no VIP of the service is",
        ),
        (
            "\"10.0.0.1:8443\"",
            "is the server of 10.0.0.1:8443 (splitter.toml:5:44) again",
        ),
    ] {
        let line = format!(
            "version.s = {{ baseline = true, backends = [{}, {backend}] }}",
            "\"10.0.0.1:8443\""
        );
        let shown = errors(&one(&format!("{VIPS}{line}"))).to_string();
        assert!(shown.contains(fragment), "{fragment}\n in {shown}");
        assert_eq!(shown.lines().count(), 1, "{shown}");
        assert!(shown.starts_with("splitter.toml:5:"), "{shown}");
    }
}

#[test]
fn weights_and_baselines_that_cannot_be() {
    let canary = |rest: &str| {
        one(&format!(
            "{VIPS}{STABLE}[service.shop.version.canary]\nbackends = [\"10.0.2.11\"]\n{rest}"
        ))
    };
    expect(
        &canary("weight = \"120%\""),
        &["8:10 service \"shop\", version \"canary\": weight 120% is over 100%; write"],
    );
    expect(
        &canary("weight = \"five\""),
        &["8:10 weight \"five\": not a weight"],
    );
    expect(&canary("weight = \"0.00001%\""), &["8:10 too fine"]);
    expect(
        &canary("weight = 5"),
        &["8:10 a string with a percent sign | \"5%\""],
    );
    expect(
        &canary("weight = 0.5"),
        &["8:10 a string with a percent sign"],
    );
    expect(
        &canary(""),
        &["6:23 version \"canary\": no weight | weight = \"0%\""],
    );
    expect(
        &canary("baseline = true"),
        &["6:23 \"stable\" and \"canary\" are both the baseline"],
    );
    expect(
        &canary("baseline = true\nweight = \"5%\""),
        &["6:23 both the baseline", "9:10 the baseline takes the rest"],
    );
    let two = "weight = \"60%\"\n[service.shop.version.beta]\nweight = \"50.5%\"\nbackends = [\"10.0.3.1\"]";
    expect(
        &canary(two),
        &["10:10 add up to 110.5% | (canary 60% + beta 50.5%)"],
    );
    let none = one(&format!(
        "{VIPS}version.only = {{ backends = [\"10.0.0.1\"] }}"
    ));
    expect(
        &none,
        &["5:9 no version is the baseline | version \"only\""],
    );
    expect(
        &one(VIPS),
        &["3:10 no version; write [service.shop.version.stable]"],
    );
    let bare = one(&format!("{VIPS}version.stable = {{ baseline = true }}"));
    expect(
        &bare,
        &["5:9 version \"stable\": no backend; write `backends = "],
    );
    let many: String = (0..8)
        .map(|n| format!("version.v{n} = {{ weight = \"1%\", backends = [\"10.0.4.{n}\"] }}\n"))
        .collect();
    expect(
        &one(&format!("{VIPS}{STABLE}{many}")),
        &["3:10 9 versions; at most 8"],
    );
}

#[test]
fn families_must_meet() {
    let vips = "vips = [\"203.0.113.10:443/tcp\", \"[2001:db8::10]:443/tcp\"]\n";
    expect(
        &one(&format!("{vips}{STABLE}")),
        &["5:9 version \"stable\": no IPv6 backend, but VIP [2001:db8::10]:443/tcp is IPv6"],
    );
    let idle =
        "version.s = { baseline = true, backends = [{ address = \"10.0.0.1\", weight = 0 }] }";
    expect(
        &one(&format!("{VIPS}{idle}")),
        &["5:9 every IPv4 backend has weight 0"],
    );
}

#[test]
fn one_backend_serves_one_vip() {
    let two = "vips = [\"203.0.113.10:443/tcp\", \"203.0.113.10:80/tcp\"]\n";
    expect(
        &one(&format!("{two}{STABLE}")),
        &[
            "5:49 10.0.1.11:8443 would serve VIP 203.0.113.10:80/tcp (splitter.toml:4:33) | and VIP 203.0.113.10:443/tcp (splitter.toml:4:9) | use backends without a port, or another backend port or address for each VIP",
        ],
    );
    let portless = "version.stable = { baseline = true, backends = [\"10.0.1.11\"] }\n";
    parse_str("s", &one(&format!("{two}{portless}"))).expect("the dialled port tells them apart");
    let mixed = "vips = [\"203.0.113.10:443/tcp\", \"203.0.113.10:443/udp\"]\n";
    parse_str("s", &one(&format!("{mixed}{STABLE}"))).expect("the protocol tells them apart");
    let addresses = "vips = [\"203.0.113.10:443/tcp\", \"203.0.113.11:443/tcp\"]\n";
    expect(
        &one(&format!("{addresses}{portless}")),
        &["5:49 10.0.1.11:443 would serve | use another backend port or address for each VIP"],
    );
    let canary = "version.canary = { weight = \"5%\", backends = [\"10.0.1.11:443\"] }\n";
    expect(
        &one(&format!("{VIPS}{portless}{canary}")),
        &["6:47 backend 10.0.1.11:443 is in version \"stable\" (splitter.toml:5:49) already"],
    );
    let other = "[service.till]\nvips = [\"203.0.113.10:444/tcp\"]\n";
    expect(
        &one(&format!("{VIPS}{STABLE}{other}{STABLE}")),
        &["8:49 service \"till\" | of service \"shop\" (backend in splitter.toml:5:49)"],
    );
}

#[test]
fn everything_wrong_is_told_in_one_pass() {
    let text = "interfaces = 1\n[[interface]]\nname = \"e\"\nxdp = \"fast\"\n[[interface]]\nname = \
                \"e\"\n[limits]\nflows = 5\npending = \"x\"\n[service.a]\nvips = \
                [\"10.9.0.1:1/tcp\"]\n[service.a.version.v]\nweight = \"200%\"\nbackends = [\"x\"]\n";
    expect(
        text,
        &[
            "1:1 unknown key `interfaces` | `interface`",
            "4:7 write \"auto\" or \"native\" or \"generic\"",
            "6:8 interface \"e\" stands in splitter.toml:3:8 already",
            "8:9 `flows` is 5: it must be 1024 to 16777216",
            "9:11 `pending` must be a whole number | string",
            "10:10 no version is the baseline",
            "13:10 200% is over 100%",
            "14:13 \"x\" is no backend",
        ],
    );
    expect(
        "",
        &["1:1 no interface: write [[interface]]", "1:1 no service"],
    );
    expect(
        "[[interface]]\nname = \"a/b\"\n",
        &["1:1 no service", "2:8 cannot be an interface's name"],
    );
    expect(
        "[limits]\nflows = 2048\njudged_clients = 5000\n[[interface]]\nname = \"e\"\n",
        &[
            "1:1 no service",
            "3:18 `judged_clients` is 5000: it must be a power of two, such as 4096 or 8192",
        ],
    );
    expect(
        "[interface]\nname = \"a\"\n",
        &["1:1 written [[interface]]", "1:1 no service"],
    );
    expect(
        "[[interface]]\nxdp = \"auto\"\n",
        &["1:1 no name: write `name = \"eth0\"`", "1:1 no service"],
    );
    let shown = errors("[[interface]]\nname = \"a\nx = = 1\n").to_string();
    assert!(shown.lines().count() >= 2, "{shown}");
    assert!(shown.starts_with("splitter.toml:2:"), "{shown}");
    assert!(
        shown.lines().all(|line| line.contains("not valid TOML")),
        "{shown}"
    );
}

#[test]
fn what_no_host_has_room_for() {
    expect(
        "[[interface]]\nname = \"eth0\"\n",
        &["1:1 no service | conf.d"],
    );
    let list = |texts: Vec<String>| texts.join(", ");
    let vips = (1..=80).map(|port| format!("\"203.0.113.10:{port}/tcp\""));
    let backends = (0..800).map(|n| format!("\"10.0.{}.{}\"", n / 250, n % 250 + 1));
    expect(
        &one(&format!(
            "vips = [{}]\nversion.stable = {{ baseline = true, backends = [{}] }}",
            list(vips.collect()),
            list(backends.collect())
        )),
        &["1:1 64081 addresses and ports | at most 24576"],
    );
    let limits = "[limits]\nservices = 1\nvips = 1\nbackends = 2\nprefixes = 1\nbackend = 3\n\
                  table_pages = 1\n[[interface]]\nname = \"eth0\"\n[service.shop]\n\
                  vips = [\"203.0.113.10:1/tcp\", \"203.0.113.10:2/tcp\"]\n\
                  direct = [\"10.8.0.0/16\", \"10.9.0.0/16\"]\nversion.stable = { baseline = true, \
                  backends = [\"10.0.0.1\", \"10.0.0.2\", \"10.0.0.3\"] }\n";
    expect(
        limits,
        &[
            "1:1 2 VIPs in all | [limits] vips = 1 is the most: raise it to 2",
            "1:1 3 backends in all | [limits] backends = 2 is the most: raise it to 3",
            "1:1 2 listed prefixes in all | [limits] prefixes = 1",
            "6:1 unknown key `backend` | did you mean `backends`",
            "7:15 `table_pages` is 1: it must be 32 to 262144",
        ],
    );
}
