//! What the README shows applications is what they can do: its examples are run as they stand, but for the
//! path of the socket.

use std::{
    io::{self, Write as _},
    process::{Command, Output, Stdio},
};

use crate::{
    cohorts::with_cohort,
    scene::{Scene, scene},
};

const README: &str = include_str!("../../../README.md");
/// The address that the examples name.
const SHOWN: &str = "198.51.100.7";

/// The one block of a language that holds this.
fn block(language: &str, holds: &str) -> String {
    let fence = format!("```{language}\n");
    let blocks = README.split(&fence).skip(1);
    let blocks = blocks.filter_map(|rest| Some(rest.split_once("\n```")?.0));
    let found: Vec<&str> = blocks.filter(|block| block.contains(holds)).collect();
    let [one] = found[..] else {
        panic!("one block of {language} holds {holds}: {found:?}");
    };
    one.to_owned()
}

/// With this daemon's socket and one of its clients.
fn here(scene: &Scene, block: &str, client: &str) -> String {
    let socket = scene.daemon.socket_path();
    assert!(block.contains("/run/splitter/splitter.sock"), "{block}");
    let block = block.replace("/run/splitter/splitter.sock", &socket.to_string_lossy());
    block.replace(SHOWN, client)
}

/// Runs a text that a program reads from its standard input; `None` where there is no such program.
fn run(program: &str, text: &str) -> Option<Output> {
    let child = Command::new(program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match child {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            eprintln!("left out: there is no {program}, which `cargo xtask setup` installs");
            return None;
        }
        child => child.expect("it begins"),
    };
    let mut stdin = child.stdin.take().expect("its input");
    stdin.write_all(text.as_bytes()).expect("written");
    drop(stdin);
    Some(child.wait_with_output().expect("it ended"))
}

/// A member's reference, and for how long it stays.
fn member(scene: &Scene, address: &str) -> (String, f64) {
    let path = format!("/v1/memberships?address={address}");
    let told = scene.daemon.api_get(&path).expect("told");
    let of = &told["cohorts"][0];
    assert_eq!(of["cohort"], "beta", "{told}");
    let reference = of["reference"].as_str().expect("a reference").to_owned();
    (reference, of["left_s"].as_f64().expect("an end"))
}

#[test]
fn the_examples_for_applications_do_what_they_say() {
    let scene = scene(false, "0%");
    let text = with_cohort(&scene);
    scene.daemon.write_config(&text).expect("written");
    scene.reload();
    let create = ["cohort", "create", "beta"];
    scene.daemon.cli_ok(&create).expect("created");
    let [one, other] = [scene.clients()[0], scene.clients()[1]];

    let curl = block("console", "$ curl --unix-socket");
    let curl = curl.strip_prefix("$ ").expect("a command");
    assert!(curl.contains(SHOWN), "{curl}");
    let done = run("sh", &here(&scene, curl, &one.to_string())).expect("a shell");
    let told = String::from_utf8_lossy(&done.stdout);
    assert!(
        done.status.success() && told.contains("\"change\":\"added\""),
        "{done:?}"
    );
    let (reference, left_s) = member(&scene, &one.to_string());
    assert!(
        reference == "user 4711" && (1.0..=1_800.0).contains(&left_s),
        "{reference} {left_s}"
    );
    assert_eq!(scene.explained(one), "canary");
    assert_eq!(scene.explained(other), "stable");

    let python = here(&scene, &block("python", "def on_login"), "none of this");
    let call = format!("{python}\nprint(on_login(4712, \"{other}\"))\n");
    let Some(done) = run("python3", &call) else {
        return;
    };
    let told = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success() && told.starts_with("20"), "{done:?}");
    let (reference, left_s) = member(&scene, &other.to_string());
    assert!(
        reference == "user 4712" && (1.0..=1_800.0).contains(&left_s),
        "{reference} {left_s}"
    );
    assert_eq!(scene.explained(other), "canary");
    scene.everyone_gets_what_explain_says();

    let delete = ["cohort", "delete", "beta"];
    scene.daemon.cli_ok(&delete).expect("deleted");
    let done = run("python3", &call).expect("as before");
    let told = String::from_utf8_lossy(&done.stderr);
    assert!(
        !done.status.success() && told.contains("RuntimeError: no cohort \"beta\""),
        "{done:?}"
    );
}
