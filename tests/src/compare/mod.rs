//! Owns the comparison of the program in the kernel with the reference model
//! ([`crate::model`]): a case is a list of steps, run on both, and both must agree after each.
//!
//! Cases are made by a source of steps ([`Source`]) from a seed; one that fails is replayed, made
//! as short as it can be and kept as a text ([`step`]), which is run first from then on.
//!
//! What is compared: XDP action and the bytes after every packet; at every commit and at the end the
//! counters of every server, what clients were counted for, and how many packets ended under which
//! verdict and reason. A replay compares the latter after every packet too.
//!
//! Left out: what a commit does to datagrams whose fragments are under way, which both sides forget
//! at a commit; the table of fragments being full; ICMP errors that do not fit their way, which no
//! sender makes; limits of new flows, which go by the real clock, and versions without backend, which
//! no file has: spec rows hold both.

pub mod endless;
pub mod fuzz;
mod hosts;
mod keep;
mod lab;
mod laws;
mod run;
mod shrink;
pub mod step;
pub mod traffic;
mod world;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Write as _},
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow, bail, ensure};
use splitter_common::{evidence::Event, reason::Verdict};
use splitter_user::model::FlowFate;

use crate::{
    model::{Model, Outcome},
    packet,
    spec::run::fixed_secret,
};

pub use hosts::WAYS;
pub use keep::{Kept, kept};
pub use lab::Lab;
pub use run::Run;
use step::Step;
use world::World;

/// So much real time may pass in a case before entries of the kernel are older than the model
/// thinks by more than the ages of [`traffic`] leave room for.
const PATIENCE: Duration = Duration::from_secs(1);

/// Steps of a failing case that are shown; its file has all.
const STEPS_SHOWN: usize = 12;

/// Runs of a replay that the machine was too slow for.
const ATTEMPTS: u32 = 3;

/// Labs at work beside each other: commits rest most of their time.
pub const THREADS: usize = 3;

/// Where steps come from.
pub trait Source {
    /// The next step, made with an eye on what the model remembers; `None` at the end.
    fn next(&mut self, model: &Model) -> Option<Step>;
}

/// Steps that are there already.
struct Replay<'a>(std::slice::Iter<'a, Step>);

impl Source for Replay<'_> {
    fn next(&mut self, _: &Model) -> Option<Step> {
        self.0.next().cloned()
    }
}

/// A case that failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The steps up to the one that failed.
    pub steps: Vec<Step>,
    /// What the two sides say.
    pub why: String,
    /// Real time that passed.
    elapsed: Duration,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\nlast of {} steps:", self.why, self.steps.len())?;
        let last = self.steps.len().saturating_sub(STEPS_SHOWN);
        let mut steps = self.steps[last..].iter();
        steps.try_for_each(|step| write!(f, "\n  {step}"))
    }
}

/// Packets by verdict and reason.
type Reasons = BTreeMap<(&'static str, &'static str), u64>;

/// What the run of a case has seen.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Packets.
    pub packets: u64,
    /// Commits that were put in force.
    pub commits: u64,
    /// Commits that were refused, and thus did nothing.
    pub refused: u64,
    /// Packets by verdict and reason.
    pub reasons: Reasons,
    /// What clients were counted for when cases ended, in releases and slices.
    pub events: BTreeMap<&'static str, u64>,
}

impl Seen {
    fn add(&mut self, other: Self) {
        self.packets += other.packets;
        self.commits += other.commits;
        self.refused += other.refused;
        for (label, packets) in other.reasons {
            *self.reasons.entry(label).or_default() += packets;
        }
        for (event, clients) in other.events {
            *self.events.entry(event).or_default() += clients;
        }
    }
}

/// One case on both sides.
struct Play<'a> {
    lab: &'a mut Lab,
    model: Model,
    world: World,
    /// Compare reasons after every packet.
    is_careful: bool,
    /// By the model.
    seen: Seen,
}

