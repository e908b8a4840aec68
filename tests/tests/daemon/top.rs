//! `top` on a real terminal: it draws, and leaves the terminal as it was.

use std::{
    io::{Read, Write as _},
    process::{Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    fares::LIMIT,
    scene::{Scene, scene},
};

/// What ends it.
#[derive(Clone, Copy, Debug)]
enum End {
    Key,
    Terminate,
}

/// All that comes out of a terminal in which `top` runs until it has drawn and is ended.
fn on_a_terminal(scene: &Scene, end: End) -> String {
    let binary = std::env::var("SPLITTER_BIN").expect("the binary's path");
    let socket = scene.daemon.socket_path();
    let inside = format!(
        "stty rows 24 cols 80; sh -c 'echo pid=$$.; exec {binary} --socket {} top shop'; \
         echo code=$?.; stty -a",
        socket.display()
    );
    let mut command = Command::new("script");
    command
        .args(["-qfc", &inside, "/dev/null"])
        .env("TERM", "xterm-256color")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = scene.topology.lb.spawn(command).expect("a terminal");
    let mut stdin = child.stdin.take().expect("a pipe");
    let mut stdout = child.stdout.take().expect("a pipe");
    let (tell, told) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut buffer = [0; 4_096];
        while let Ok(length @ 1..) = stdout.read(&mut buffer) {
            if tell.send(buffer[..length].to_vec()).is_err() {
                return;
            }
        }
    });
    let (begin, mut out, mut ended) = (Instant::now(), Vec::new(), false);
    loop {
        match told.recv_timeout(Duration::from_millis(100)) {
            Ok(bytes) => out.extend(bytes),
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => {}
        }
        let text = String::from_utf8_lossy(&out);
        assert!(begin.elapsed() < LIMIT, "{end:?}: {text}");
        // The panel is drawn below everything else.
        if ended || !text.contains("handshake") || !text.contains("quit") {
            continue;
        }
        ended = true;
        match end {
            End::Key => stdin.write_all(b"q").expect("pressed"),
            End::Terminate => {
                let pid = text.split("pid=").nth(1).expect("a number");
                let pid = pid.split('.').next().and_then(|pid| pid.parse().ok());
                let pid = pid.and_then(Pid::from_raw).expect("a process");
                kill_process(pid, Signal::TERM).expect("told");
            }
        }
    }
    child.wait().expect("ended");
    reader.join().expect("read");
    String::from_utf8_lossy(&out).into_owned()
}

#[test]
fn top_draws_and_gives_the_terminal_back_at_a_key_and_at_a_signal() {
    let scene = scene(false, "20%");
    for end in [End::Key, End::Terminate] {
        let out = on_a_terminal(&scene, end);
        assert!(out.contains("stable"), "{end:?}: {out}");
        let (_, after) = out
            .rsplit_once("\x1b[?1049l")
            .expect("the first screen again");
        assert!(
            out.contains("\x1b[?1049h") && out.contains("\x1b[?25h"),
            "{end:?}: {out}"
        );
        assert!(after.contains("code=0."), "{end:?}: {out}");
        for word in ["icanon", "echo", "isig"] {
            let set = after
                .split_whitespace()
                .any(|each| each.trim_end_matches(';') == word);
            assert!(set, "{end:?}: {word} in {after}");
        }
    }
    // A script gets text.
    let once = scene.daemon.cli_ok(&["top", "--once"]).expect("printed");
    assert!(once.contains("canary") && !once.contains('\x1b'), "{once}");
    let refused = scene.daemon.cli(&["top"]).expect("run");
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("top --once"), "{refused:?}");
}
