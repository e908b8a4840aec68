//! Tests of `[service.NAME.health]` and `on_empty`: what a good one says, and bad ones.

use std::time::Duration;

use super::super::{backend, check_again, parse_str};
use super::bad::{STABLE, VIPS, expect, one};
use crate::model::{Check, HealthSettings, HttpMethod, OnEmpty, Passive, Question};

fn health(keys: &str) -> HealthSettings {
    let text = one(&format!("{VIPS}{STABLE}[service.shop.health]\n{keys}"));
    let mut config = parse_str("splitter.toml", &text).expect(&text);
    let service = config.services.remove(0);
    service.health.clone().expect("a health section")
}

#[test]
fn a_good_section_is_read_whole() {
    let plain = health("");
    assert_eq!((plain.check, plain.passive), (None, None));
    assert_eq!(plain.max_unhealthy.to_string(), "50%");
    let tcp = health("check = \"tcp\"").check.expect("a check");
    let usual = Check {
        question: Question::Tcp,
        port: None,
        interval: Duration::from_secs(2),
        timeout: Duration::from_secs(1),
        rise: 2,
        fall: 3,
    };
    assert_eq!(tcp, usual);
    let quick = health("check = \"tcp\"\ninterval = \"300ms\"").check;
    assert_eq!(quick.expect("a check").timeout, Duration::from_millis(300));
    let http = health(
        "check = \"http\"\nmethod = \"HEAD\"\npath = \"/up?x=1\"\nhost = \"shop.example\"\n\
         expect_status = [204, \"300-399\"]\nport = 8080\nrise = 1\nfall = 5\n\
         max_unhealthy = \"25%\"\nslow_start = \"1m 30s\"\n\
         passive = { window = \"20s\", eject_for = \"20m\" }",
    );
    assert_eq!(http.slow_start, Duration::from_secs(90));
    let passive = Passive {
        window: Duration::from_secs(20),
        eject_for: Duration::from_secs(1_200),
        eject_max: Duration::from_secs(1_200),
        ..Passive::default()
    };
    assert_eq!(http.passive, Some(passive));
    let check = http.check.expect("a check");
    assert_eq!((check.port, check.rise, check.fall), (Some(8_080), 1, 5));
    let Question::Http(question) = check.question else {
        panic!("http")
    };
    assert_eq!(
        (question.method, question.path.as_str()),
        (HttpMethod::Head, "/up?x=1")
    );
    assert_eq!(question.expect_status, [(204, 204), (300, 399)]);
    let text = one(&format!(
        "{VIPS}{STABLE}version.canary = {{ weight = \"1%\", backends = [\"10.0.1.12\"] }}"
    ));
    let config = parse_str("splitter.toml", &text).expect("good");
    let on_empty = |at: usize| config.services[0].versions[at].on_empty();
    assert_eq!(
        (on_empty(0), on_empty(1)),
        (OnEmpty::Keep, OnEmpty::Baseline)
    );
}

#[test]
fn a_bad_section_is_answered_with_what_to_write() {
    let row = |keys: &str, wanted: &[&str]| {
        expect(
            &one(&format!("{VIPS}{STABLE}[service.shop.health]\n{keys}")),
            wanted,
        );
    };
    row(
        "chekc = \"tcp\"",
        &["7:1 service \"shop\", health: unknown key `chekc` | did you mean `check`?"],
    );
    row("check = \"udp\"", &["7:9 write \"tcp\" or \"http\""]);
    row(
        "check = \"icmp\"\ninterval = 5\ntimeout = \"9h\"\nfall = 0\npath = \"up\"\n\
         expect_status = [99]",
        &[
            "7:9 `check` is \"icmp\": write \"tcp\" or \"http\"",
            "8:12 a duration is text with a unit: write `interval = \"5s\"`",
            "9:11 write a duration of 10ms to 1h",
            "10:8 it must be 1 to 100",
            "11:8 begins with /, such as \"/healthz\"",
            "12:18 within 100 to 599",
        ],
    );
    row(
        "check = true\nrise = 0",
        &["7:9 `check` must be a string", "8:8 it must be 1 to 100"],
    );
    row(
        "interval = 5",
        &["7:12 `interval` is part of a check | write `check = \"http\"`"],
    );
    row(
        "check = \"tcp\"\ninterval = 5",
        &["8:12 a duration is text with a unit: write `interval = \"5s\"`"],
    );
    row(
        "check = \"tcp\"\ninterval = \"5 apples\"",
        &["8:12 write a duration of 100ms to 1h, such as \"2s\""],
    );
    row(
        "check = \"tcp\"\ninterval = \"2h\"",
        &["8:12 of 100ms to 1h"],
    );
    row(
        "check = \"tcp\"\ntimeout = \"3s\"",
        &["8:11 longer than the interval of 2s"],
    );
    row("check = \"tcp\"\nfall = 0", &["8:8 it must be 1 to 100"]);
    row(
        "check = \"tcp\"\npath = \"/\"",
        &["8:8 `path` belongs to a check by http"],
    );
    row(
        "check = \"http\"\npath = \"up\"",
        &["8:8 begins with /, such as \"/healthz\""],
    );
    row("check = \"http\"\nhost = \"a b\"", &["8:8 a name such as"]);
    row(
        "check = \"http\"\nexpect_status = []",
        &["8:17 no answer is good"],
    );
    row(
        "check = \"http\"\nexpect_status = [99, \"400-300\", 200]",
        &["8:18 within 100 to 599", "8:22 within 100 to 599"],
    );
    row(
        "check = \"http\"\nmethod = \"HEAD\"\nexpect_body = \"ok\"",
        &["9:15 HEAD has no body"],
    );
    row(
        "max_unhealthy = \"half\"",
        &["7:17 a share such as \"50%\""],
    );
    row("slow_start = \"2h\"", &["7:14 of 0s to 1h"]);
    row(
        "passive = { window = \"1s\", unanswered = \"0%\", eject_max = \"5s\" }",
        &[
            "7:22 of 2s to 10m",
            "7:41 which every backend reaches",
            "7:59 shorter than the first ejection of 30s",
        ],
    );
    row("passive = true", &["7:11 must be a table"]);
}

