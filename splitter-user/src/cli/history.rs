//! Owns `splitter history`.

use std::path::Path;

use clap::{Args, ValueEnum};

use super::ask;
use super::text::{brief, duration, table};
use crate::api::Client;
use crate::api::types::{Counters, History, HistoryCell, HistoryQuery, Quantiles};
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
    let head = [
        "TIME", "VERSION", "FLOWS/S", "PKT/S", "BIT/S", "RST/S", "SYN+/S", "P50", "P99",
    ];
    // 2026-01-02T03:04:05Z: the date stands above, unless there are several.
    let (from, to) = if history.from.get(..10) == history.until.get(..10) {
        (11, 19)
    } else {
        (5, 16)
    };
    let time = |cell: &HistoryCell| cell.at.get(from..to).unwrap_or(&cell.at).replace('T', " ");
    let rows = all.iter().map(|(name, cell)| row(time(cell), name, cell));
    out += &table(&head, &[0, 1], rows.collect());
    if all.iter().any(|(_, cell)| cell.gap) {
        out += "  gap: nobody took samples; what was counted in it, without rates\n";
    }
    if all.iter().any(|(_, cell)| times(cell).is_some()) {
        out += "  P50, P99: of turns, or of handshakes where no turn was measured\n";
    }
    out
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
        |of: fn(&Quantiles) -> f64| times(cell).map_or("-".to_owned(), |told| short(of(told)));
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

/// A rate in few characters: with one digit behind the point where it is small.
fn rate(per_s: f64) -> String {
    if per_s > 0.0 && per_s < 99.95 {
        return format!("{per_s:.1}");
    }
    brief(per_s.round() as u64)
}

/// A time with three digits: `1.23ms`, `456us`.
fn short(seconds: f64) -> String {
    for (from, unit) in [(1.0, "s"), (1e-3, "ms"), (1e-6, "us")] {
        if seconds >= from {
            let value = seconds / from;
            let digits = if value < 9.995 {
                2
            } else if value < 99.95 {
                1
            } else {
                0
            };
            return format!("{value:.digits$}{unit}");
        }
    }
    format!("{:.0}ns", seconds * 1e9)
}

/// A line for each cell, with every count; names of services and versions need no quotes.
fn csv(history: &History) -> String {
    let names = counts(&Counters::default());
    let mut out = "at,service,version,length_s,gap,seen_s".to_owned();
    for (name, _) in &names {
        out += &format!(",{name}");
    }
    out += ",met_empty";
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
fn counts(counters: &Counters) -> Vec<(String, u64)> {
    let told = serde_json::to_value(counters).unwrap_or_default();
    let fields = told.as_object().into_iter().flatten();
    fields
        .filter_map(|(name, value)| Some((name.clone(), value.as_u64()?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_times_are_short() {
        let rates = [0.0, 0.04, 12.34, 99.94, 99.96, 1_234.5, 2.5e8].map(rate);
        assert_eq!(rates, ["0", "0.0", "12.3", "99.9", "100", "1235", "250.0M"]);
        let times = [0.5e-6, 7e-6, 0.000_456_7, 0.012_34, 0.1234, 1.5, 60.04].map(short);
        assert_eq!(
            times,
            [
                "500ns", "7.00us", "457us", "12.3ms", "123ms", "1.50s", "60.0s"
            ]
        );
    }
}
