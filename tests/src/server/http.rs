//! Owns the server's half of HTTP/1.1: GET without a body, keep-alive.
//!
//! `/bytes?n=N` answers with the naming line and N bytes behind it, `/slow?ms=N` after N
//! milliseconds, `/status?n=N` with that status, `/reset` with a RST, every other path with the line
//! alone. The name of a connection's server and client
//! is that of its own two ends.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Shared;

/// The longest request head, in bytes.
const HEAD_MAX: usize = 8_192;
/// The longest body that `/bytes` gives, in bytes.
const BODY_MAX: usize = 64 << 20;
/// The longest wait that `/slow` gives, in milliseconds.
const SLOW_MAX_MS: usize = 60_000;

const HEAD_END: &[u8] = b"\r\n\r\n";

/// Answers requests until the client closes or says something that is no GET request.
pub(super) async fn serve(
    mut stream: TcpStream,
    client: SocketAddr,
    shared: &Shared,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let line = shared.line(stream.local_addr()?.ip(), client.ip());
    let mut buffer = Vec::with_capacity(1_024);
    loop {
        while let Some(end) = find(&buffer, HEAD_END) {
            let head: Vec<u8> = buffer.drain(..end + HEAD_END.len()).collect();
            let Some(request) = Request::parse(&head) else {
                let refusal = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
                return stream.write_all(refusal.as_bytes()).await;
            };
            tokio::time::sleep(request.wait).await;
            if request.reset {
                return stream.set_zero_linger();
            }
            // Counted first, so that a client that has its answer finds it counted.
            shared.requests_served.fetch_add(1, Ordering::Relaxed);
            answer(&mut stream, &request, &line).await?;
            if request.close {
                return Ok(());
            }
        }
        if buffer.len() > HEAD_MAX || stream.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
    }
}

async fn answer(stream: &mut TcpStream, request: &Request, line: &str) -> io::Result<()> {
    let length = line.len() + request.filler_bytes;
    let mut answer = format!(
        "HTTP/1.1 {} So\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n{line}",
        request.status
    )
    .into_bytes();
    answer.resize(answer.len() + request.filler_bytes, b'x');
    stream.write_all(&answer).await
}

/// What a client asks for.
struct Request {
    filler_bytes: usize,
    wait: Duration,
    status: usize,
    /// The connection is reset instead.
    reset: bool,
    close: bool,
}

impl Request {
    fn parse(head: &[u8]) -> Option<Self> {
        let head = std::str::from_utf8(head).ok()?;
        let mut lines = head.lines();
        let path = lines.next()?.strip_prefix("GET ")?;
        let path = path.strip_suffix(" HTTP/1.1")?;
        let number = |prefix| -> Option<usize> {
            let text: Option<&str> = path.strip_prefix(prefix);
            text.map_or(Some(0), |text| text.parse().ok())
        };
        let wait_ms = number("/slow?ms=")?.min(SLOW_MAX_MS);
        Some(Self {
            filler_bytes: number("/bytes?n=")?.min(BODY_MAX),
            wait: Duration::from_millis(wait_ms as u64),
            status: match number("/status?n=")? {
                0 => 200,
                status => status,
            },
            reset: path == "/reset",
            close: lines.any(|line| line.eq_ignore_ascii_case("connection: close")),
        })
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}