/// Runs a case whose steps come from `source`.
pub fn play(lab: &mut Lab, source: &mut impl Source) -> Result<Seen, Failure> {
    run(lab, source, false)
}

/// Runs a case again; more than once where it fails and took so long that time may be why.
fn replay(lab: &mut Lab, steps: &[Step]) -> Result<Seen, Failure> {
    let mut ran = run(lab, &mut Replay(steps.iter()), true);
    for _ in 1..ATTEMPTS {
        match &ran {
            Err(failure) if failure.elapsed > PATIENCE => {
                ran = run(lab, &mut Replay(steps.iter()), true);
            }
            Ok(_) | Err(_) => break,
        }
    }
    ran
}

fn run(lab: &mut Lab, source: &mut impl Source, is_careful: bool) -> Result<Seen, Failure> {
    let began = Instant::now();
    let mut steps = Vec::new();
    let failure = |steps: &[Step], error: anyhow::Error| Failure {
        steps: steps.to_vec(),
        why: format!("{error:#}"),
        elapsed: began.elapsed(),
    };
    let play = Play::new(lab, is_careful);
    let mut play = play.map_err(|error| failure(&steps, error))?;
    while let Some(step) = source.next(&play.model) {
        steps.push(step);
        let ran = play.step(&steps[steps.len() - 1]);
        if play.seen.commits == 0 {
            // What an earlier case has put in force still is, so this one says nothing.
            return match is_careful {
                true => Ok(play.seen),
                false => Err(failure(&steps, anyhow!("no configuration is in force"))),
            };
        }
        ran.map_err(|error| failure(&steps, error))?;
    }
    let ended = play.check_counts().and_then(|()| play.check_reasons());
    ended.map_err(|error| failure(&steps, error))?;
    play.count_events();
    Ok(play.seen)
}

impl<'a> Play<'a> {
    fn new(lab: &'a mut Lab, is_careful: bool) -> Result<Self> {
        lab.begin()?;
        Ok(Self {
            model: Model::new(fixed_secret()?, lab.ways),
            lab,
            world: World::default(),
            is_careful,
            seen: Seen::default(),
        })
    }

    fn step(&mut self, step: &Step) -> Result<()> {
        match step {
            Step::Commit {
                reuse,
                fate,
                changes,
            } => self.commit(*reuse, *fate, changes),
            Step::Age(seconds) => {
                self.model.age(u64::from(*seconds));
                self.lab.age(*seconds)
            }
            Step::Slice => {
                self.check_evidence()?;
                self.model.next_slice();
                self.lab.next_slice()
            }
            Step::Anew(service) => self.anew(service),
            Step::Turned(service) => {
                self.lab.turned(service)?;
                if self.lab.service(service).is_some() {
                    self.model.turned(service);
                }
                self.anew(service)
            }
            Step::Packet { frame, .. } => self.packet(frame),
        }
    }

    /// A commit that is refused is one for neither side.
    fn commit(&mut self, reuse: bool, fate: FlowFate, changes: &[(String, String)]) -> Result<()> {
        let (world, config) = match self.world.with(changes) {
            Ok(next) => next,
            Err(_) => {
                self.seen.refused += 1;
                return Ok(());
            }
        };
        self.check_counts()?;
        self.check_reasons()?;
        if self.lab.commit(&config, reuse, fate)? {
            self.model.commit(&config, fate);
            self.world = world;
            self.seen.commits += 1;
        } else {
            self.seen.refused += 1;
        }
        Ok(())
    }

    fn packet(&mut self, frame: &[u8]) -> Result<()> {
        let wanted = self.model.packet(frame);
        self.seen.packets += 1;
        let label = (wanted.verdict.name(), wanted.reason.name());
        *self.seen.reasons.entry(label).or_default() += 1;
        let (action, got) = self.lab.packet(frame)?;
        let lawful = laws::check(&self.model, frame, action, got);
        let differs = difference(frame, &wanted, action, got);
        if let Some(differs) = differs {
            bail!("{differs}{}", told(lawful));
        }
        lawful?;
        if self.is_careful {
            self.check_reasons()?;
        }
        Ok(())
    }

