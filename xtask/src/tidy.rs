//! `tidy`: the rules of the house that a program can hold, over the text of the sources.
//!
//! What it finds is named with file and line. `docs/STYLE.md` says the rules and why.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::{child, paths};

/// The longest file, in lines.
const LINES_MAX: usize = 500;

/// Where `unsafe` may stand; a folder ends with a slash.
const UNSAFE: &[&str] = &[
    "splitter-ebpf/src/clients.rs",
    "splitter-ebpf/src/evidence.rs",
    "splitter-ebpf/src/kernel.rs",
    "splitter-ebpf/src/losses.rs",
    "splitter-ebpf/src/main.rs",
    "splitter-ebpf/src/maps/",
    "splitter-ebpf/src/packet.rs",
    "splitter-ebpf/src/times.rs",
    "splitter-user/src/daemon/heap.rs",
    "splitter-user/src/dataplane/bpf.rs",
    "splitter-user/src/dataplane/typed.rs",
    "splitter-user/src/dataplane/mapped.rs",
    "splitter-user/src/dataplane/pod.rs",
    "tests/bench-ebpf/src/",
    "tests/src/sys.rs",
    "tests/vm-init/src/",
];

/// The rooms of splitter-user and what each may import of the others.
const ROOMS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("net", &[]),
    ("config", &["model"]),
    ("health", &["model", "config"]),
    ("plan", &["model", "secret"]),
    ("dataplane", &["model", "plan"]),
    ("cohorts", &["model"]),
    ("state", &["model", "config", "plan", "health"]),
    ("api", &["model"]),
    // Of plan and state the errors alone, for exit codes.
    (
        "cli",
        &["model", "config", "secret", "api", "plan", "state"],
    ),
    (
        "daemon",
        &[
            "model",
            "net",
            "config",
            "health",
            "plan",
            "dataplane",
            "cohorts",
            "state",
            "api",
            "secret",
        ],
    ),
];
/// The one file of `cli` that reaches the parts that touch the kernel.
const WIRE: &str = "splitter-user/src/cli/wire.rs";

/// What reads the wall clock, or reads a time of day back.
const WALL_CLOCK: &[&str] = &[
    "SystemTime",
    "UNIX_EPOCH",
    "CLOCK_REALTIME",
    "ClockId::Realtime",
    "gettimeofday",
    "parse_rfc3339",
    "bpf_ktime_get_tai_ns",
];
/// Where the product may: one file of the daemon; history and events, which tell of times of day; and the
/// head of `status --watch`.
const WALL_CLOCK_PLACES: &[&str] = &[
    "splitter-user/src/daemon/wall.rs",
    "splitter-user/src/daemon/past.rs",
    "splitter-user/src/daemon/sampling.rs",
    "splitter-user/src/model/history.rs",
    "splitter-user/src/events/log.rs",
    "splitter-user/src/api/events.rs",
    "splitter-user/src/cli/events.rs",
    "splitter-user/src/cli/status/watch.rs",
];

/// Words that say that something is not done. Split here, so that this file does not say them.
const UNDONE: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("X", "XX"),
];

/// A rule that a line breaks.
type Fault = (PathBuf, usize, String);

/// The command itself.
pub(crate) fn run() -> Result<ExitCode> {
    let faults = faults(&paths::workspace())?;
    for (file, line, what) in &faults {
        println!("{}:{line}: {what}", file.display());
    }
    if faults.is_empty() {
        println!("tidy");
        Ok(ExitCode::SUCCESS)
    } else {
        Ok(ExitCode::FAILURE)
    }
}

/// All that is untidy in the sources that git knows.
fn faults(workspace: &Path) -> Result<Vec<Fault>> {
    let mut list = child::program("git");
    list.current_dir(workspace).args(["ls-files", "*.rs"]);
    let output = list.output().context("git does not start")?;
    let names = String::from_utf8(output.stdout)?;
    let mut found = Vec::new();
    for name in names.lines() {
        let path = Path::new(name);
        // A file that was removed but not yet committed so.
        let Ok(text) = fs::read_to_string(workspace.join(path)) else {
            continue;
        };
        let of_file = file_faults(name, &text);
        found.extend(
            of_file
                .into_iter()
                .map(|(line, what)| (path.to_owned(), line, what)),
        );
    }
    Ok(found)
}

