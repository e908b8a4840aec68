//! Owns a GET over the daemon's unix socket, for tests that ask hundreds of times.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// How long an answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);

/// Asks for a path and reads the JSON that comes back.
pub(super) fn get(socket: &Path, path: &str) -> Result<serde_json::Value> {
    let mut stream = UnixStream::connect(socket)
        .with_context(|| format!("cannot connect to {}", socket.display()))?;
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    stream.set_write_timeout(Some(ANSWER_LIMIT))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: splitter\r\nConnection: close\r\n\r\n");
    let mut answer = String::new();
    stream
        .write_all(request.as_bytes())
        .and_then(|()| stream.read_to_string(&mut answer))
        .with_context(|| format!("GET {path}: the daemon does not answer"))?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .with_context(|| format!("GET {path}: no HTTP answer: {answer:?}"))?;
    let status = head.lines().next().unwrap_or_default();
    ensure!(
        status.starts_with("HTTP/1.1 200"),
        "GET {path}: {status}: {body}"
    );
    serde_json::from_str(body).with_context(|| format!("GET {path}: no JSON: {body}"))
}
