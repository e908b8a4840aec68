//! Owns `splitter evidence ...`.

use std::path::Path;

use clap::Subcommand;

use super::args::OutputArgs;
use super::text::{self, brief, duration, grouped, micros, percent};
use super::{answer, ask};
use crate::api::Client;
use crate::api::types::{
    ClientCounts, Evidence, EvidenceReset, LedgerInUse, SplitCheck, VersionEvidence,
};

/// `splitter evidence ...`
#[derive(Clone, Debug, Subcommand)]
pub enum EvidenceCommand {
    /// Show what was counted of clients that are judged, each once, by the weights that decided them
    ///
    /// Clients that the hash assigned are judged; those whom a segment forced are not, nor flows that
    /// the baseline took for others or that did not begin here.
    Show {
        /// The service
        service: String,
        /// Only the current slice of the release
        #[arg(long)]
        slice: bool,
        /// How to print it
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Forget what was counted and begin anew, as with a new release
    Reset {
        /// The service
        service: String,
        /// Why, for whoever reads the events later
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        /// How to print it
        #[command(flatten)]
        output: OutputArgs,
    },
}

/// The answer to the command.
pub(super) fn run(socket: &Path, command: EvidenceCommand) -> anyhow::Result<String> {
    ask(async {
        let daemon = Client::new(socket);
        match command {
            EvidenceCommand::Show {
                service,
                slice,
                output,
            } => {
                let told = daemon.evidence(&service).await?;
                answer(output.output, &told, |told| show(told, slice))
            }
            EvidenceCommand::Reset {
                service,
                reason,
                output,
            } => {
                let wanted = EvidenceReset { reason };
                let told = daemon.reset_evidence(&service, &wanted).await?;
                answer(output.output, &told, begun)
            }
        }
    })
}

fn begun(told: &Evidence) -> String {
    let since = told.ledger.map_or(0, |ledger| ledger.since_generation);
    format!(
        "{}: evidence of release {} begins with generation {since}\n",
        told.service, told.release
    )
}

fn show(told: &Evidence, slice: bool) -> String {
    let mut out = format!("service {}: release {}\n", told.service, told.release);
    let Some(ledger) = &told.ledger else {
        let why = told.not_judged.as_deref().unwrap_or("nobody knows why");
        return out + &format!("  its clients are not judged: {why}\n");
    };
    out += &about(ledger);
    let scope = |counts: &VersionEvidence| match slice {
        true => counts.slice.clone(),
        false => counts.release.clone(),
    };
    let head = [
        "WEIGHTS", "VERSION", "CLIENTS", "SHARE", "99%", "FLOW", "BAD", "BAD 1ST", "SLOW", "LATE",
        "SYN P50", "TURN P50", "P99",
    ];
    let mut rows: Vec<Vec<String>> = Vec::new();
    for under in &told.weights {
        for version in &under.versions {
            let mark = if under.in_force { " *" } else { "" };
            let weight = under.weights.get(&version.name);
            let weight = weight.map_or_else(|| "-".to_owned(), |weight| format!("{weight}{mark}"));
            rows.push(row(weight, &version.name, &scope(version)));
        }
    }
    if told.weights.len() > 1 {
        let all = told.versions.iter();
        rows.extend(all.map(|version| row("all".to_owned(), &version.name, &scope(version))));
    }
    out += &text::table(&head, &[0, 1], rows);
    out += "  *: in force. Each client counts once for each thing, under the weights that decided it\n";
    for check in &told.split {
        out += &split(check);
    }
    out
}

fn about(ledger: &LedgerInUse) -> String {
    let from = |us: Option<u32>, none: &str| {
        us.map_or_else(
            || none.to_owned(),
            |us| format!("from {} on", micros(u64::from(us))),
        )
    };
    let slow = from(ledger.slow_us, "not known yet, too few turns before");
    let late = from(ledger.late_us, "no turn_slo");
    let age = duration(ledger.slice_age_s as u64);
    let slice = match ledger.slice {
        0 => "a slice begins".to_owned(),
        slice => format!(
            "slice {slice}, {age} of {}",
            duration(ledger.slice_length_s)
        ),
    };
    format!(
        "  since generation {}, {slice}; {} clients are told apart, {} in use\n  slow: {slow}; late: {late}\n",
        ledger.since_generation,
        grouped(u64::from(ledger.clients_max)),
        percent((ledger.clients_in_use * 1e4).round() / 100.0)
    )
}

fn row(weight: String, version: &str, counts: &ClientCounts) -> Vec<String> {
    let time = |us: Option<u64>| us.map_or_else(|| "-".to_owned(), micros);
    let interval = counts.share_interval.map_or_else(
        || "-".to_owned(),
        |[low, high]| format!("{:.2}-{:.2}%", low * 100.0, high * 100.0),
    );
    vec![
        weight,
        version.to_owned(),
        brief(counts.decided),
        text::share(counts.share),
        interval,
        brief(counts.flow),
        brief(counts.bad),
        brief(counts.flow_bad),
        brief(counts.slow),
        brief(counts.late),
        time(counts.handshake_time.p50_us),
        time(counts.turn_time.p50_us),
        time(counts.turn_time.p99_us),
    ]
}

fn split(check: &SplitCheck) -> String {
    let SplitCheck {
        at,
        version,
        clients,
        expected,
        counted,
        log10_evidence,
        alarm_from,
        alarm,
    } = check;
    let word = match alarm {
        true => "ALARM: not what the weights say, and no comparison can be trusted",
        false => "as the weights say",
    };
    format!(
        "  split at the {at}: {version} {} of {}, expected {expected:.1}: {word} (evidence \
         10^{log10_evidence:.1}, alarm from 10^{alarm_from:.1})\n",
        brief(*counted),
        brief(*clients)
    )
}
