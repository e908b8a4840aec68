//! What the command line prints, compared with the files in `golden/`: a change of it is seen by
//! whoever reviews the change. They are written anew by
//! `SPLITTER_RENEW_GOLDEN=1 cargo test -p splitter-user golden`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{CommandFactory as _, FromArgMatches as _};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::super::simulate::tests::captures;
use super::super::text::grouped;
use super::super::{complaint, execute};
use super::fixed::Fixed;
use super::{Cli, Exit};
use crate::api::types::Simulate;
use crate::api::{bind, serve};
use crate::model::DEFAULT_SOCKET;

/// As wide as a help is made for.
const COLUMNS: usize = 80;
const RENEW: &str = "SPLITTER_RENEW_GOLDEN";
/// The folder of the files that `check` is shown.
const FILES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/cli/golden/files");

/// Files by name, and the command that each is the output of.
const COMMANDS: &[(&str, &str)] = &[
    ("status", "status"),
    ("status-wide", "status -o wide"),
    ("status-json", "status mail -o json"),
    ("status-of-one", "status mail"),
    ("status-of-none", "status shpo"),
    ("weight-get", "weight get shop"),
    ("weight-get-all", "weight get"),
    ("weight-get-json", "weight get shop -o json"),
    ("weight-get-of-none", "weight get shpo"),
    ("weight-set", "weight set shop canary=10%"),
    ("weight-set-dry-run", "weight set shop canary=10% --dry-run"),
    ("weight-set-twice", "weight set shop canary=10% canary=11%"),
    ("weight-set-baseline", "weight set shop stable=10%"),
    ("weight-set-over", "weight set shop canary=120%"),
    ("service-list", "service list"),
    ("service-show", "service show shop"),
    ("service-show-plain", "service show mail"),
    ("service-show-json", "service show shop -o json"),
    ("service-show-of-none", "service show shpo"),
    ("backend-list", "backend list shop"),
    (
        "backend-drain",
        "backend drain shop 10.0.1.11:8443 --dry-run",
    ),
    ("backend-drain-last", "backend drain shop 10.0.1.12:8443"),
    ("history", "history shop"),
    (
        "history-of-one",
        "history shop --version canary --step 1m -o csv",
    ),
    ("history-json", "history shop --version canary -o json"),
    ("history-of-nothing", "history shop --since 7days"),
    ("history-no-time", "history shop --since yesterday"),
    ("clients", "clients shop"),
    ("clients-some", "clients shop --version canary --limit 2"),
    ("clients-json", "clients shop -o json"),
    ("flows-list", "flows list shop"),
    (
        "flows-list-some",
        "flows list shop --version canary --limit 2",
    ),
    ("flows-reset", "flows reset shop --version canary"),
    (
        "flows-reset-dry-run",
        "flows reset shop --client 198.51.100.0/24 --dry-run",
    ),
    ("flows-count", "flows count shop --pending"),
    ("flows-count-json", "flows count shop -o json"),
    ("explain", "explain shop 198.51.100.7"),
    ("explain-flow", "explain shop 198.51.100.7:5555"),
    ("explain-json", "explain shop 198.51.100.7 -o json"),
    ("explain-no-address", "explain shop example.com"),
    ("simulate", "simulate FILES/clients.csv --service shop"),
    (
        "simulate-weight",
        "simulate FILES/clients.csv --service shop --weight canary=10% --list",
    ),
    (
        "simulate-baseline",
        "simulate FILES/clients.csv --service shop --weight stable=10%",
    ),
    (
        "simulate-segment-alone",
        "simulate FILES/clients.csv --service shop --segment staff",
    ),
    (
        "simulate-json",
        "simulate FILES/clients.csv --service shop --weight canary=10% -o json",
    ),
    ("simulate-capture", "simulate SCRATCH/day.pcap"),
    (
        "simulate-capture-weight",
        "simulate SCRATCH/day.pcap --service shop --weight canary=10%",
    ),
    ("simulate-which", "simulate FILES/clients.csv"),
    ("simulate-bad", "simulate FILES/members.csv --service shop"),
    (
        "simulate-foreign",
        "simulate SCRATCH/cut.pcap --service shop",
    ),
    ("simulate-no-file", "simulate FILES/none.csv --service shop"),
    (
        "simulate-of-none",
        "simulate FILES/clients.csv --service shpo",
    ),
    ("devices", "devices"),
    ("devices-json", "devices -o json"),
    ("whois", "whois 198.51.100.7"),
    ("whois-json", "whois 198.51.100.7 -o json"),
    ("whois-no-address", "whois example.com"),
    ("top-of-none", "top shpo --once"),
    ("events", "events"),
    ("events-newest", "events --limit 1"),
    (
        "events-of-one-json",
        "events --service shop --limit 1 -o json",
    ),
    ("events-of-none", "events --service shpo --since 1h"),
    ("events-follow", "events --follow --since soon"),
    ("evidence", "evidence show shop"),
    ("evidence-slice", "evidence show shop --slice"),
    ("evidence-json", "evidence show shop -o json"),
    ("evidence-not-judged", "evidence show mail"),
    ("evidence-reset", "evidence reset shop"),
    ("evidence-reset-refused", "evidence reset mail"),
    ("cohort-create", "cohort create alpha"),
    ("cohort-create-asked", "cohort create banned"),
    ("cohort-create-twice", "cohort create beta"),
    ("cohort-create-dry-run", "cohort create alpha --dry-run"),
    ("cohort-delete", "cohort delete beta"),
    ("cohort-delete-dry-run", "cohort delete beta --dry-run"),
    ("cohort-add", "cohort add beta 198.51.100.7"),
    (
        "cohort-renew",
        "cohort add beta 198.51.100.7 --ttl 30m --ref user",
    ),
    (
        "cohort-add-dry-run",
        "cohort add beta 198.51.100.7 --ttl 30m --dry-run",
    ),
    ("cohort-add-to-none", "cohort add bta 198.51.100.7"),
    ("cohort-remove", "cohort remove beta 198.51.100.7"),
    (
        "cohort-remove-dry-run",
        "cohort remove beta 198.51.100.7 --dry-run",
    ),
    ("cohort-import", "cohort import beta FILES/members.csv"),
    (
        "cohort-import-skip-bad",
        "cohort import beta FILES/members.csv --skip-bad",
    ),
    (
        "cohort-import-dry-run",
        "cohort import beta FILES/members.csv --skip-bad --dry-run",
    ),
    ("cohort-import-no-file", "cohort import beta FILES/none.csv"),
    ("cohort-list", "cohort list"),
    ("cohort-list-json", "cohort list -o json"),
    ("cohort-test", "cohort test 198.51.100.9"),
    ("cohort-test-of-none", "cohort test 198.51.100.7"),
    ("explain-cohorts", "explain shop 198.51.100.9"),
    ("lease-supervise", "lease supervise on shop"),
    ("reload-dry-run", "reload --dry-run"),
    ("reload-refused", "reload"),
    ("check", "check FILES/good.toml"),
    ("check-memory", "check FILES/good.toml --memory --cpus 2"),
    ("check-bad", "check FILES/bad.toml"),
    ("check-no-file", "check FILES/none.toml"),
    ("no-command", "satus"),
    ("no-form", "status -o yaml"),
    ("no-socket", "--socket NOWHERE status"),
    ("watch-no-seconds", "status --watch soon"),
];

