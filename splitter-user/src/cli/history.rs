//! Owns `splitter history`.

use std::path::Path;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::ask;
use super::text::{self, brief, duration, rate, table};
use crate::api::Client;
use crate::api::types::{Counters, History, HistoryCell, HistoryQuery, HttpTurns, Quantiles};
use crate::model::{HistoryStep, Moment};

/// What `history` takes.
#[derive(Clone, Debug, Args)]
pub struct HistoryArgs {
    /// The service
    service: String,
    /// From when on: how long ago, or a time in UTC, 2026-01-02T03:04:05Z
    #[arg(long, value_name = "TIME", default_value = "10m")]
    since: Moment,
    /// Until when, the same way; now without it
    #[arg(long, value_name = "TIME")]
    until: Option<Moment>,
    /// Only this version
    #[arg(long, value_name = "NAME")]
    version: Option<String>,
    /// Length of a cell: 1s (kept for an hour), 1m (kept for a week), or auto, which is 1s for
    /// a quarter of an hour or less within the last hour
    #[arg(long, value_name = "STEP", default_value_t = HistoryStep::Auto)]
    step: HistoryStep,
    /// The form of the answer
    #[arg(short, long, value_enum, default_value_t = HistoryOutput::Table)]
    output: HistoryOutput,
}

/// Forms of history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum HistoryOutput {
    /// For people: rates and quantiles
    Table,
    /// For programs: every count; the fields are stable
    Json,
    /// For spreadsheets: every count
    Csv,
}

/// The answer to the command.
pub(super) fn run(socket: &Path, args: HistoryArgs) -> anyhow::Result<String> {
    ask(async {
        let query = HistoryQuery {
            since: Some(args.since.to_string()),
            until: args.until.map(|until| until.to_string()),
            version: args.version,
            step: Some(args.step.to_string()),
        };
        let history = Client::new(socket).history(&args.service, &query).await?;
        Ok(match args.output {
            HistoryOutput::Table => lines(&history),
            HistoryOutput::Json => serde_json::to_string_pretty(&history)? + "\n",
            HistoryOutput::Csv => csv(&history),
        })
    })
}

/// All cells by time, versions side by side.
fn by_time(history: &History) -> Vec<(&str, &HistoryCell)> {
    let versions = history.versions.iter();
    let mut all: Vec<_> = versions
        .flat_map(|version| {
            version
                .cells
                .iter()
                .map(|cell| (version.name.as_str(), cell))
        })
        .collect();
    // Stable: versions stay in their order.
    all.sort_by(|(_, one), (_, other)| (&one.at, one.gap).cmp(&(&other.at, other.gap)));
    all
}

/// The column of repeated SYNs, or of failed answers where the status of answers is read.
const FAILURES: usize = 6;

fn lines(history: &History) -> String {
    let all = by_time(history);
    let step = match history.step_s {
        60 => "1m".to_owned(),
        seconds => duration(seconds),
    };
    let mut out = format!(
        "{}: {} to {}, by {step}\n",
        history.service, history.from, history.until
    );
    if all.is_empty() {
        return out + "  nothing is known of that time\n";
    }
    let http = all.iter().any(|(_, cell)| cell.http.is_some());
    let mut head = [
        "TIME", "VERSION", "FLOWS/S", "PKT/S", "BIT/S", "RST/S", "SYN+/S", "P50", "P99",
    ];
    if http {
        // 80 columns have no room for both.
        head[FAILURES] = "5XX/S";
    }
    // 2026-01-02T03:04:05Z: the date stands above, unless there are several.
    let (from, to) = if history.from.get(..10) == history.until.get(..10) {
        (11, 19)
    } else {
        (5, 16)
    };
    let time = |cell: &HistoryCell| cell.at.get(from..to).unwrap_or(&cell.at).replace('T', " ");
    let rows = all.iter().map(|(name, cell)| {
        let mut row = row(time(cell), name, cell);
        if http {
            row[FAILURES] = failures(cell);
        }
        row
    });
    out += &table(&head, &[0, 1], rows.collect());
    if all.iter().any(|(_, cell)| cell.gap) {
        out += "  gap: nobody took samples; what was counted in it, without rates\n";
    }
    if http {
        out += "  5XX/S: answers of that class; repeated SYNs are in -o csv and -o json\n";
    }
    if all.iter().any(|(_, cell)| times(cell).is_some()) {
        out += "  P50, P99: of turns, or of handshakes where no turn was measured\n";
    }
    out
}

