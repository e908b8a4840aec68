//! Tests of the command line: grammar, exit codes, and what a table looks like.

pub(super) mod fixed;
mod golden;

use std::path::PathBuf;

use clap::{CommandFactory as _, Parser as _};

use super::args::{ChangeArgs, Cli, ClientAddress, Command, Output};
use super::exit::Exit;
use super::weight::{WeightCommand, by_version};
use super::{check, complaint, no_service, status, text};
use crate::api::{BindError, ClientError, Refusal};
use crate::secret::SecretError;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split(' '))
}

#[test]
fn the_grammar_is_sound() {
    Cli::command().debug_assert();
    let help = Cli::command().render_help().to_string();
    assert!(help.contains("Exit codes:") && help.contains("3  the daemon is not running"));
}

#[test]
fn commands_are_read_as_meant() {
    let cli = parse("splitter serve --config a.toml --socket /s --new-secret").expect("good");
    let Command::Serve(args) = cli.command else {
        panic!("serve")
    };
    let options = args.into_options(cli.socket);
    assert_eq!(
        (options.config, options.socket),
        (PathBuf::from("a.toml"), PathBuf::from("/s"))
    );
    assert!(options.new_secret);
    assert_eq!(options.pin_dir, PathBuf::from("/sys/fs/bpf/splitter"));

    let line = "splitter --socket /s weight set shop canary=5% beta=0.25% --dry-run -o json";
    let Command::Weight(WeightCommand::Set {
        service,
        weights,
        segment: None,
        change:
            ChangeArgs {
                flows: None,
                dry_run,
                output,
                reason,
            },
    }) = parse(line).expect("good").command
    else {
        panic!("weight set")
    };
    assert_eq!((service.as_str(), dry_run, reason), ("shop", true, None));
    assert_eq!(output.output, Output::Json);
    let map = by_version(weights).expect("two versions");
    assert_eq!(
        (map["canary"].as_str(), map["beta"].as_str()),
        ("5%", "0.25%")
    );

    for (text, port) in [
        ("10.0.0.1", None),
        ("10.0.0.1:5", Some(5)),
        ("[::1]:5", Some(5)),
        ("::1", None),
    ] {
        let client: ClientAddress = text.parse().expect(text);
        assert_eq!(client.port, port, "{text}");
    }
    parse("splitter explain shop [2001:db8::1]:5 --vip [2001:db8::2]:443/udp").expect("good");
    parse("splitter status").expect("good");
    parse("splitter status shop -o table").expect("good");
    parse("splitter check splitter.toml").expect("good");
    parse("splitter secret new --path /x").expect("good");
    parse("splitter detach --pin-dir /x").expect("good");
    parse("splitter service list").expect("good");
    parse("splitter backend list shop -o json").expect("good");
    parse("splitter backend drain shop 10.0.1.11:80 --reason disk --dry-run").expect("good");
    parse("splitter backend add shop canary [2001:db8::1]:80 --weight 3").expect("good");
    parse("splitter backend remove shop canary 10.0.1.11").expect("good");
    parse("splitter reload").expect("good");
    parse("splitter reload --dry-run -o json").expect("good");
}

#[test]
fn bad_usage_is_told_and_ends_with_2() {
    for (line, fragment) in [
        ("splitter weight set shop", "VERSION=WEIGHT"),
        ("splitter weight set shop canary", "such as canary=5%"),
        ("splitter weight set shop canary=120%", "over 100%"),
        ("splitter weight set shop canary=many", "not a weight"),
        ("splitter explain shop example.com", "write an IP address"),
        (
            "splitter explain shop 10.0.0.1 --vip 10.0.0.2:443",
            "names no protocol",
        ),
        (
            "splitter status -o yaml",
            "possible values: table, wide, json",
        ),
    ] {
        let error = parse(line).expect_err(line);
        assert_eq!(error.exit_code(), Exit::Usage as i32);
        assert!(error.to_string().contains(fragment), "{error}");
    }
    let twice = ["a=1%", "a=2%"]
        .map(|text| text.parse().expect("good"))
        .to_vec();
    let error = anyhow::Error::new(by_version(twice).expect_err("twice"));
    assert_eq!(Exit::of(&error), Exit::Usage);
}

#[test]
fn exit_codes_are_stable() {
    let path = PathBuf::from("/x");
    let denied = || std::io::Error::from(std::io::ErrorKind::PermissionDenied);
    let rows: [(anyhow::Error, u8); 14] = [
        (anyhow::anyhow!("boom"), 1),
        (Refusal::internal("x").into(), 1),
        (
            ClientError::Timeout(path.clone(), std::time::Duration::from_secs(5)).into(),
            1,
        ),
        (Refusal::invalid("x").into(), 2),
        (SecretError::Missing(path.clone()).into(), 2),
        (
            crate::config::parse_str("x", "").expect_err("bad").into(),
            2,
        ),
        (ClientError::NoSocket(path.clone()).into(), 3),
        (ClientError::NotListening(path.clone()).into(), 3),
        (ClientError::Refused(Refusal::not_found("x")).into(), 4),
        (Refusal::conflict("x").into(), 5),
        (BindError::Taken(path.clone()).into(), 5),
        (ClientError::Permission(path.clone()).into(), 6),
        (Refusal::forbidden("x").into(), 6),
        (
            anyhow::Error::new(denied()).context("loading the program"),
            6,
        ),
    ];
    for (error, code) in rows {
        assert_eq!(Exit::of(&error) as u8, code, "{error:#}");
        assert_eq!(Exit::of(&error.context("while starting")) as u8, code);
    }
}

