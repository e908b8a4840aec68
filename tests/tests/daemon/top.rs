//! `top` on a real terminal: it draws, times that rose are seen to fall, and the terminal is left as it
//! was.

use std::{
    io::{Read, Write as _},
    net::IpAddr,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use splitter_tests::{client::Client, topology::vip_for};

use crate::{
    fares::LIMIT,
    scene::{PORT, Scene, scene},
};

/// What ends it.
#[derive(Clone, Copy, Debug)]
enum End {
    Key,
    Terminate,
}

/// A terminal in which `top` runs.
struct Terminal {
    child: Child,
    stdin: ChildStdin,
    told: mpsc::Receiver<Vec<u8>>,
    reader: JoinHandle<()>,
    /// All that came out.
    out: Vec<u8>,
    /// What stands on it.
    screen: vt100::Parser,
}

impl Terminal {
    fn open(scene: &Scene, args: &str) -> Self {
        let (rows, columns) = (24, 80);
        let binary = std::env::var("SPLITTER_BIN").expect("the binary's path");
        let socket = scene.daemon.socket_path();
        let inside = format!(
            "stty rows {rows} cols {columns}; \
             sh -c 'echo pid=$$.; exec {binary} --socket {} top shop {args}'; \
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
        let stdin = child.stdin.take().expect("a pipe");
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
        Self {
            child,
            stdin,
            told,
            reader,
            out: Vec::new(),
            screen: vt100::Parser::new(rows, columns, 0),
        }
    }

    /// Takes in what comes within a moment; whether more may come.
    fn look(&mut self) -> bool {
        match self.told.recv_timeout(Duration::from_millis(100)) {
            Ok(bytes) => {
                self.screen.process(&bytes);
                self.out.extend(bytes);
                true
            }
            Err(mpsc::RecvTimeoutError::Timeout) => true,
            Err(mpsc::RecvTimeoutError::Disconnected) => false,
        }
    }

    fn shows(&self) -> String {
        self.screen.screen().contents()
    }

    /// Waits until what stands on it is as wanted, doing something meanwhile.
    fn until(&mut self, wanted: impl Fn(&str) -> bool, mut meanwhile: impl FnMut()) {
        let begin = Instant::now();
        while !wanted(&self.shows()) {
            assert!(self.look(), "it ended:\n{}", self.shows());
            assert!(begin.elapsed() < LIMIT, "{}", self.shows());
            meanwhile();
        }
    }

    fn press(&mut self, key: &str) {
        self.stdin.write_all(key.as_bytes()).expect("pressed");
    }

    /// All that came out, once what runs in it has ended.
    fn ended(mut self) -> String {
        let begin = Instant::now();
        while self.look() {
            assert!(begin.elapsed() < LIMIT, "{}", self.shows());
        }
        self.child.wait().expect("ended");
        self.reader.join().expect("read");
        String::from_utf8_lossy(&self.out).into_owned()
    }
}

/// All that comes out of a terminal in which `top` runs until it has drawn and is ended.
fn on_a_terminal(scene: &Scene, end: End) -> String {
    let mut terminal = Terminal::open(scene, "");
    // The panel is drawn below everything else.
    terminal.until(
        |shown| shown.contains("handshake") && shown.contains("quit"),
        || {},
    );
    match end {
        End::Key => terminal.press("q"),
        End::Terminate => {
            let text = String::from_utf8_lossy(&terminal.out);
            let pid = text.split("pid=").nth(1).expect("a number");
            let pid = pid.split('.').next().and_then(|pid| pid.parse().ok());
            let pid = pid.and_then(Pid::from_raw).expect("a process");
            kill_process(pid, Signal::TERM).expect("told");
        }
    }
    terminal.ended()
}

/// The time that half of the baseline's turns do not exceed, as it stands on the screen; `None` where
/// none was measured.
fn turn_p50_ms(shown: &str) -> Option<f64> {
    let (_, after) = shown.split_once("turn p50/90/99 ")?;
    let told = after.split_whitespace().next()?;
    let units = [("us", 1e-3), ("ms", 1.0), ("s", 1e3)];
    let read = |(unit, ms): (&str, f64)| Some(told.strip_suffix(unit)?.parse::<f64>().ok()? * ms);
    units.into_iter().find_map(read)
}

/// How long a slow answer waits, in milliseconds, and what none of the others comes near to.
const SLOW_MS: u32 = 800;
const BETWEEN_MS: f64 = 400.0;

#[test]
fn times_that_rose_are_seen_to_fall_again() {
    let scene = scene(false, "20%");
    let is_stable = |source: &IpAddr| scene.explained(*source) == "stable";
    let source = scene.clients().into_iter().find(is_stable);
    let source = source.expect("a client of the baseline");
    let ask = |path: &str| {
        let client = Client::new(&scene.topology.client).expect("a client");
        let asked = client.get_path(source, vip_for(source, PORT), path);
        asked.expect("answered");
    };
    let mut terminal = Terminal::open(&scene, "--window 4s");
    terminal.until(|shown| shown.contains("of the last"), || {});
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..8).for_each(|_| ask(&format!("/slow?ms={SLOW_MS}"))));
        }
    });
    let is_slow = |shown: &str| turn_p50_ms(shown).is_some_and(|ms| ms > BETWEEN_MS);
    let is_quick = |shown: &str| turn_p50_ms(shown).is_some_and(|ms| ms < BETWEEN_MS);
    terminal.until(is_slow, || {});
    // Fewer than there were slow ones, so that half of all stay slow.
    let mut asked = 0;
    terminal.until(is_quick, || {
        if asked < 60 {
            ask("/");
            asked += 1;
            std::thread::sleep(Duration::from_millis(200));
        }
    });
    assert!(
        terminal.shows().contains("times of the last 4s"),
        "{}",
        terminal.shows()
    );
    terminal.press("w");
    terminal.until(
        |shown| shown.contains("of all since it began") && is_slow(shown),
        || {},
    );
    terminal.press("w");
    terminal.until(|shown| shown.contains("of the last"), || {});
    terminal.press("q");
    let out = terminal.ended();
    assert!(out.contains("code=0."), "{out}");
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