/// Answers of class 5xx, by time or, in a gap, all.
fn failures(cell: &HistoryCell) -> String {
    match (&cell.http, &cell.rates) {
        (Some(_), Some(rates)) => rates.http_5xx_per_s.map_or("-".to_owned(), rate),
        (Some(http), None) => format!("({})", brief(http.http_5xx)),
        (None, _) => "-".to_owned(),
    }
}

/// The times that a table has room for.
fn times(cell: &HistoryCell) -> Option<&Quantiles> {
    cell.turn_time.as_ref().or(cell.handshake_time.as_ref())
}

fn row(at: String, version: &str, cell: &HistoryCell) -> Vec<String> {
    let Some(rates) = &cell.rates else {
        let Counters {
            packets_in,
            packets_out,
            bytes_in,
            bytes_out,
            new_flows,
            ..
        } = cell.counters;
        let resets = cell.counters.resets_by_client + cell.counters.resets_by_server;
        return vec![
            at,
            format!("{version} gap {}", duration(cell.length_s)),
            format!("({})", brief(new_flows)),
            format!("({})", brief(packets_in + packets_out)),
            format!("({})", brief((bytes_in + bytes_out).saturating_mul(8))),
            format!("({})", brief(resets)),
            format!("({})", brief(cell.counters.syn_retransmits)),
            "-".to_owned(),
            "-".to_owned(),
        ];
    };
    let time =
        |of: fn(&Quantiles) -> f64| times(cell).map_or("-".to_owned(), |told| text::time(of(told)));
    vec![
        at,
        version.to_owned(),
        rate(rates.new_flows_per_s),
        rate(rates.packets_per_s),
        rate(rates.bytes_per_s * 8.0),
        rate(rates.resets_per_s),
        rate(rates.syn_retransmits_per_s),
        time(|told| told.p50_s),
        time(|told| told.p99_s),
    ]
}

/// A line for each cell, with every count; names of services and versions need no quotes.
fn csv(history: &History) -> String {
    let names = counts(&Counters::default());
    let mut out = "at,service,version,length_s,gap,seen_s".to_owned();
    for (name, _) in &names {
        out += &format!(",{name}");
    }
    out += ",met_empty";
    let classes = counts(&HttpTurns::default());
    for (name, _) in &classes {
        out += &format!(",{name}");
    }
    for time in ["handshake_time", "turn_time"] {
        out += &format!(",{time}_p50_s,{time}_p90_s,{time}_p99_s");
    }
    out.push('\n');
    for (version, cell) in by_time(history) {
        let HistoryCell {
            at,
            length_s,
            gap,
            seen_s,
            ..
        } = cell;
        let service = &history.service;
        out += &format!("{at},{service},{version},{length_s},{gap},{seen_s}");
        for (_, count) in counts(&cell.counters) {
            out += &format!(",{count}");
        }
        out += &format!(",{}", cell.met_empty);
        match &cell.http {
            Some(http) => {
                for (_, count) in counts(http) {
                    out += &format!(",{count}");
                }
            }
            None => out += &",".repeat(classes.len()),
        }
        for time in [&cell.handshake_time, &cell.turn_time] {
            out += &time.map_or(",,,".to_owned(), |told| {
                format!(",{},{},{}", told.p50_s, told.p90_s, told.p99_s)
            });
        }
        out.push('\n');
    }
    out
}

/// Every counter by the name that it has in JSON.
fn counts(counters: &impl Serialize) -> Vec<(String, u64)> {
    let told = serde_json::to_value(counters).unwrap_or_default();
    let fields = told.as_object().into_iter().flatten();
    fields
        .filter_map(|(name, value)| Some((name.clone(), value.as_u64()?)))
        .collect()
}