/// What a command prints, and its exit code.
fn output(socket: &Path, line: &str) -> String {
    let folder = socket.parent().expect("a folder");
    let nowhere = folder.join("nowhere.sock");
    let words = line.split(' ').map(|word| {
        let word = word.replace("FILES", FILES);
        let word = word.replace("SCRATCH", &folder.to_string_lossy());
        word.replace("NOWHERE", &nowhere.to_string_lossy())
    });
    let mut all = vec!["splitter".to_owned()];
    if !line.contains("--socket") {
        all.extend(["--socket".to_owned(), socket.display().to_string()]);
    }
    all.extend(words);
    let command = Cli::command().term_width(COLUMNS);
    let parsed = command
        .try_get_matches_from(all)
        .and_then(|matches| Cli::from_arg_matches(&matches));
    let (out, error, code) = match parsed {
        Err(error) => (String::new(), error.render().to_string(), error.exit_code()),
        Ok(cli) => match execute(cli) {
            Ok(answer) => (answer, String::new(), Exit::Done as i32),
            Err(error) => (String::new(), complaint(&error), Exit::of(&error) as i32),
        },
    };
    let text = format!("$ splitter {line}\n{out}{error}[exit code {code}]\n");
    text.replace(FILES, "/etc/splitter")
        .replace("FILES", "/etc/splitter")
        .replace(&*nowhere.to_string_lossy(), DEFAULT_SOCKET)
        .replace(&*folder.to_string_lossy(), "/tmp")
        .replace("SCRATCH", "/tmp")
        .replace("NOWHERE", DEFAULT_SOCKET)
}

/// The help of every command, by its words.
fn helps(command: &clap::Command, path: &str, found: &mut BTreeMap<String, String>) {
    for each in command.get_subcommands() {
        if each.get_name() == "help" {
            continue;
        }
        helps(each, &format!("{path}-{}", each.get_name()), found);
    }
    let text = command.clone().render_long_help().to_string();
    found.insert(format!("help{path}"), text);
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli/golden")
}

