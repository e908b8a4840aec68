//! Owns `splitter weight ...`: its grammar and what it prints.

use std::collections::BTreeMap;
use std::path::Path;
use std::str::FromStr;

use clap::Subcommand;
use splitter_common::weight::Weight;

use super::args::{ChangeArgs, OutputArgs};
use super::show::{cuts, fate, moves, set_by};
use super::text::{self, table};
use super::{answer, ask, clients};
use crate::api::types::{WeightChange, WeightInForce, WeightSet, Weights};
use crate::api::{Client, Refusal};

/// `splitter weight ...`
#[derive(Clone, Debug, Subcommand)]
pub enum WeightCommand {
    /// Say which weights are in force, and where each comes from
    Get {
        /// Only of this service
        service: Option<String>,
        /// How to print it
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Change weights; the baseline takes the rest
    Set {
        /// The service
        service: String,
        /// New weights such as canary=5%; versions left out keep theirs
        #[arg(required = true, value_name = "VERSION=WEIGHT")]
        weights: Vec<Assignment>,
        /// For the clients of this segment; without it, for those who are in none
        #[arg(long, value_name = "NAME")]
        segment: Option<String>,
        /// Why, dry run, and how to print it
        #[command(flatten)]
        change: ChangeArgs,
    },
}

/// `canary=5%`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The version.
    pub version: String,
    /// Its new weight.
    pub weight: Weight,
}

impl FromStr for Assignment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let example = "write VERSION=WEIGHT, such as canary=5%";
        let (version, weight) = text.split_once('=').ok_or(example)?;
        if version.is_empty() {
            return Err(example.to_owned());
        }
        let weight = Weight::parse(weight).map_err(|error| format!("\"{weight}\" is {error}"))?;
        Ok(Self {
            version: version.to_owned(),
            weight,
        })
    }
}

/// The answer to the command.
pub(super) fn run(socket: &Path, command: WeightCommand) -> anyhow::Result<String> {
    match command {
        WeightCommand::Get { service, output } => ask(async {
            let all = Client::new(socket).weights(service.as_deref()).await?;
            answer(output.output, &all, |all| in_force(all))
        }),
        WeightCommand::Set {
            service,
            weights,
            segment,
            change,
        } => set(socket, &service, segment, weights, change),
    }
}

fn set(
    socket: &Path,
    service: &str,
    segment: Option<String>,
    weights: Vec<Assignment>,
    args: ChangeArgs,
) -> anyhow::Result<String> {
    let change = WeightSet {
        weights: by_version(weights)?,
        segment,
        flows: args.flows,
        reason: args.reason,
        dry_run: args.dry_run,
    };
    ask(async {
        let change = Client::new(socket).set_weights(service, &change).await?;
        answer(args.output.output, &change, changed)
    })
}

pub(super) fn by_version(weights: Vec<Assignment>) -> Result<BTreeMap<String, String>, Refusal> {
    let mut by_version = BTreeMap::new();
    for Assignment { version, weight } in weights {
        if by_version
            .insert(version.clone(), weight.to_string())
            .is_some()
        {
            return Err(Refusal::invalid(format!(
                "version \"{version}\" is given two weights"
            )));
        }
    }
    Ok(by_version)
}

/// The answer to `weight set`.
fn changed(change: &WeightChange) -> String {
    let segment = change.segment.as_ref();
    let what = segment.map_or_else(String::new, |name| format!(", segment {name}"));
    let mut out = if change.dry_run {
        format!("{}{what}: dry run, nothing was changed\n", change.service)
    } else {
        format!(
            "{}{what}: in force, generation {}\n",
            change.service, change.generation
        )
    };
    let rows = change.after.iter().map(|(version, after)| {
        let before = change.before.get(version).map_or("-", String::as_str);
        vec![version.clone(), before.to_owned(), after.clone()]
    });
    out += &table(&["VERSION", "BEFORE", "AFTER"], &[0], rows.collect());
    let whose = match segment {
        Some(name) => format!("clients in {name}"),
        None => "clients".to_owned(),
    };
    out += &moves(&change.moves, &whose, change.dry_run);
    out += &change
        .seen
        .as_ref()
        .map_or_else(String::new, clients::moves);
    out + &fate(&change.flows)
}

/// The answer to `weight get`, a paragraph for each service.
fn in_force(all: &[Weights]) -> String {
    if all.is_empty() {
        return "no services\n".to_owned();
    }
    let paragraphs: Vec<String> = all.iter().map(of_service).collect();
    paragraphs.join("\n")
}

fn of_service(weights: &Weights) -> String {
    let since = weights.since.as_ref();
    let mut out = format!(
        "service {}: generation {}, key {}{}\n",
        weights.service,
        weights.generation,
        weights.key,
        since.map_or_else(String::new, |since| format!(", in force since {since}"))
    );
    out += &versions(&weights.versions);
    out += "  the hash space, as the kernel cuts it\n";
    out += &cuts(&weights.cuts, None);
    for segment in &weights.segments {
        out += &format!("  segment {}: {}\n", segment.segment, segment.matches);
        out += &versions(&segment.versions);
        out += &cuts(&segment.cuts, None);
    }
    out
}

/// Versions, their weights and where these come from.
fn versions(versions: &[WeightInForce]) -> String {
    let row = |version: &WeightInForce| {
        vec![
            text::version(&version.version, version.baseline),
            version.weight.clone(),
            version.from.clone(),
            version.file_weight.clone(),
        ]
    };
    let mut out = table(
        &["", "WEIGHT", "FROM", "IN THE FILE"],
        &[0, 2],
        versions.iter().map(row).collect(),
    );
    for version in versions {
        if let Some(set) = &version.set {
            let who = set_by(&set.by, &set.at, set.reason.as_deref());
            out += &format!("  {}={} set{who}", version.version, version.weight);
        }
    }
    out
}
