//! Owns what is counted of clients that are judged, as DESIGN sections 4 and 6 state it: each client once
//! for each thing, in the release and in its slice, under the weights that decided its flow. Time is
//! seconds.
//!
//! "Each client once" is kept in sets. The one thing taken from the program's own statement is the place of
//! a client's bit: the upper half of the hash whose lower half places the client, of which as many bits
//! count as clients are told apart. Two clients of one place lose an event here too.

use std::collections::{BTreeMap, BTreeSet};

use splitter_common::evidence::{EVENTS, Event};
use splitter_user::model::{Config, Limits, Service};

/// DESIGN: more than two versions, judged where a third one never reached.
const VERSIONS: std::ops::RangeInclusive<usize> = 2..=3;
/// A handshake that is not answered for so long is bad, seconds: the SYN comes once more after one and
/// after three (RFC 6298), so that this says "at the second time".
pub(super) const UNANSWERED_S: u64 = 3;
/// Times are kept apart from this on, seconds; see [`Tally`].
pub const LONG_S: u64 = 9;
/// How long the turns take that a baseline is said to have had, seconds.
pub const SLOW_S: u64 = 10;

/// What the clients of a version were counted for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// By [`Event`].
    pub events: [u64; EVENTS],
    /// First handshakes below [`LONG_S`], and from it on.
    pub handshakes: [u64; 2],
    /// First turns likewise.
    pub turns: [u64; 2],
}

/// Under one set of weights: by version, of the release and of its slice.
pub type Counted = BTreeMap<String, [Tally; 2]>;

/// What a flow remembers of who is judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Mark {
    release: u64,
    set: u64,
    version: u64,
    /// The one in which the flow began.
    pub(super) slice: u64,
}

/// What was measured.
#[derive(Clone, Copy, Debug)]
pub(super) enum Time {
    Handshake,
    Turn,
}

/// One set of weights.
struct Set {
    number: u64,
    /// By version: its number and weight.
    weights: BTreeMap<String, (u64, u32)>,
    third: u64,
    counted: Counted,
}

/// What is counted of a service.
struct Ledger {
    release: u64,
    /// What the release is known by.
    salt: (Option<String>, String),
    /// The largest weight of a third version so far, in parts per million.
    third: u64,
    /// Turns of [`SLOW_S`] were measured of the baseline before.
    knows_slow: bool,
    late_s: Option<u64>,
    slice: u64,
    /// The one in force last.
    sets: Vec<Set>,
    /// Who was counted: for what, in the slice, the client's bit.
    once: BTreeSet<(usize, bool, u32)>,
}

/// All ledgers.
#[derive(Default)]
pub(super) struct Evidence {
    next: u64,
    ledgers: BTreeMap<String, Ledger>,
    /// Numbers of versions, by service and name: as long as every commit has them.
    versions: BTreeMap<(String, String), u64>,
    /// Services whose baselines have had turns of [`SLOW_S`].
    turned: BTreeSet<String>,
}