    fn anew(&mut self, service: &str) -> Result<()> {
        self.check_evidence()?;
        self.lab.anew(service)?;
        if let Some(service) = self.lab.service(service) {
            self.model.anew(service);
        }
        Ok(())
    }

    fn check_evidence(&self) -> Result<()> {
        let (wanted, got): (BTreeMap<_, _>, _) =
            (self.model.evidence().collect(), self.lab.evidence());
        for service in wanted.keys().chain(got.keys()) {
            let (wanted, got) = (wanted.get(service), got.get(service));
            ensure!(
                got == wanted,
                "clients of {service}: the model counted {wanted:?}, the program {got:?}"
            );
        }
        Ok(())
    }

    fn count_events(&mut self) {
        let counted = self.model.evidence().flat_map(|(_, sets)| sets);
        for tally in counted.flat_map(BTreeMap::into_values).flatten() {
            for (event, clients) in Event::ALL.iter().zip(tally.events) {
                *self.seen.events.entry(event.name()).or_default() += clients;
            }
        }
    }

    fn check_counts(&self) -> Result<()> {
        self.check_evidence()?;
        for (server, wanted) in self.model.counts() {
            let got = self.lab.count(server)?;
            ensure!(
                got == wanted,
                "{} of {}, {}: the model counted {wanted:?}, the program {got:?}",
                server.backend,
                server.version,
                server.service
            );
        }
        Ok(())
    }

    fn check_reasons(&self) -> Result<()> {
        let got = self.lab.reasons();
        if got == self.seen.reasons {
            return Ok(());
        }
        let mut text = String::new();
        let labels: BTreeSet<_> = got.keys().chain(self.seen.reasons.keys()).collect();
        for label in labels {
            let (ours, theirs) = (self.seen.reasons.get(label), got.get(label));
            if ours != theirs {
                let count = |side: Option<&u64>| side.copied().unwrap_or_default();
                write!(
                    text,
                    " {} {}: {} instead of {};",
                    label.0,
                    label.1,
                    count(theirs),
                    count(ours)
                )?;
            }
        }
        bail!("packets by reason differ from the model's:{text}")
    }
}

fn told(lawful: Result<()>) -> String {
    lawful
        .err()
        .map_or_else(String::new, |error| format!("\n  {error:#}"))
}

// include/uapi/linux/bpf.h
const XDP_DROP: u32 = 1;
const XDP_PASS: u32 = 2;
const XDP_TX: u32 = 3;
const XDP_REDIRECT: u32 = 4;

const fn action_of(verdict: Verdict) -> u32 {
    match verdict {
        Verdict::Drop => XDP_DROP,
        Verdict::Pass | Verdict::Resolve => XDP_PASS,
        Verdict::Tx => XDP_TX,
        Verdict::Redirect => XDP_REDIRECT,
    }
}

/// In what the program differs from the model.
fn difference(sent: &[u8], wanted: &Outcome, action: u32, got: &[u8]) -> Option<String> {
    let same_bytes = match (&wanted.leaving, wanted.verdict) {
        (Some(leaving), _) => leaving.is(got),
        // What is left of a dropped frame nobody sees.
        (None, Verdict::Drop) => true,
        (None, _) => got == sent,
    };
    if action == action_of(wanted.verdict) && same_bytes {
        return None;
    }
    let mut text = format!(
        "the model says {} {}, the program returned {action}\n  sent  {}",
        wanted.verdict.name(),
        wanted.reason.name(),
        packet::describe(sent)
    );
    let bytes = wanted
        .leaving
        .as_ref()
        .map_or(sent, |leaving| leaving.bytes());
    if !same_bytes {
        text += &format!(
            "\n  model {}\n  left  {}\n  {}",
            packet::describe(bytes),
            packet::describe(got),
            packet::difference(bytes, got).join("; ")
        );
    }
    Some(text)
}
