//! Owns what segments cost a packet: new flows and established ones of clients who are in no segment, and
//! of services with one of many prefixes or members, in turns.

use std::{mem, net::IpAddr};

use anyhow::Result;
use ipnet::{IpNet, Ipv4Net};
use serde::Serialize;
use splitter_common::{
    address::{Address, Family},
    cohort::{self, MemberRow, Membership},
};
use splitter_user::{
    dataplane::DataPlane,
    model::{Condition, Limits, PrefixSet, Segment},
    plan::{Image, Numbers},
};

use super::{MILLION, scattered};
use crate::bench::{
    cases::Case,
    flows::{config, flow_of},
    lab::{Drive, Lab, Program, SEED, open},
    report::median,
};
use crate::spec::run::fixed_secret;
use crate::supervise::StopFlag;

/// Flows that take turns, each of a client of its own.
const FLOWS: u32 = 32_768;
const COHORT: &str = "many";

/// What one list costs, beside no segment at all: the median over rounds.
#[derive(Clone, Debug, Serialize)]
pub(in crate::bench) struct LookUp {
    /// `prefix` (single addresses), `lengths` (prefixes of [`LENGTHS`]) or `cohort`.
    pub(in crate::bench) kind: &'static str,
    /// How many are listed; of `lengths`, from how many addresses they were made, of which some have the same.
    pub(in crate::bench) entries: u32,
    /// More nanoseconds of a packet that begins a flow.
    pub(in crate::bench) new_ns: f64,
    /// More nanoseconds of a packet of an established flow.
    pub(in crate::bench) established_ns: f64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Prefix,
    Lengths,
    Cohort,
}

/// Lengths of prefixes, about as often as in lists of countries.
const LENGTHS: [u8; 16] = [
    13, 15, 16, 17, 18, 19, 20, 21, 22, 22, 23, 23, 24, 24, 24, 29,
];

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Prefix => "prefix",
            Self::Lengths => "lengths",
            Self::Cohort => "cohort",
        }
    }

    /// What a look-up may cost with a million, nanoseconds.
    const fn most_ns(self) -> f64 {
        match self {
            Self::Prefix | Self::Lengths => 1_500.0,
            Self::Cohort => 500.0,
        }
    }
}

/// Measures all lists and prints them.
pub(super) fn run(object: &[u8], quick: bool, stop: &StopFlag) -> Result<Vec<LookUp>> {
    let limits = Limits {
        flows: 4 * FLOWS,
        pending: 4 * FLOWS,
        prefixes: MILLION,
        cohort_members: MILLION,
        ..Limits::default()
    };
    let mut lab = Lab::with_limits(object, None, limits)?;
    // Replies ask for the way back to scattered clients.
    lab.netns.ip_batch(
        "route add 16.0.0.0/4 via 10.1.0.2\nroute add 32.0.0.0/3 via 10.1.0.2\n\
         route add 64.0.0.0/4 via 10.1.0.2\n",
    )?;
    let rounds = if quick { 3 } else { 9 };
    let mut all = Vec::new();
    println!("\nmore net ns than without segments: a new flow's packet, an established one's");
    for kind in [Kind::Prefix, Kind::Lengths, Kind::Cohort] {
        for entries in [10, 10_000, MILLION] {
            stop.check()?;
            let found = look_up(&mut lab, limits, (kind, entries), rounds)?;
            let told = match (entries, found.new_ns <= kind.most_ns()) {
                (MILLION, true) => format!("<= {} ns: reached", kind.most_ns()),
                (MILLION, false) => format!("<= {} ns: NOT reached", kind.most_ns()),
                _ => String::new(),
            };
            println!(
                "{:<8} {entries:>9} {:>8.0} {:>8.0}  {told}",
                found.kind, found.new_ns, found.established_ns
            );
            all.push(found);
        }
    }
    Ok(all)
}

fn look_up(
    lab: &mut Lab,
    limits: Limits,
    (kind, entries): (Kind, u32),
    rounds: usize,
) -> Result<LookUp> {
    let mut other = open(None, limits)?;
    lab.begin_with(Family::V4, 0)?;
    let mut config = config()?;
    let service = &mut config.services[0];
    let weights = service.versions.iter().filter(|version| !version.baseline);
    let weights = weights.map(|version| (version.name.clone(), version.weight));
    let condition = match kind {
        Kind::Prefix => {
            let prefix = |number| IpAddr::V4(scattered(number)).into();
            Condition::Prefix(PrefixSet::new((0..entries).map(prefix).collect()))
        }
        Kind::Lengths => {
            let prefix = |number| {
                let bits = LENGTHS[number as usize % LENGTHS.len()];
                IpNet::V4(Ipv4Net::new_assert(scattered(number), bits))
            };
            Condition::Prefix(PrefixSet::new((0..entries).map(prefix).collect()))
        }
        Kind::Cohort => Condition::Cohort(COHORT.to_owned()),
    };
    // The same weights, so that every flow has the same backend with and without.
    service.segments = vec![Segment {
        name: "many".to_owned(),
        condition,
        weights: weights.collect(),
    }];
    let secret = fixed_secret()?;
    let numbers = Numbers::default().next(&config, &secret, &other)?;
    let image = Image::build(&config, &numbers, &secret)?;
    other.commit(&image, SEED)?;
    if kind == Kind::Cohort {
        let of = Membership {
            cohort: cohort::number(COHORT),
            until: 0,
        };
        let row = |number| {
            let address = Address::from(IpAddr::V4(scattered(number)));
            (address, MemberRow::new(address, &[of]))
        };
        other
            .members()
            .put(&(0..entries).map(row).collect::<Vec<_>>())?;
    }
    for index in 0..FLOWS {
        // With a million every client is in the list.
        let client = scattered(index * (MILLION / FLOWS)).into();
        lab.set_flow(index, flow_of(Family::V4, client, 1_024, &image)?)?;
    }
    lab.share_hops(&mut other);
    let new_ns = measure(lab, &mut other, Case::New, rounds)?;
    let establish = Drive {
        case: Case::Establish,
        flows: FLOWS,
        packets: 3 * FLOWS,
    };
    both(lab, &mut other, &establish)?;
    Ok(LookUp {
        kind: kind.name(),
        entries,
        new_ns,
        established_ns: measure(lab, &mut other, Case::Established, rounds)?,
    })
}

/// More nanoseconds a packet with `other` than with the lab's own data plane.
fn measure(lab: &mut Lab, other: &mut DataPlane, case: Case, rounds: usize) -> Result<f64> {
    let drive = Drive {
        case,
        flows: FLOWS,
        packets: 8 * FLOWS,
    };
    let mut more = Vec::new();
    // The first round warms caches and tables up.
    for round in 0..=rounds {
        let [without, with] = both(lab, other, &drive)?;
        if round > 0 {
            more.push(with - without);
        }
    }
    Ok(median(more).unwrap_or_default())
}

/// Nanoseconds a packet with the lab's own data plane, and with `other`.
fn both(lab: &mut Lab, other: &mut DataPlane, drive: &Drive) -> Result<[f64; 2]> {
    let without = lab.run(Program::Splitter, drive)?;
    mem::swap(&mut lab.plane, other);
    let with = lab.run(Program::Splitter, drive);
    mem::swap(&mut lab.plane, other);
    Ok([without, with?])
}
