//! Owns `splitter cohort ...`: its grammar, the way of an import, and what is printed.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use axum::body::Bytes;
use clap::{Args, Subcommand};
use futures_util::{Stream, stream};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::args::OutputArgs;
use super::text::{duration, grouped, table};
use super::{answer, ask, clients};
use crate::api::Client;
use crate::api::types::{
    BadLine, CohortCreate, CohortDelete, CohortDeleted, CohortImport, CohortImported, CohortLine,
    CohortList, CohortMoves, MemberAdd, MemberChange, MemberRemove, Membership, Memberships,
};

/// After so many lines an import says how far it is.
const TOLD_EVERY: u64 = 100_000;
/// What is read at once, bytes.
const PART: usize = 64 * 1024;

/// `splitter cohort ...`
#[derive(Clone, Debug, Subcommand)]
pub enum CohortCommand {
    /// Make a cohort, which segments of the file may ask for: `match = { cohort = "beta" }`
    Create {
        /// Its name
        cohort: String,
        /// Why, for whoever reads the events later
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        /// Only say what would change
        #[arg(long)]
        dry_run: bool,
        /// How to print it
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Delete a cohort and its members
    Delete {
        /// The cohort
        cohort: String,
        /// Why, for whoever reads the events later
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        /// Only say what would change
        #[arg(long)]
        dry_run: bool,
        /// How to print it
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Put an address into a cohort, or give a member another end and reference
    Add {
        /// The cohort
        cohort: String,
        /// The address; prefixes belong in segments
        address: String,
        /// How long it stays: 30m, 12h, 7days; for ever without
        #[arg(long, value_name = "TIME")]
        ttl: Option<String>,
        /// Whatever the application calls it by: a user's id, say
        #[arg(long = "ref", value_name = "TEXT")]
        reference: Option<String>,
        /// Only say what would change
        #[arg(long)]
        dry_run: bool,
        /// How to print it
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Take an address out of a cohort
    Remove {
        /// The cohort
        cohort: String,
        /// The address
        address: String,
        /// Only say what would change
        #[arg(long)]
        dry_run: bool,
        /// How to print it
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Put the addresses of a file into a cohort: all of them, or none when a line is bad
    ///
    /// The file is CSV, a member a line: ADDRESS[,TTL[,REFERENCE]]. Empty lines, lines that begin with
    /// `#` and a first line that begins with `address` say nothing. Who is in the cohort gets the new
    /// end and reference; others stay.
    Import(ImportArgs),
    /// List the cohorts, how many members they have, and the segments that ask for them
    List {
        /// How to print it
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Say which cohorts an address is in, until when, and what it is called by
    Test {
        /// The address
        address: String,
        /// How to print it
        #[command(flatten)]
        output: OutputArgs,
    },
}

/// What `cohort import` takes.
#[derive(Clone, Debug, Args)]
pub struct ImportArgs {
    /// The cohort
    cohort: String,
    /// The file; standard input without it, and with `-`
    file: Option<PathBuf>,
    /// How long those stay whose lines do not say: 30m, 12h, 7days; for ever without
    #[arg(long, value_name = "TIME")]
    ttl: Option<String>,
    /// Leave bad lines out; without it one of them refuses all
    #[arg(long)]
    skip_bad: bool,
    /// Why, for whoever reads the events later
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Only say what would change
    #[arg(long)]
    dry_run: bool,
    /// How to print it
    #[command(flatten)]
    output: OutputArgs,
}

/// The answer to the command.
pub(super) fn run(socket: &Path, command: CohortCommand) -> anyhow::Result<String> {
    ask(async {
        let daemon = Client::new(socket);
        match command {
            CohortCommand::Create {
                cohort,
                reason,
                dry_run,
                output,
            } => {
                let wanted = CohortCreate {
                    name: cohort,
                    reason,
                    dry_run,
                };
                let made = daemon.create_cohort(&wanted).await?;
                answer(output.output, &made, created)
            }
            CohortCommand::Delete {
                cohort,
                reason,
                dry_run,
                output,
            } => {
                let wanted = CohortDelete { reason, dry_run };
                let done = daemon.delete_cohort(&cohort, &wanted).await?;
                answer(output.output, &done, deleted)
            }
            CohortCommand::Add {
                cohort,
                address,
                ttl,
                reference,
                dry_run,
                output,
            } => {
                let wanted = MemberAdd {
                    address,
                    ttl,
                    reference,
                    dry_run,
                };
                let done = daemon.add_member(&cohort, &wanted).await?;
                answer(output.output, &done, change)
            }
            CohortCommand::Remove {
                cohort,
                address,
                dry_run,
                output,
            } => {
                let wanted = MemberRemove { address, dry_run };
                let done = daemon.remove_member(&cohort, &wanted).await?;
                answer(output.output, &done, change)
            }
            CohortCommand::Import(args) => import(&daemon, args).await,
            CohortCommand::List { output } => answer(output.output, &daemon.cohorts().await?, list),
            CohortCommand::Test { address, output } => {
                let told = daemon.memberships(&address).await?;
                answer(output.output, &told, memberships)
            }
        }
    })
}

/// How far an import is.
struct Sent {
    cohort: String,
    lines: u64,
    told: u64,
    failed: Option<io::Error>,
}

impl Sent {
    fn take(&mut self, part: &[u8]) {
        self.lines += part.iter().filter(|byte| **byte == b'\n').count() as u64;
        if self.lines / TOLD_EVERY > self.told {
            self.told = self.lines / TOLD_EVERY;
            self.tell("sent");
        }
    }

    fn tell(&self, what: &str) {
        // With stderr gone there is nobody to tell.
        let _gone = writeln!(
            io::stderr(),
            "{}: {} lines {what}",
            self.cohort,
            grouped(self.lines)
        );
    }
}

async fn import(daemon: &Client, args: ImportArgs) -> anyhow::Result<String> {
    let wanted = CohortImport {
        ttl: args.ttl,
        skip_bad: args.skip_bad,
        reason: args.reason,
        dry_run: args.dry_run,
    };
    let sent = Arc::new(Mutex::new(Sent {
        cohort: args.cohort.clone(),
        lines: 0,
        told: 0,
        failed: None,
    }));
    let path = args.file.filter(|path| path != Path::new("-"));
    let file = match &path {
        // By another file descriptor of it, which can be read like a file's whatever it is.
        None => io::stdin().as_fd().try_clone_to_owned().map(File::from),
        Some(path) => File::open(path),
    };
    let name = path.map_or_else(|| "standard input".to_owned(), |p| p.display().to_string());
    let file = file.with_context(|| format!("cannot open {name}"))?;
    let parts = parts(tokio::fs::File::from_std(file), Arc::clone(&sent));
    let done = daemon.import_members(&args.cohort, &wanted, parts).await;
    let failed = sent
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .failed
        .take();
    if let Some(error) = failed {
        return Err(error).with_context(|| format!("cannot read {name}; nothing was changed"));
    }
    answer(args.output.output, &done?, imported)
}

/// What is read, part by part, and told while it goes.
fn parts(
    from: impl AsyncRead + Unpin + Send + 'static,
    sent: Arc<Mutex<Sent>>,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    stream::try_unfold((from, sent), async |(mut from, sent)| {
        let mut part = Vec::with_capacity(PART);
        let read = from.read_buf(&mut part).await;
        {
            let mut sent = sent.lock().unwrap_or_else(PoisonError::into_inner);
            match read {
                Ok(0) => {
                    if sent.told > 0 {
                        sent.tell("sent, which are entered now");
                    }
                    return Ok(None);
                }
                Ok(_) => sent.take(&part),
                Err(error) => {
                    let kind = error.kind();
                    sent.failed = Some(error);
                    return Err(kind.into());
                }
            }
        }
        Ok(Some((Bytes::from(part), (from, sent))))
    })
}

/// What stands before what a dry run says, and how it says it: `was`, or `would be`.
const fn way(dry_run: bool) -> (&'static str, &'static str) {
    match dry_run {
        true => ("dry run, nothing was changed: ", "would be "),
        false => ("", ""),
    }
}

/// What a dry run says of clients, for each service that asks for the cohort.
fn foreseen(dry_run: bool, seen: &[CohortMoves]) -> String {
    if dry_run && seen.is_empty() {
        return "  no segment asks for it: nobody would move\n".to_owned();
    }
    let service =
        |of: &CohortMoves| format!("service {}\n{}", of.service, clients::moves(&of.seen));
    seen.iter().map(service).collect()
}

fn created(made: &CohortLine) -> String {
    let CohortLine { name, asked_by, .. } = made;
    if !made.exists {
        let (dry, would) = way(true);
        return format!("{dry}cohort {name} {would}created; nobody would be in it, nor move\n");
    }
    if asked_by.is_empty() {
        format!(
            "cohort {name} created; no segment asks for it yet: `match = {{ cohort = \"{name}\" }}`\n"
        )
    } else {
        format!(
            "cohort {name} created; segment {} asks for it\n",
            asked_by.join(", ")
        )
    }
}

fn deleted(done: &CohortDeleted) -> String {
    let members = grouped(done.members);
    let (dry, would) = way(done.dry_run);
    let cohort = &done.cohort;
    let seen = foreseen(done.dry_run, &done.seen);
    format!("{dry}cohort {cohort} {would}deleted, with {members} members\n{seen}")
}

/// ` for another 29m 59s, until 2026-01-02T03:04:05Z`.
pub(super) fn end(left_s: Option<f64>, until: Option<&str>) -> String {
    match (left_s, until) {
        (Some(left_s), Some(until)) => {
            format!(
                "for another {}, until {until}",
                duration(left_s.round() as u64)
            )
        }
        _ => "for ever".to_owned(),
    }
}

fn change(done: &MemberChange) -> String {
    let MemberChange {
        cohort,
        address,
        change,
        ..
    } = done;
    let (dry, would) = way(done.dry_run);
    let seen = foreseen(done.dry_run, &done.seen);
    if change == "removed" {
        return format!("{dry}{address} {would}removed from cohort {cohort}\n{seen}");
    }
    let end = end(done.left_s, done.until.as_deref());
    let verb = if change == "added" {
        "added to"
    } else {
        "renewed in"
    };
    format!("{dry}{address} {would}{verb} cohort {cohort} {end}\n{seen}")
}

fn imported(done: &CohortImported) -> String {
    let (dry, would) = way(done.dry_run);
    let mut out = format!(
        "{dry}cohort {}: {} members {would}added, {} renewed\n",
        done.cohort,
        grouped(done.added),
        grouped(done.renewed)
    );
    if done.left_out > 0 {
        out += &format!("  {} bad lines left out:\n", grouped(done.left_out));
        for BadLine { line, error } in &done.bad {
            out += &format!("  line {line}: {error}\n");
        }
        let more = done.left_out - done.bad.len() as u64;
        if more > 0 {
            out += &format!("  and {} more\n", grouped(more));
        }
    }
    out + &foreseen(done.dry_run, &done.seen)
}

fn list(all: &CohortList) -> String {
    if all.cohorts.is_empty() {
        return "no cohorts; `splitter cohort create NAME` makes one\n".to_owned();
    }
    let rows = all.cohorts.iter().map(|line| {
        let members = match line.exists {
            true => grouped(line.members),
            false => "does not exist".to_owned(),
        };
        let asked_by = match line.asked_by.is_empty() {
            true => "-".to_owned(),
            false => line.asked_by.join(", "),
        };
        vec![line.name.clone(), members, asked_by]
    });
    let mut out = table(&["COHORT", "MEMBERS", "ASKED BY"], &[0, 2], rows.collect());
    out += &format!(
        "  {} addresses, with room for {}\n",
        grouped(all.addresses),
        grouped(u64::from(all.room))
    );
    out
}

fn memberships(told: &Memberships) -> String {
    if told.cohorts.is_empty() {
        return format!("{} is in no cohort\n", told.address);
    }
    let line = |of: &Membership| {
        let end = end(of.left_s, of.until.as_deref());
        let reference = of.reference.as_ref();
        let reference = reference.map_or_else(String::new, |text| format!(" ({text})"));
        format!("  in cohort {} {end}{reference}\n", of.cohort)
    };
    let lines: String = told.cohorts.iter().map(line).collect();
    format!("{}\n{lines}", told.address)
}
