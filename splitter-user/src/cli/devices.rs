//! Owns `splitter devices`: the rules by which device classes are known, and what they make of the SYNs of a
//! capture.
//!
//! Invariant: SYNs are compared by the code that the kernel runs.

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use splitter_common::device::{DeviceRules, Signature};

use super::args::OutputArgs;
use super::simulate::{
    capture::each_frame,
    frame::Seen,
    source::{Kind, Source},
};
use super::text::table;
use super::{answer, ask};
use crate::api::types::DeviceList;
use crate::api::{Client, Refusal};
use crate::model::{DeviceRule, UNKNOWN_DEVICE, rule_of};
use crate::plan::PlanError;
use crate::plan::devices::{self, DeviceNumbers};

/// What `devices` takes.
#[derive(Clone, Debug, Args)]
pub struct DevicesArgs {
    /// A capture (pcap, pcapng) whose SYNs are told with their classes; - is standard input
    file: Option<PathBuf>,
    /// How to print it
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn run(socket: &std::path::Path, args: DevicesArgs) -> anyhow::Result<String> {
    ask(async {
        let list = Client::new(socket).devices().await?;
        let Some(file) = args.file else {
            return answer(args.output.output, &list, rules);
        };
        let source = Source::open(&file)?;
        if source.kind == Kind::List {
            let what = format!("{} is no capture", source.name);
            return Err(Refusal::invalid(what)
                .with_hint("give one in the format pcap or pcapng; - is standard input")
                .into());
        }
        let mut looks = Looks::new(&list)?;
        each_frame(&source.name, source.kind, source.reader, |seen| {
            looks.take(&seen);
            Ok(())
        })?;
        answer(args.output.output, &looks.told(), syns)
    })
}

/// The rules in force, as they are asked.
fn rules(list: &DeviceList) -> String {
    let rows = list.rules.iter().map(|line| {
        let text = line.rule.to_string();
        let says = text.split_once(": ").map_or("", |(_, says)| says);
        let from = if line.built_in { "built in" } else { "file" };
        let asked_by = match line.asked_by.as_slice() {
            [] => "-".to_owned(),
            several => several.join(", "),
        };
        vec![
            line.rule.class.clone(),
            says.to_owned(),
            from.to_owned(),
            asked_by,
        ]
    });
    table(
        &["CLASS", "RULE", "FROM", "ASKED FOR BY"],
        &[0, 1, 2, 3],
        rows.collect(),
    )
}

/// The SYNs of a capture.
#[derive(Debug, Serialize)]
struct Syns {
    /// By look, most SYNs first.
    syns: Vec<Look>,
}

/// SYNs of one look.
#[derive(Debug, Serialize)]
struct Look {
    /// The class by the rules in force.
    class: String,
    /// How many there are.
    syns: u64,
    /// How many addresses sent them.
    clients: usize,
    /// What they show, as a rule says it.
    shows: String,
}

/// Classes by the rules in force.
pub(super) struct Classes {
    rules: DeviceRules,
    numbers: DeviceNumbers,
}

impl Classes {
    pub(super) fn new(list: &DeviceList) -> Result<Self, PlanError> {
        let rules: Vec<DeviceRule> = list.rules.iter().map(|line| line.rule.clone()).collect();
        // The daemon's own numbers are nobody's business: the names are the same.
        let numbers = devices::numbers(&rules, &DeviceNumbers::new());
        Ok(Self {
            rules: devices::rules(&rules, &numbers)?,
            numbers,
        })
    }

    /// The class of a SYN.
    pub(super) fn of(&self, signature: &Signature) -> &str {
        let number = self.rules.class_of(&signature.words);
        devices::name(&self.numbers, usize::from(number))
    }
}

/// SYNs by class and by what they show; what differs from SYN to SYN, as timestamps do, is not kept.
struct Looks {
    classes: Classes,
    seen: BTreeMap<(String, String), (u64, HashSet<IpAddr>)>,
}

impl Looks {
    fn new(list: &DeviceList) -> Result<Self, PlanError> {
        Ok(Self {
            classes: Classes::new(list)?,
            seen: BTreeMap::new(),
        })
    }

    fn take(&mut self, seen: &Seen) {
        let Seen::Flow {
            client,
            syn: Some(signature),
            ..
        } = seen
        else {
            return;
        };
        let class = self.classes.of(signature).to_owned();
        let rule = rule_of(&class, signature).map(|rule| rule.to_string());
        let says = rule.as_deref().and_then(|rule| rule.split_once(": "));
        let shows = says.map_or("options whose lengths contradict", |(_, says)| says);
        let look = self.seen.entry((class, shows.to_owned())).or_default();
        look.0 += 1;
        look.1.insert(*client);
    }

    fn told(self) -> Syns {
        let look = |((class, shows), (syns, clients)): (_, (u64, HashSet<IpAddr>))| Look {
            class,
            syns,
            clients: clients.len(),
            shows,
        };
        let mut syns: Vec<Look> = self.seen.into_iter().map(look).collect();
        syns.sort_by_key(|look| std::cmp::Reverse(look.syns));
        Syns { syns }
    }
}

/// The SYNs of a capture, and what would know those that no rule does.
fn syns(found: &Syns) -> String {
    if found.syns.is_empty() {
        return "no SYN in the capture\n".to_owned();
    }
    let rows = found.syns.iter().map(|look| {
        let Look {
            class,
            syns,
            clients,
            shows,
        } = look;
        vec![
            class.clone(),
            syns.to_string(),
            clients.to_string(),
            shows.clone(),
        ]
    });
    let mut out = table(
        &["CLASS", "SYNS", "CLIENTS", "SHOWS"],
        &[0, 3],
        rows.collect(),
    );
    let unknown = found.syns.iter().find(|look| look.class == UNKNOWN_DEVICE);
    if let Some(rule) = unknown.and_then(|look| as_rule(&look.shows)) {
        out += "\nA rule for the first that no rule knows; leave out what need not be so:\n\n";
        out += &rule;
    }
    out
}

/// `ttl 64, options mss` as a table of the configuration.
fn as_rule(shows: &str) -> Option<String> {
    let mut rule = "[[device]]\nclass = \"NAME\"\n".to_owned();
    for part in shows.split(", ") {
        let (key, value) = part.split_once(' ')?;
        rule += &match key {
            "options" => format!("options = \"{value}\"\n"),
            key => format!("{key} = {value}\n"),
        };
    }
    Some(rule)
}

#[cfg(test)]
#[path = "devices_tests.rs"]
mod tests;