#[test]
fn a_service_and_its_health_must_fit() {
    let udp = "vips = [\"203.0.113.10:53/udp\"]\n";
    expect(
        &one(&format!("{udp}{STABLE}health = {{ check = \"tcp\" }}")),
        &["3:10 service \"shop\", health: every VIP is UDP | write the `port`"],
    );
    expect(
        &one(&format!("{STABLE}health = {{ check = \"tcp\" }}")),
        &["3:10 service \"shop\": no VIP; write `vips"],
    );
    let text = one(&format!(
        "{udp}{STABLE}health = {{ check = \"tcp\", port = 80 }}"
    ));
    assert!(parse_str("splitter.toml", &text).is_ok());
    let two = "vips = [\"203.0.113.10:80/tcp\", \"[2001:db8::10]:80/udp\"]\nversion.stable = { \
               baseline = true, backends = [\"10.0.1.11\", \"2001:db8:1::11\"] }\n";
    expect(
        &one(&format!("{two}health = {{ check = \"tcp\" }}")),
        &["3:10 backend 2001:db8:1::11 has no port | write the `port`"],
    );
    let version = |key: &str| {
        one(&format!(
            "{VIPS}{STABLE}version.canary = {{ weight = \"1%\", backends = [\"10.0.1.12\"], {key} }}"
        ))
    };
    expect(
        &version("on_empty = \"wait\""),
        &["6:72 \"baseline\" or \"keep\" or \"reset\" or \"drop\""],
    );
    expect(
        &one(&format!(
            "{VIPS}version.stable = {{ baseline = true, backends = [\"10.0.1.11\"], \
             on_empty = \"baseline\" }}"
        )),
        &["5:9 cannot be served by itself | write `on_empty = \"keep\"`"],
    );
}

#[test]
fn what_is_set_at_run_time_is_held_to_the_same_rules() {
    let text = one(&format!("{VIPS}{STABLE}"));
    let mut config = parse_str("splitter.toml", &text).expect("good");
    assert_eq!(check_again(&config), Ok(()));
    let added = backend("[2001:db8::1]:80", 3).expect("a backend");
    assert_eq!(
        (added.to_string().as_str(), added.weight),
        ("[2001:db8::1]:80", 3)
    );
    for (text, why) in [
        ("shop:80", "names are not looked up"),
        ("127.0.0.1:80", "loopback"),
    ] {
        assert!(backend(text, 1).expect_err(text).contains(why), "{text}");
    }
    let backends = &mut config.services[0].versions[0].backends;
    backends.extend([added, backend("10.0.1.12:80", 1).expect("a backend")]);
    backends.push(backends[0].clone());
    let errors = check_again(&config)
        .expect_err("another family, and twice")
        .0;
    let texts: Vec<&str> = errors.iter().map(|error| error.message.as_str()).collect();
    assert_eq!(texts.len(), 2, "{texts:?}");
    assert!(texts[0].contains("is IPv6, but no VIP"), "{texts:?}");
    assert!(
        texts[1].contains("is the server of 10.0.1.11:8443"),
        "{texts:?}"
    );
    config.services[0].versions[0].backends.clear();
    assert!(check_again(&config).is_err());
}