impl Evidence {
    /// Puts a configuration in force.
    pub(super) fn commit(&mut self, config: &Config) {
        let mut before = std::mem::take(self);
        self.next = before.next;
        for service in &config.services {
            for version in &service.versions {
                let key = (service.name.clone(), version.name.clone());
                let kept = before.versions.get(&key).copied();
                let number = kept.unwrap_or_else(|| self.number());
                self.versions.insert(key, number);
            }
            if before.turned.contains(&service.name) && before.ledgers.contains_key(&service.name) {
                self.turned.insert(service.name.clone());
            }
            if !VERSIONS.contains(&service.versions.len()) {
                continue;
            }
            let salt = (service.salt_group.clone(), service.release.clone());
            let kept = before.ledgers.remove(&service.name);
            let kept = kept.filter(|ledger| ledger.salt == salt);
            let ledger = kept.unwrap_or_else(|| self.begin(service));
            self.with_weights(service, ledger);
        }
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn begin(&mut self, service: &Service) -> Ledger {
        Ledger {
            release: self.number(),
            salt: (service.salt_group.clone(), service.release.clone()),
            third: 0,
            knows_slow: self.turned.contains(&service.name),
            late_s: None,
            slice: self.number(),
            sets: Vec::new(),
            once: BTreeSet::new(),
        }
    }

    fn with_weights(&mut self, service: &Service, mut ledger: Ledger) {
        let others = service.versions.iter().filter(|version| !version.baseline);
        let third = others.skip(1).map(|version| version.weight.ppm()).next();
        ledger.third = ledger.third.max(third.map_or(0, u64::from));
        ledger.late_s = service.turn_slo.map(|slo| slo.as_secs());
        let versions = service.versions.iter();
        let weights: BTreeMap<String, (u64, u32)> = versions
            .map(|version| {
                let number = self.versions[&(service.name.clone(), version.name.clone())];
                (version.name.clone(), (number, version.weight.ppm()))
            })
            .collect();
        let is_same = |set: &Set| set.weights == weights && set.third == ledger.third;
        let set = match ledger.sets.iter().position(is_same) {
            Some(at) => ledger.sets.remove(at),
            None => Set {
                number: self.number(),
                counted: weights
                    .keys()
                    .map(|name| (name.clone(), Default::default()))
                    .collect(),
                weights,
                third: ledger.third,
            },
        };
        ledger.sets.push(set);
        self.ledgers.insert(service.name.clone(), ledger);
    }

    /// The evidence of a service begins anew; `false` where it is not judged.
    pub(super) fn anew(&mut self, service: &Service) -> bool {
        let is_judged = self.ledgers.contains_key(&service.name);
        if is_judged {
            let ledger = self.begin(service);
            self.with_weights(service, ledger);
        }
        is_judged
    }

    /// The baseline of a service has had many turns of [`SLOW_S`].
    pub(super) fn turned(&mut self, service: &str) {
        self.turned.insert(service.to_owned());
    }

    /// The next slice of all begins.
    pub(super) fn next_slice(&mut self) {
        for service in self.ledgers.keys().cloned().collect::<Vec<_>>() {
            let slice = self.number();
            if let Some(ledger) = self.ledgers.get_mut(&service) {
                ledger.slice = slice;
                ledger.once.retain(|(_, of_slice, _)| !of_slice);
                for tallies in ledger
                    .sets
                    .iter_mut()
                    .flat_map(|set| set.counted.values_mut())
                {
                    tallies[1] = Tally::default();
                }
            }
        }
    }

    /// The slice of a service that is counted.
    pub(super) fn slice(&self, service: &str) -> Option<u64> {
        self.ledgers.get(service).map(|ledger| ledger.slice)
    }

    /// The largest weight that a third version of a service has had, in parts per million; `None`
    /// where nobody is judged.
    pub(super) fn third(&self, service: &str) -> Option<u64> {
        self.ledgers.get(service).map(|ledger| ledger.third)
    }

    /// A new flow of a client that is judged, which goes to a version.
    pub(super) fn decided(&mut self, service: &str, version: &str, bit: u32) -> Option<Mark> {
        let ledger = self.ledgers.get(service)?;
        let set = ledger.sets.last()?;
        let mark = Mark {
            release: ledger.release,
            set: set.number,
            version: set.weights.get(version)?.0,
            slice: ledger.slice,
        };
        self.once(service, &mark, Event::Decided, bit);
        Some(mark)
    }

    /// Counts a client for a thing unless it was; whether it is the first time in the release, and in
    /// the slice.
    pub(super) fn once(&mut self, service: &str, mark: &Mark, event: Event, bit: u32) -> [bool; 2] {
        let mut first = [false; 2];
        let Some(ledger) = self.ledgers.get_mut(service) else {
            return first;
        };
        if ledger.release != mark.release {
            return first;
        }
        let bit = bit & (Limits::default().judged_clients - 1);
        for (scope, first) in first.iter_mut().enumerate() {
            let of_slice = scope == 1;
            if !of_slice || ledger.slice == mark.slice {
                *first = ledger.once.insert((event as usize, of_slice, bit));
                if *first && let Some(tallies) = ledger.of(mark) {
                    tallies[scope].events[event as usize] += 1;
                }
            }
        }
        first
    }

    /// Whether events of a flow count still.
    pub(super) fn counts(&self, service: &str, mark: &Mark) -> bool {
        let ledger = self.ledgers.get(service);
        ledger.is_some_and(|ledger| ledger.release == mark.release)
    }

    /// The client's first flow went bad: in the release, in the slice.
    pub(super) fn flow_bad(&mut self, service: &str, mark: &Mark, first: [bool; 2]) {
        let Some(ledger) = self.ledgers.get_mut(service) else {
            return;
        };
        let counts = [true, ledger.slice == mark.slice];
        if ledger.release == mark.release
            && let Some(tallies) = ledger.of(mark)
        {
            for scope in 0..2 {
                let is_counted = first[scope] && counts[scope];
                tallies[scope].events[Event::FlowBad as usize] += u64::from(is_counted);
            }
        }
    }

    /// A handshake or turn of a client took so long.
    pub(super) fn took(&mut self, service: &str, mark: &Mark, time: Time, seconds: u64, bit: u32) {
        let event = match time {
            Time::Handshake => Event::Handshake,
            Time::Turn => Event::Turn,
        };
        let first = self.once(service, mark, event, bit);
        let Some(ledger) = self.ledgers.get_mut(service) else {
            return;
        };
        let (is_slow, is_late) = (
            ledger.knows_slow && seconds >= SLOW_S,
            ledger.late_s.is_some_and(|late_s| seconds >= late_s),
        );
        if ledger.release != mark.release {
            return;
        }
        if let Some(tallies) = ledger.of(mark) {
            for scope in 0..2 {
                let cell = usize::from(seconds >= LONG_S);
                let kept = match time {
                    Time::Handshake => &mut tallies[scope].handshakes[cell],
                    Time::Turn => &mut tallies[scope].turns[cell],
                };
                *kept += u64::from(first[scope]);
            }
        }
        if let Time::Turn = time {
            for (is_so, event) in [(is_slow, Event::Slow), (is_late, Event::Late)] {
                if is_so {
                    self.once(service, mark, event, bit);
                }
            }
        }
    }

    /// What was counted of every service that is judged, by sets of weights, the one in force last.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, Vec<Counted>)> {
        self.ledgers.iter().map(|(service, ledger)| {
            let sets = ledger.sets.iter().map(|set| set.counted.clone());
            (service.as_str(), sets.collect())
        })
    }
}

impl Ledger {
    /// Where a flow's events are counted.
    fn of(&mut self, mark: &Mark) -> Option<&mut [Tally; 2]> {
        let set = self.sets.iter_mut().find(|set| set.number == mark.set)?;
        let mut names = set.weights.iter();
        let (name, _) = names.find(|(_, (number, _))| *number == mark.version)?;
        set.counted.get_mut(name)
    }
}