fn file_faults(name: &str, text: &str) -> Vec<(usize, String)> {
    let mut faults = Vec::new();
    let count = text.lines().count();
    if count > LINES_MAX {
        faults.push((count, format!("{count} lines; at most {LINES_MAX}")));
    }
    if !text.starts_with("//!") && !name.ends_with("tests.rs") {
        faults.push((1, "does not begin with `//!`, what it owns".to_owned()));
    }
    let may_read_the_time = !["splitter-common/", "splitter-ebpf/", "splitter-user/"]
        .iter()
        .any(|place| name.starts_with(place))
        || WALL_CLOCK_PLACES.contains(&name);
    let may_be_unsafe = UNSAFE.iter().any(|place| name.starts_with(place));
    for (index, line) in text.lines().enumerate() {
        let mut fault = |what: &str| faults.push((index + 1, what.to_owned()));
        let code = line.split("//").next().unwrap_or_default();
        if UNDONE.iter().any(|word| line.contains(word)) {
            fault("says that something is not done: do it, or say so in the limits");
        }
        let is_unsafe = ["unsafe {", "unsafe fn", "unsafe impl"]
            .iter()
            .any(|word| code.contains(word));
        if !may_read_the_time && WALL_CLOCK.iter().any(|word| code.contains(word)) {
            fault("reads the wall clock, which may jump: take the kernel's ticks or `Instant`");
        }
        if is_unsafe && !may_be_unsafe && !code.contains('"') {
            fault("`unsafe` outside the files that may have it");
        }
    }
    faults.extend(import_faults(name, text));
    faults
}

/// Imports against the direction of the house.
fn import_faults(name: &str, text: &str) -> Vec<(usize, String)> {
    let Some(inside) = name.strip_prefix("splitter-user/src/") else {
        return Vec::new();
    };
    let room = inside.split('/').next().unwrap_or_default();
    let Some((_, allowed)) = ROOMS.iter().find(|(known, _)| *known == room) else {
        return Vec::new();
    };
    let mut faults = Vec::new();
    for imported in imports(text) {
        let is_room = ROOMS.iter().any(|(known, _)| *known == imported) || imported == "secret";
        if is_room && imported != room && !allowed.contains(&&*imported) && name != WIRE {
            faults.push((1, format!("`{room}` imports `{imported}`")));
        }
    }
    faults
}

/// The first names behind `crate::` outside comments, groups opened.
fn imports(text: &str) -> BTreeSet<String> {
    let code: String = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| [line, "\n"])
        .collect();
    let mut names = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        let Some(group) = rest.strip_prefix('{') else {
            names.insert(first_word(rest));
            continue;
        };
        let (mut depth, mut at_start) = (0, true);
        for (index, sign) in group.char_indices() {
            match sign {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => at_start = true,
                sign if at_start && sign.is_alphabetic() => {
                    names.insert(first_word(&group[index..]));
                    at_start = false;
                }
                _ => {}
            }
        }
    }
    names
}

fn first_word(text: &str) -> String {
    text.chars()
        .take_while(|sign| sign.is_alphanumeric() || *sign == '_')
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_house_is_tidy() {
        let found = faults(&paths::workspace()).expect("the sources");
        assert!(found.is_empty(), "{found:#?}");
    }

    #[test]
    fn each_rule_finds_what_breaks_it() {
        let said = |name: &str, text: &str| -> Vec<String> {
            file_faults(name, text)
                .into_iter()
                .map(|(_, what)| what)
                .collect()
        };
        let good = "//! Owns nothing.\nuse crate::model::Vip;\n";
        assert!(said("splitter-user/src/plan/a.rs", good).is_empty());
        let long = format!("//! Long.\n{}", "\n".repeat(LINES_MAX));
        for (name, text, wanted) in [
            ("a.rs", "fn a() {}\n", "does not begin"),
            ("a.rs", long.as_str(), "501 lines"),
            ("a.rs", "//! A.\nunsafe { a() }\n", "`unsafe` outside"),
            (
                "splitter-user/src/health/a.rs",
                "//! A.\nuse std::time::{Instant, SystemTime};\n",
                "reads the wall clock",
            ),
            (
                "splitter-user/src/plan/a.rs",
                "//! A.\nuse crate::{\n    model::{A, B},\n    daemon::Core,\n};\n",
                "`plan` imports `daemon`",
            ),
            (
                "splitter-user/src/model/a.rs",
                "//! A.\nfn a() { crate::config::load() }\n",
                "`model` imports `config`",
            ),
        ] {
            let found = said(name, text);
            assert!(
                found.iter().any(|what| what.contains(wanted)),
                "{wanted}: {found:?}"
            );
        }
        let undone = format!("//! A.\n// {}: later\n", UNDONE[0]);
        assert_eq!(said("a.rs", &undone).len(), 1);
    }
}
