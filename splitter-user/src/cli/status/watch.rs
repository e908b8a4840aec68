//! Owns `status --watch`: one status after another, until somebody has seen enough.
//!
//! Invariant: the first status that fails ends it, like a status alone; later ones are told and
//! waited out, since a daemon that is replaced is what one watches for.

use std::io::{self, Write};
use std::pin::pin;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use tokio::time::{MissedTickBehavior, interval};

use crate::cli::complaint;
use crate::cli::text::seconds;

/// What it is shown on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Onto {
    /// A terminal, drawn over.
    Screen,
    /// A file or a pipe: each status below a line with the time.
    Pages,
    /// Likewise, each status being a line of its own.
    Lines,
}

/// Shows what `look` sees, at once and every so often, until `stop` is done or nobody reads it any
/// more.
pub(super) async fn watch(
    look: impl AsyncFn() -> anyhow::Result<String>,
    onto: Onto,
    every: Duration,
    out: &mut impl Write,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let mut stop = pin!(stop);
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut seen_one = false;
    loop {
        let next = async {
            ticks.tick().await;
            look().await
        };
        let seen = tokio::select! {
            biased;
            () = &mut stop => return Ok(()),
            seen = next => seen,
        };
        let shown = match seen {
            Err(error) if !seen_one => return Err(error),
            Err(error) if onto != Onto::Screen => {
                // With stderr gone there is nobody left to tell.
                let _ = io::stderr().write_all(complaint(&error).as_bytes());
                continue;
            }
            Err(error) => show(&complaint(&error), onto, every, out),
            Ok(text) => show(&text, onto, every, out),
        };
        match shown {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            shown => shown.context("cannot write the status")?,
        }
        seen_one = true;
    }
}

fn show(text: &str, onto: Onto, every: Duration, out: &mut impl Write) -> io::Result<()> {
    let now = humantime::format_rfc3339_seconds(SystemTime::now());
    let page = match onto {
        Onto::Lines => text.to_owned(),
        Onto::Pages => format!("--- {now}\n{text}"),
        Onto::Screen => {
            let rows = rustix::termios::tcgetwinsize(rustix::stdio::stdout());
            let rows = rows.map_or(0, |size| usize::from(size.ws_row));
            let every = seconds(every.as_secs_f64());
            screen(
                &format!("{now}, every {every}; Ctrl-C ends it\n\n{text}"),
                rows,
            )
        }
    };
    out.write_all(page.as_bytes())?;
    out.flush()
}

/// A text drawn over what stands on a terminal of so many rows; 0 for one whose size is not known.
/// Lines that are too long are cut by the terminal, and what is too much below is left out: what is
/// wrong stands above.
fn screen(text: &str, rows: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let fits = rows == 0 || lines.len() < rows;
    let shown = if fits { lines.len() } else { rows.max(3) - 2 };
    // Home; do not wrap.
    let mut out = "\x1b[H\x1b[?7l".to_owned();
    for line in &lines[..shown] {
        // Clear to the end of the line.
        out += &format!("{line}\x1b[K\n");
    }
    if !fits {
        out += &format!("... {} more lines\x1b[K\n", lines.len() - shown);
    }
    // Clear what is below; wrap again.
    out + "\x1b[J\x1b[?7h"
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use tokio::sync::Notify;

    use super::*;

    /// Watches answers that come in this order, until the last one is shown.
    async fn watched(answers: &[Result<&str, &str>], onto: Onto) -> (String, Result<(), String>) {
        let left = RefCell::new(answers.iter());
        let end = Notify::new();
        let look = async || {
            let next = left.borrow_mut().next();
            let Some(answer) = next else {
                end.notify_one();
                return std::future::pending().await;
            };
            answer
                .map(str::to_owned)
                .map_err(|error| anyhow::anyhow!(error.to_owned()))
        };
        let mut out = Vec::new();
        let every = Duration::from_millis(1);
        let done = watch(look, onto, every, &mut out, end.notified()).await;
        let out = String::from_utf8(out).expect("text");
        (out, done.map_err(|error| error.to_string()))
    }

    #[tokio::test]
    async fn pages_follow_each_other_over_a_daemon_that_is_gone_for_a_while() {
        let answers = [Ok("one\n"), Err("gone"), Ok("two\n")];
        let (out, done) = watched(&answers, Onto::Pages).await;
        assert_eq!(done, Ok(()));
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!(
            (lines.len(), lines[1], lines[3]),
            (4, "one", "two"),
            "{out}"
        );
        for line in [lines[0], lines[2]] {
            let time = line.strip_prefix("--- ").expect("a separator");
            assert!(humantime::parse_rfc3339(time).is_ok(), "{line}");
        }
        let (out, done) = watched(&answers, Onto::Lines).await;
        assert_eq!((out.as_str(), done), ("one\ntwo\n", Ok(())));
    }

    #[tokio::test]
    async fn the_first_failure_ends_it_and_a_later_one_is_drawn() {
        let (out, done) = watched(&[Err("no daemon"), Ok("one\n")], Onto::Pages).await;
        assert_eq!((out.as_str(), done), ("", Err("no daemon".to_owned())));
        let (out, done) = watched(&[Ok("one\n"), Err("gone")], Onto::Screen).await;
        assert_eq!(done, Ok(()));
        let pictures: Vec<&str> = out.split("\x1b[H").skip(1).collect();
        assert_eq!(pictures.len(), 2, "{out:?}");
        assert!(
            pictures[0].contains("every 1ms; Ctrl-C ends it\x1b[K\n"),
            "{out:?}"
        );
        assert!(pictures[0].contains("\none\x1b[K\n"), "{out:?}");
        assert!(pictures[1].contains("\nsplitter: gone\x1b[K\n"), "{out:?}");
    }

    /// Nobody reads it.
    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_reader_that_goes_away_ends_it_well() {
        let look = async || Ok("one\n".to_owned());
        let never = std::future::pending();
        let every = Duration::from_millis(1);
        let done = watch(look, Onto::Pages, every, &mut Closed, never).await;
        assert!(done.is_ok(), "{done:?}");
    }

    #[test]
    fn a_picture_is_no_higher_than_its_terminal() {
        let text = "a\nb\nc\nd\n";
        let lines = |rows| screen(text, rows).matches('\n').count();
        assert_eq!((lines(0), lines(5)), (4, 4), "all of it");
        let cut = screen(text, 4);
        assert!(
            cut.contains("b\x1b[K\n... 2 more lines\x1b[K\n\x1b[J"),
            "{cut:?}"
        );
        assert_eq!(
            (lines(4), lines(3), lines(1)),
            (3, 2, 2),
            "room for the cursor's row"
        );
    }
}
