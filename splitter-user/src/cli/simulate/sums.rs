//! Owns what clients add up to: by segment and version, and who would move.
//!
//! Invariant: who is denied, or has no VIP to dial, is counted apart and is in no share.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::api::types::{ClientSimulated, ServiceStatus};
use crate::cli::text;

/// So many clients, and what they brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Tally {
    /// Clients.
    pub(super) clients: u64,
    /// What they brought; of a list nobody knows.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub(super) brought: Option<Brought>,
}

/// What clients of a capture brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Brought {
    /// Flows.
    pub(super) flows: u64,
    /// Bytes of these to the VIP.
    pub(super) bytes: u64,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.clients += other.clients;
        if let Some(Brought { flows, bytes }) = other.brought {
            let all = self.brought.get_or_insert_default();
            all.flows += flows;
            all.bytes += bytes;
        }
    }
}

/// Where the clients of one service go.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Sums {
    /// The service.
    pub(super) service: String,
    /// The generation that decided.
    pub(super) generation: u64,
    /// The one that decided about the last ones, where it is another.
    pub(super) generation_at_end: Option<u64>,
    /// All of them.
    pub(super) all: Tally,
    /// Those that the service does not serve.
    pub(super) denied: Tally,
    /// Those that have no VIP of it to dial.
    pub(super) without_vip: Tally,
    /// Why, of the first of them.
    pub(super) note: Option<String>,
    /// By segment, in the order in which they are asked, the rest last, and version.
    pub(super) versions: Vec<VersionSum>,
    /// Who would move under other weights; `None` where none were asked for.
    pub(super) moves: Option<Vec<MoveSum>>,
}

/// Those of one version that come by one segment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct VersionSum {
    /// The segment; `None`: in none.
    pub(super) segment: Option<String>,
    /// The version.
    pub(super) version: String,
    /// Whether it takes what the others leave.
    pub(super) baseline: bool,
    /// Its weight there, in force: `5%`.
    pub(super) weight: String,
    /// What goes there.
    #[serde(flatten)]
    pub(super) tally: Tally,
    /// Its part of the clients of that segment, in percent; `None` where there are none.
    pub(super) share_percent: Option<f64>,
}

/// Those that would move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct MoveSum {
    /// From this version.
    pub(super) from: String,
    /// To this one.
    pub(super) to: String,
    /// So many.
    #[serde(flatten)]
    pub(super) tally: Tally,
}

impl Sums {
    /// None yet, of a service.
    pub(super) fn of(service: &ServiceStatus, with_weights: bool, of_capture: bool) -> Self {
        let none = Tally {
            clients: 0,
            brought: of_capture.then(Brought::default),
        };
        let mut sums = Self {
            service: service.name.clone(),
            moves: with_weights.then(Vec::new),
            all: none,
            denied: none,
            without_vip: none,
            ..Self::default()
        };
        let baseline = |name: &str| {
            let mut versions = service.versions.iter();
            versions.any(|version| version.name == name && version.baseline)
        };
        for segment in &service.segments {
            for version in &segment.versions {
                let weight = version.weight.clone();
                let is_baseline = baseline(&version.version);
                let of = Some(segment.name.clone());
                sums.place(of, &version.version, is_baseline, weight);
            }
        }
        for version in &service.versions {
            let weight = text::percent(version.weight_percent);
            sums.place(None, &version.name, version.baseline, weight);
        }
        sums
    }

    fn place(&mut self, segment: Option<String>, version: &str, baseline: bool, weight: String) {
        self.versions.push(VersionSum {
            segment,
            version: version.to_owned(),
            baseline,
            weight,
            tally: Tally {
                clients: 0,
                ..self.denied
            },
            share_percent: None,
        });
    }

    /// Adds a client and where it goes.
    pub(super) fn add(&mut self, told: &ClientSimulated, tally: Tally) {
        self.all.add(tally);
        let Some(version) = &told.version else {
            self.note = self.note.take().or_else(|| told.note.clone());
            return self.without_vip.add(tally);
        };
        if told.denied {
            return self.denied.add(tally);
        }
        let mut known = self.versions.iter_mut();
        match known.find(|of| of.segment == told.segment && of.version == *version) {
            Some(of) => of.tally.add(tally),
            // Of a segment or version that has come meanwhile.
            None => {
                self.place(told.segment.clone(), version, false, "-".to_owned());
                if let Some(of) = self.versions.last_mut() {
                    of.tally.add(tally);
                }
            }
        }
        if let (Some(moves), Some(to)) = (&mut self.moves, &told.would_be)
            && to != version
        {
            match moves
                .iter_mut()
                .find(|of| of.from == *version && of.to == *to)
            {
                Some(of) => of.tally.add(tally),
                None => moves.push(MoveSum {
                    from: version.clone(),
                    to: to.clone(),
                    tally,
                }),
            }
        }
    }

    /// Notes which generation decided.
    pub(super) fn decided_by(&mut self, generation: u64) {
        if self.generation == 0 {
            self.generation = generation;
        } else if self.generation != generation {
            self.generation_at_end = Some(generation);
        }
    }

    /// Says the shares, when all are there.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a share is shown with four digits"
    )]
    pub(super) fn finish(&mut self) {
        let mut of_segment = BTreeMap::<Option<String>, u64>::new();
        for of in &self.versions {
            *of_segment.entry(of.segment.clone()).or_default() += of.tally.clients;
        }
        for of in &mut self.versions {
            let all = of_segment.get(&of.segment).copied().unwrap_or(0);
            let share = of.tally.clients as f64 / all as f64 * 100.0;
            of.share_percent = (all > 0).then_some(share);
        }
        if let Some(moves) = &mut self.moves {
            moves.sort_by(|one, other| (&one.from, &one.to).cmp(&(&other.from, &other.to)));
        }
    }
}
