//! Owns what the servers of a version do, by the number of the request that the version gets.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::demo::scene::{CANARY, STABLE};

/// A request.
pub(super) const ASK: &[u8] = b"GET / HTTP/1.1\r\nHost: splitter.test\r\n\r\n";
/// What a request's and an answer's head end with; answers have no body.
pub(super) const END: &[u8] = b"\r\n\r\n";

/// What a server does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// 200.
    Answer,
    /// 500.
    Fail,
    /// A RST instead of an answer.
    Reset,
}

/// What all servers of a version do with its requests.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    /// They wait so long before whatever they do.
    pub(super) delay: Duration,
    /// Every so many-th request is answered 500.
    pub(super) fail_every: u64,
    /// Every so many-th one is reset; one that is both is reset.
    pub(super) reset_every: u64,
    /// Requests so far, of all servers of the version.
    requests: Arc<AtomicU64>,
}

impl Schedule {
    /// Those of both versions: the canary is slower, fails and resets more.
    pub(super) fn of_versions() -> BTreeMap<String, Self> {
        let schedule = |delay_ms, fail_every, reset_every| Self {
            delay: Duration::from_millis(delay_ms),
            fail_every,
            reset_every,
            requests: Arc::default(),
        };
        [
            (STABLE.to_owned(), schedule(20, 50, 100)),
            (CANARY.to_owned(), schedule(60, 7, 25)),
        ]
        .into()
    }

    /// What is done with a request; the first has number 1.
    fn act(&self, request: u64) -> Act {
        if request.is_multiple_of(self.reset_every) {
            Act::Reset
        } else if request.is_multiple_of(self.fail_every) {
            Act::Fail
        } else {
            Act::Answer
        }
    }

    /// How many of so many requests this is done with.
    pub(super) fn how_many(&self, act: Act, requests: u64) -> u64 {
        (1..=requests)
            .filter(|request| self.act(*request) == act)
            .count() as u64
    }
}

/// Serves a connection by the schedule of its version.
pub(super) async fn serve(schedule: Option<Schedule>, mut stream: TcpStream) -> io::Result<()> {
    let Some(schedule) = schedule else {
        return Ok(());
    };
    let mut head = Vec::new();
    loop {
        while !head.ends_with(END) {
            if stream.read_buf(&mut head).await? == 0 {
                return Ok(());
            }
        }
        head.clear();
        let request = schedule.requests.fetch_add(1, Ordering::Relaxed) + 1;
        tokio::time::sleep(schedule.delay).await;
        let status = match schedule.act(request) {
            Act::Answer => "200 OK",
            Act::Fail => "500 Internal Server Error",
            Act::Reset => return stream.set_zero_linger(),
        };
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
        stream.write_all(answer.as_bytes()).await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_is_one_of_the_three() {
        for schedule in Schedule::of_versions().values() {
            let of = |act| schedule.how_many(act, 1_000);
            assert_eq!(of(Act::Answer) + of(Act::Fail) + of(Act::Reset), 1_000);
            assert_eq!(of(Act::Reset), 1_000 / schedule.reset_every);
            assert!(of(Act::Fail) > 0);
        }
    }
}