/// What is committed, by name.
fn committed() -> BTreeMap<String, String> {
    let entries = std::fs::read_dir(folder()).expect("the folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let texts = paths.filter(|path| path.extension().is_some_and(|end| end == "txt"));
    texts
        .map(|path| {
            let name = path.file_stem().expect("a name").to_string_lossy();
            let text = std::fs::read_to_string(&path).expect("text");
            (name.into_owned(), text)
        })
        .collect()
}

fn renew(before: &BTreeMap<String, String>, now: &BTreeMap<String, String>) {
    let path = |name: &str| folder().join(format!("{name}.txt"));
    for name in before.keys().filter(|name| !now.contains_key(*name)) {
        std::fs::remove_file(path(name)).expect("removed");
    }
    for (name, text) in now {
        std::fs::write(path(name), text).expect("written");
    }
}

/// The first line in which two texts differ.
fn difference(name: &str, before: Option<&String>, now: Option<&String>) -> String {
    let (before, now) = match (before, now) {
        (Some(before), Some(now)) => (before, now),
        (None, _) => return format!("{name}.txt is missing"),
        (Some(_), None) => return format!("{name}.txt is the output of no command"),
    };
    let line = |text: &str, at: usize| text.lines().nth(at).unwrap_or("(the end)").to_owned();
    let at = (0..)
        .find(|at| before.lines().nth(*at) != now.lines().nth(*at))
        .unwrap_or(0);
    let (was, is) = (line(before, at), line(now, at));
    format!("{name}.txt, line {}:\n  - {was}\n  + {is}", at + 1)
}

/// The fixed daemon behind a socket, as long as the runtime lives.
fn fixed_daemon() -> (Runtime, TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let socket = directory.path().join("splitter.sock");
    let daemon = Runtime::new().expect("a runtime");
    {
        let _inside = daemon.enter();
        let listener = bind(&socket).expect("bound");
        daemon.spawn(serve(listener, Arc::new(Fixed), std::future::pending()));
    }
    (daemon, directory, socket)
}

#[test]
fn the_output_is_that_of_the_golden_files() {
    let (_daemon, directory, socket) = fixed_daemon();
    let capture = captures::day();
    std::fs::write(directory.path().join("day.pcap"), &capture).expect("written");
    let cut = &capture[..capture.len() - 1];
    std::fs::write(directory.path().join("cut.pcap"), cut).expect("written");
    let mut now = BTreeMap::new();
    let mut command = Cli::command().term_width(COLUMNS);
    command.build();
    helps(&command, "", &mut now);
    for (name, line) in COMMANDS {
        let twice = now.insert((*name).to_owned(), output(&socket, line));
        assert_eq!(twice, None, "{name} names two");
    }
    let before = committed();
    if std::env::var_os(RENEW).is_some() {
        return renew(&before, &now);
    }
    let names = before
        .keys()
        .chain(now.keys().filter(|name| !before.contains_key(*name)));
    let differences: Vec<String> = names
        .filter(|name| before.get(*name) != now.get(*name))
        .map(|name| difference(name, before.get(name), now.get(name)))
        .collect();
    assert!(
        differences.is_empty(),
        "{}\nif that is as it should be: {RENEW}=1 cargo test -p splitter-user golden",
        differences.join("\n")
    );
}

#[test]
fn a_difference_is_told_with_its_line() {
    let texts = ["a\nb\n", "a\nc\n", "a\n"].map(str::to_owned);
    let told = |before: usize, now: usize| difference("x", texts.get(before), texts.get(now));
    assert_eq!(told(0, 1), "x.txt, line 2:\n  - b\n  + c");
    assert_eq!(told(0, 2), "x.txt, line 2:\n  - b\n  + (the end)");
    assert_eq!(told(9, 0), "x.txt is missing");
    assert_eq!(told(0, 9), "x.txt is the output of no command");
}

#[test]
fn a_list_that_is_asked_in_many_parts_adds_up() {
    let (_daemon, directory, socket) = fixed_daemon();
    let lines = |count: usize| -> String {
        let line = |nth| format!("10.0.{}.{}\n", nth / 250 % 250, nth % 250 + 1);
        (0..count).map(line).collect()
    };
    // None, as many as one part holds, one more, and many parts.
    for count in [0, Simulate::MOST, Simulate::MOST + 1, 25_000] {
        std::fs::write(directory.path().join("many.txt"), lines(count)).expect("written");
        let told = output(&socket, "simulate SCRATCH/many.txt --service shop");
        let expected = match count {
            0 => "service shop: no client\n".to_owned(),
            _ => format!(
                "service shop: {} clients, by generation 12\n",
                grouped(count as u64)
            ),
        };
        assert!(told.contains(&expected), "{told}");
    }
    // The fixed daemon gives the canary one in five.
    let told = output(&socket, "simulate SCRATCH/many.txt --service shop");
    let rows = told.lines().map(|line| line.split_whitespace().collect());
    let mut rows = rows.map(|words: Vec<&str>| words.join(" "));
    assert!(rows.any(|row| row == "- canary 5% 5,000 20%"), "{told}");
    let mut bad = lines(9_000);
    bad += "here it ends\n";
    std::fs::write(directory.path().join("many.txt"), bad).expect("written");
    let told = output(&socket, "simulate SCRATCH/many.txt --service shop --list");
    assert!(told.contains("line 9001: \"here it ends\""), "{told}");
}