#[test]
fn complaints_carry_their_hint() {
    let error = no_service("sohp", &["shop".to_owned()]);
    assert_eq!(
        complaint(&ClientError::Refused(error.clone()).into()),
        "splitter: no service \"sohp\"\n  hint: did you mean \"shop\"?\n"
    );
    assert_eq!(Exit::of(&error.into()), Exit::NotFound);
    let errors = crate::config::parse_str("a.toml", "x = 1").expect_err("bad");
    assert!(complaint(&errors.into()).starts_with("a.toml:1:1: "));
}

#[test]
fn check_says_what_there_is() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("s.toml");
    let text = "[[interface]]\nname = \"eth0\"\n[service.a]\nvips = [\"10.9.0.1:1/tcp\"]\n\
                version.v = { baseline = true, backends = [\"10.0.0.1\", \"10.0.0.2\"] }\n";
    std::fs::write(&file, text).expect("written");
    let answer = check::check(&file, None).expect("good");
    let (first, room) = answer.split_once('\n').expect("lines");
    assert!(first.ends_with("s.toml: ok: 1 service, 1 VIP, 1 version, 2 backends, 1 interface"));
    let rows: Vec<String> = room
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    for row in [
        "services 1 1024 services",
        "backends 2 24575 backends",
        "addresses and ports 4 24576 (fixed)",
        "pages of tables 1 7168 table_pages",
    ] {
        assert!(rows.iter().any(|told| told == row), "{row} in\n{room}");
    }
}

#[test]
fn numbers_are_short() {
    let briefs = [0, 99_999, 100_000, 999_949, 999_950, 12_345_678, u64::MAX].map(text::brief);
    assert_eq!(
        briefs,
        ["0", "99999", "100.0k", "999.9k", "1.0M", "12.3M", "18.4E"]
    );
    assert_eq!(
        [5.0, 0.0001, 100.0, 2.5].map(text::percent),
        ["5%", "0.0001%", "100%", "2.5%"]
    );
    assert_eq!(
        [9, 432, 7_500, 273_600].map(text::duration),
        ["9s", "7m 12s", "2h 5m", "3d 4h"]
    );
}

#[test]
fn the_status_fits_80_columns_and_begins_with_what_is_wrong() {
    let shown = status::table(&fixed::status(), false);
    let longest = shown.lines().map(|line| line.chars().count()).max();
    assert!(longest <= Some(80), "{longest:?}\n{shown}");
    let lines: Vec<_> = shown.lines().collect();
    assert!(
        lines[0].starts_with("ATTENTION, 1 warning: 2 services, generation 12"),
        "{shown}"
    );
    assert_eq!(lines[1], "  ! eth1 runs in generic mode");
    for wanted in [
        "set canary=5% by root (uid 0) at 2026-01-02T03:04:05Z: try",
        "the file has other weights: canary 1%",
        "2.4M",
        "[2001:db8:2::11]:8443",
        "flows adopted in the middle: stable 7, canary 7",
        "  10.0.1.11:8443: added by root (uid 0) at 2026-01-02T03:04:05Z: more room",
        "  10.0.1.11:8443: slow start, at 30% of its weight",
        "  canary: 0 of 1 backend active and healthy, empty: on_empty baseline",
        "  [2001:db8:2::11]:8443: unhealthy since 2026-01-02T03:04:05Z: refused",
        "52:54:00:12:34:56 via eth1",
    ] {
        assert!(shown.contains(wanted), "{wanted}\n{shown}");
    }
    let at = |text: &str| shown.find(text).expect(text);
    assert!(
        at("no_frontend_port") < at("not_vip"),
        "drops come first\n{shown}"
    );
}

#[test]
fn the_wide_status_leaves_no_counter_out() {
    let mut status = fixed::status();
    let counters = fixed::distinct_counters();
    status.services[0].versions[1].backends[0].counters = counters;
    let shown = status::table(&status, true);
    let row = shown
        .lines()
        .filter(|line| line.starts_with("    [2001:db8:2::11]:8443"))
        .find(|line| line.contains(&counters.packets_in.to_string()))
        .expect("a row of counters");
    let fields = serde_json::to_value(counters).expect("JSON");
    let fields = fields.as_object().expect("an object");
    assert_eq!(row.split_whitespace().count(), 1 + fields.len(), "{row}");
    for (name, count) in fields {
        let count = count.to_string();
        assert!(
            row.split_whitespace().any(|cell| cell == count),
            "{name} in {row}"
        );
    }
    for wanted in [
        "unhealthy",
        "52:54:00:12:34:56 via eth1",
        "resolved",
        "unresolved on eth1",
    ] {
        assert!(shown.contains(wanted), "{wanted}\n{shown}");
    }
}

#[test]
fn a_watch_takes_seconds_or_none() {
    let watch = |line: &str| match parse(line).expect(line).command {
        Command::Status(args) => (args.service, args.watch.map(|every| every.as_secs())),
        other => panic!("{other:?}"),
    };
    assert_eq!(watch("splitter status"), (None, None));
    assert_eq!(watch("splitter status --watch"), (None, Some(2)));
    let shop = Some("shop".to_owned());
    assert_eq!(
        watch("splitter status shop --watch"),
        (shop.clone(), Some(2))
    );
    assert_eq!(
        watch("splitter status shop --watch 5 -o wide"),
        (shop, Some(5))
    );
    for line in ["splitter status --watch shop", "splitter status --watch 0"] {
        let error = parse(line).expect_err(line).to_string();
        assert!(error.contains("a service before --watch"), "{error}");
    }
}
