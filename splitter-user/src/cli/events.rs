//! Owns `events`: what changed on this host, as a list or line after line.
//!
//! Invariant: while it follows, a daemon that is gone for a while is waited for, and nothing that it
//! still knows is shown twice or left out.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use clap::Args;

use super::args::{Output, OutputArgs};
use super::{answer, ask, interrupted, text};
use crate::api::Client;
use crate::events::{EventLine, EventList, EventQuery};

/// How many events are shown unless told.
const LIMIT: usize = 100;
/// From one try to the next while there is no daemon.
const AGAIN: Duration = Duration::from_millis(500);

/// What `events` takes.
#[derive(Clone, Debug, Args)]
pub struct EventsArgs {
    /// Go on with what happens from now on, until Ctrl-C
    ///
    /// Each event is one line, in JSON too. A daemon that is gone for a while is waited for.
    #[arg(short, long)]
    pub follow: bool,
    /// Only what this service has to do with; what is the whole host's is left out
    #[arg(long, value_name = "SERVICE")]
    pub service: Option<String>,
    /// Only what is not older: 30m, 2h, 1d, or a time like 2026-01-02T03:04:05Z
    #[arg(long, value_name = "TIME", value_parser = since)]
    pub since: Option<SystemTime>,
    /// Only the newest so many of what was; without it 100, or all with --since
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// How to print it
    #[command(flatten)]
    pub output: OutputArgs,
}

fn since(text: &str) -> Result<SystemTime, &'static str> {
    let help = "write how long ago, like 30m, 2h or 1d, or a time like 2026-01-02T03:04:05Z";
    match humantime::parse_duration(text) {
        Ok(ago) => SystemTime::now().checked_sub(ago).ok_or(help),
        Err(_) => humantime::parse_rfc3339(text).map_err(|_| help),
    }
}

/// The answer to the command; empty when it was shown already.
pub(super) fn run(socket: PathBuf, args: EventsArgs) -> anyhow::Result<String> {
    let client = Client::new(socket);
    let since = args.since;
    let query = EventQuery {
        service: args.service,
        since: since.map(|since| humantime::format_rfc3339_millis(since).to_string()),
        after: None,
        limit: args.limit.or_else(|| since.is_none().then_some(LIMIT)),
    };
    let output = args.output.output;
    if args.follow {
        return ask(async {
            let mut out = io::stdout();
            tokio::select! {
                () = interrupted() => Ok(()),
                done = follow(&client, query, output, &mut out) => done,
            }
            .map(|()| String::new())
        });
    }
    ask(async {
        let list = client.events(&query).await?;
        answer(output, &list, table)
    })
}

fn table(list: &EventList) -> String {
    let mut out = String::new();
    if list.left_out > 0 {
        let older = text::count(list.left_out, "older event");
        out += &format!("({older}: --limit or --since shows them)\n");
    }
    for event in &list.events {
        out += &line(&event.at, &event.text);
    }
    if out.is_empty() {
        out += "nothing has changed that is still known\n";
    }
    out
}

fn line(at: &str, text: &str) -> String {
    format!("{at}  {text}\n")
}

fn shown(line: &EventLine, output: Output) -> anyhow::Result<String> {
    Ok(match (output, line) {
        (Output::Json, line) => serde_json::to_string(line)? + "\n",
        (Output::Table, EventLine::Event(event)) => self::line(&event.at, &event.text),
        (Output::Table, EventLine::Missed { missed }) => {
            let now = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
            let missed = text::count(usize::try_from(*missed).unwrap_or(usize::MAX), "event");
            self::line(&now, &format!("({missed} missed: they came too fast)"))
        }
    })
}

/// Shows lines until nobody reads them any more. The first try that fails ends it; later ones are
/// made again, since a daemon that is replaced is what one follows for.
async fn follow(
    client: &Client,
    mut query: EventQuery,
    output: Output,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let mut first = true;
    loop {
        let mut newest = query.after;
        let mut written = Ok(());
        let done = client
            .follow_events(&query, |line| {
                if let EventLine::Event(event) = &line {
                    newest = Some(event.seq);
                }
                written = write(&line, output, out);
                match written {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(_) => ControlFlow::Break(()),
                }
            })
            .await;
        match written {
            Err(error) if is_closed(&error) => return Ok(()),
            written => written.context("cannot write the events")?,
        }
        match done {
            Err(error) if first => return Err(error.into()),
            // Gone, or going.
            Ok(()) | Err(_) => {}
        }
        first = false;
        if newest.is_some() {
            // What was asked of the past is answered.
            query.after = newest;
            query.limit = None;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

fn write(line: &EventLine, output: Output, out: &mut impl Write) -> io::Result<()> {
    let text = shown(line, output).map_err(io::Error::other)?;
    out.write_all(text.as_bytes())?;
    out.flush()
}

fn is_closed(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
}
