//! Owns `splitter devices`: the rules by which device classes are known, and what they make of the SYNs of a
//! capture.
//!
//! Invariant: SYNs are compared by the code that the kernel runs.

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use splitter_common::device::{DeviceRule as Row, DeviceRules, Signature};

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
use crate::model::{UNKNOWN_DEVICE, rule_of};

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
        let mut looks = Looks::new(&list);
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
    /// Their names, by the numbers that these rules give them.
    names: Vec<String>,
}

impl Classes {
    pub(super) fn new(list: &DeviceList) -> Self {
        let mut names = vec![UNKNOWN_DEVICE.to_owned()];
        let mut rules = DeviceRules::NONE;
        for (row, line) in rules.rules.iter_mut().zip(&list.rules) {
            let class = &line.rule.class;
            let known = names.iter().position(|other| other == class);
            let number = known.unwrap_or_else(|| {
                names.push(class.clone());
                names.len() - 1
            });
            let (mask, want) = line.rule.words();
            *row = Row {
                mask,
                want,
                class: number as u64,
            };
        }
        Self { rules, names }
    }

    /// The class of a SYN.
    pub(super) fn of(&self, signature: &Signature) -> &str {
        let number = usize::from(self.rules.class_of(&signature.words));
        self.names
            .get(number)
            .map_or(UNKNOWN_DEVICE, String::as_str)
    }
}

/// SYNs by class and by what they show; what differs from SYN to SYN, as timestamps do, is not kept.
struct Looks {
    classes: Classes,
    seen: BTreeMap<(String, String), (u64, HashSet<IpAddr>)>,
}

impl Looks {
    fn new(list: &DeviceList) -> Self {
        Self {
            classes: Classes::new(list),
            seen: BTreeMap::new(),
        }
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
mod tests {
    use super::*;
    use crate::api::types::DeviceRuleLine;
    use crate::model::{DeviceRule, TcpOption, signature};

    fn list() -> DeviceList {
        let parse = |word| TcpOption::parse(word).expect("an option");
        let rule = DeviceRule {
            class: "linux-like".to_owned(),
            ttl: Some(64),
            options: Some("mss sack ts nop ws".split(' ').map(parse).collect()),
            window: None,
            mss: None,
            window_scale: None,
        };
        let line = DeviceRuleLine {
            rule,
            built_in: true,
            asked_by: vec!["shop/desks".to_owned()],
        };
        DeviceList { rules: vec![line] }
    }

    fn syn(client: &str, options: &[u8], window: u16) -> Seen {
        let mut tcp = vec![0; 20];
        tcp[12] = ((5 + options.len() / 4) << 4) as u8;
        tcp[14..16].copy_from_slice(&window.to_be_bytes());
        tcp.extend(options);
        Seen::Flow {
            client: client.parse().expect("an address"),
            client_port: 1,
            to: client.parse().expect("an address"),
            port: 443,
            protocol: crate::model::Protocol::Tcp,
            bytes: 60,
            syn: signature(55, &tcp),
        }
    }

    #[test]
    fn rules_are_told_as_they_are_asked() {
        assert_eq!(
            rules(&list()),
            "\x20 CLASS       RULE                                FROM      ASKED FOR BY\n  \
             linux-like  ttl 64, options mss sack ts nop ws  built in  shop/desks\n"
        );
    }

    #[test]
    fn syns_are_told_with_their_classes_and_a_rule_for_the_unknown() {
        let mut looks = Looks::new(&list());
        let linux = |time: u8| {
            [
                2, 4, 5, 180, 4, 2, 8, 10, 1, 2, 3, time, 0, 0, 0, 0, 1, 3, 3, 7,
            ]
        };
        for (client, time) in [("192.0.2.1", 1), ("192.0.2.1", 2), ("192.0.2.2", 3)] {
            looks.take(&syn(client, &linux(time), 64_240));
        }
        looks.take(&syn("2001:db8::1", &[2, 4, 5, 160, 1, 1, 4, 2], 8_192));
        looks.take(&Seen::Other);
        assert_eq!(
            syns(&looks.told()),
            "\x20 CLASS       SYNS CLIENTS SHOWS\n  \
             linux-like     3       2 ttl 64, options mss sack ts nop ws, window 64240\n  \
             unknown        1       1 ttl 64, options mss nop nop sack, window 8192\n\n\
             A rule for the first that no rule knows; leave out what need not be so:\n\n\
             [[device]]\nclass = \"NAME\"\nttl = 64\noptions = \"mss nop nop sack\"\nwindow = 8192\n"
        );
        assert_eq!(syns(&Looks::new(&list()).told()), "no SYN in the capture\n");
    }
}
