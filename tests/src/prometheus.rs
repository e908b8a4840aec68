//! Owns a real Prometheus that scrapes what is under test, and promtool.
//!
//! Invariant: it runs in a namespace of the test's, keeps its data in a directory that goes with it,
//! and is gone when the value is dropped.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::netns::Netns;

/// How long an answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// How long it may take until a query gives what is waited for.
const SCRAPE_LIMIT: Duration = Duration::from_secs(60);
/// How often a wait looks again.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// A Prometheus that scrapes one target once a second.
#[derive(Debug)]
pub struct Prometheus {
    netns: Netns,
    address: SocketAddr,
    child: Child,
    _directory: TempDir,
}

impl Prometheus {
    /// Starts one in `netns`, with the rules in `rules`.
    ///
    /// # Errors
    ///
    /// When there is none to start; `cargo xtask setup` installs it.
    pub fn start(netns: &Netns, target: SocketAddr, rules: &Path) -> Result<Self> {
        let directory = tempfile::tempdir().context("cannot make a temporary directory")?;
        let address = SocketAddr::from(([127, 0, 0, 1], 9490));
        let config = directory.path().join("prometheus.yml");
        let text = format!(
            "global:\n  scrape_interval: 1s\n  evaluation_interval: 1s\nrule_files: [\"{}\"]\n\
             scrape_configs:\n- job_name: splitter\n  static_configs:\n  - targets: [\"{target}\"]\n",
            rules.display()
        );
        fs::write(&config, text).context("cannot write the configuration")?;
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                directory.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = netns
            .spawn(command)
            .context("`cargo xtask setup` installs Prometheus")?;
        Ok(Self {
            netns: netns.clone(),
            address,
            child,
            _directory: directory,
        })
    }

    /// The one figure that a query gives, once it is as wanted.
    ///
    /// # Errors
    ///
    /// When it does not come to that within a minute, with what was said last.
    pub fn until(&self, query: &str, wanted: impl Fn(f64) -> bool) -> Result<f64> {
        let begin = Instant::now();
        loop {
            let told = self.query(query);
            if let Ok(Some(value)) = told
                && wanted(value)
            {
                return Ok(value);
            }
            ensure!(begin.elapsed() < SCRAPE_LIMIT, "{query}: {told:?}");
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    /// The one figure that a query gives now; `None` where there is not exactly one.
    ///
    /// # Errors
    ///
    /// When nobody answers, or with an error.
    pub fn query(&self, query: &str) -> Result<Option<f64>> {
        let mut path = "/api/v1/query?query=".to_owned();
        for byte in query.bytes() {
            path += &format!("%{byte:02X}");
        }
        let (_, body) = get(&self.netns, self.address, &path, "application/json")?;
        let answer: Value = serde_json::from_str(&body).with_context(|| body.clone())?;
        let results = answer["data"]["result"].as_array();
        let results = results.with_context(|| format!("no result: {body}"))?;
        let [only] = &results[..] else {
            return Ok(None);
        };
        let value = only["value"][1].as_str().context("no value")?;
        Ok(Some(value.parse()?))
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // Gone already is as good.
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Asks over TCP in a namespace: the head and the body of an answer.
///
/// # Errors
///
/// When nobody answers, or not with 200.
pub fn get(netns: &Netns, at: SocketAddr, path: &str, accept: &str) -> Result<(String, String)> {
    let ask = || -> Result<(String, String)> {
        let mut stream = TcpStream::connect(at).with_context(|| format!("nobody at {at}"))?;
        stream.set_read_timeout(Some(ANSWER_LIMIT))?;
        // HTTP/1.0 answers come in one piece.
        let request = format!("GET {path} HTTP/1.0\r\nHost: {at}\r\nAccept: {accept}\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
        let status = head.lines().next().unwrap_or_default();
        ensure!(status.contains(" 200 "), "GET {path}: {status}: {body}");
        Ok((head.to_owned(), body.to_owned()))
    };
    netns.run(ask)
}

/// Runs promtool with something on its standard input, and returns what it prints.
///
/// # Errors
///
/// With what it complains of; `cargo xtask setup` installs it.
pub fn promtool(arguments: &[&str], input: &str) -> Result<String> {
    let mut child = Command::new("promtool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("`cargo xtask setup` installs promtool")?;
    let mut stdin = child.stdin.take().context("no standard input")?;
    std::thread::scope(|scope| {
        // It may end without reading; then what it says is the news.
        scope.spawn(move || stdin.write_all(input.as_bytes()));
        let output = child.wait_with_output()?;
        let told = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        if output.status.success() {
            Ok(told)
        } else {
            Err(anyhow!("promtool {}: {told}", arguments.join(" ")))
        }
    })
}
