//! Owns which services are judged: their ledger, the slots of their weights, and whose clients count.
//! See `splitter_common::evidence`.
//!
//! Invariants: a slot means one set of weights of one set of versions, and of whom is judged, from the
//! commit on that gave it that meaning; weights that come back while their slot still means them go on in it. A release begins
//! with new slots alone.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use splitter_common::{evidence::SLOTS, split::Cuts, weight::WHOLE_PPM};

use super::numbers::VersionNumber;
use crate::model::Service;

/// What one set of weights gives a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    /// The version's index.
    pub index: u8,
    /// The commit that gave it.
    pub born: u32,
    /// The weight, in parts per million.
    pub ppm: u32,
}

/// What a slot means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// Its number.
    pub slot: u8,
    /// The commit from which on it means this.
    pub born: u32,
    /// By version.
    pub weights: BTreeMap<String, Given>,
    /// What [`Judged::third_ppm`] was.
    pub third_ppm: u32,
}

/// The ledger of a service that is judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judged {
    /// The ledger's number, from 0.
    pub ledger: u16,
    /// The commit that began the release.
    pub born: u32,
    /// The largest weight that a third version has had in this release, in parts per million.
    pub third_ppm: u32,
    /// Slots by their age: the last is that of the weights in force.
    pub slots: Vec<Slot>,
}

/// Why a service cannot be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotJudged {
    /// It has one version: there is nothing to compare.
    OneVersion,
    /// It has more than three.
    ManyVersions,
}

/// Versions that are compared at most: the baseline, the first other one, and a third beside them.
const VERSIONS_MAX: usize = 3;

/// Whether a service can be judged at all.
pub fn can_be_judged(service: &Service) -> Result<(), NotJudged> {
    match service.versions.len() {
        0 | 1 => Err(NotJudged::OneVersion),
        2..=VERSIONS_MAX => Ok(()),
        _ => Err(NotJudged::ManyVersions),
    }
}

impl Judged {
    /// A release that begins in a commit, without slots yet.
    pub const fn begin(ledger: u16, commit: u32) -> Self {
        Self {
            ledger,
            born: commit,
            third_ppm: 0,
            slots: Vec::new(),
        }
    }

    /// With the weights of a service in force from a commit on.
    pub fn with_weights(
        mut self,
        service: &Service,
        versions: &BTreeMap<String, VersionNumber>,
        commit: u32,
    ) -> Self {
        let weights: BTreeMap<String, Given> = service
            .versions
            .iter()
            .filter_map(|version| {
                let number = versions.get(&version.name)?;
                let given = Given {
                    index: number.index,
                    born: number.born,
                    ppm: version.weight.ppm(),
                };
                Some((version.name.clone(), given))
            })
            .collect();
        self.third_ppm = self.third_ppm.max(third_ppm(service));
        let third_ppm = self.third_ppm;
        let known = self
            .slots
            .iter()
            .position(|slot| slot.weights == weights && slot.third_ppm == third_ppm);
        let slot = match known {
            Some(at) => self.slots.remove(at),
            None => Slot {
                slot: self.free_slot(),
                born: commit,
                weights,
                third_ppm,
            },
        };
        self.slots.push(slot);
        self
    }

    /// A slot that means nothing, or that whose weights were in force longest ago.
    fn free_slot(&mut self) -> u8 {
        let is_free = |slot: &u8| !self.slots.iter().any(|used| used.slot == *slot);
        match (0..SLOTS as u8).find(is_free) {
            Some(slot) => slot,
            None => self.slots.remove(0).slot,
        }
    }

    /// The slot of the weights in force.
    pub fn slot(&self) -> u8 {
        self.slots.last().map_or(0, |slot| slot.slot)
    }

    /// The commits that gave the slots their meaning; `u32::MAX` for those that mean nothing.
    pub fn slots_born(&self) -> [u32; SLOTS] {
        let mut born = [u32::MAX; SLOTS];
        for slot in &self.slots {
            born[usize::from(slot.slot)] = slot.born;
        }
        born
    }

    /// The last place on the line of the split law whose clients are judged: what a third version has
    /// ever reached lies at the end of it.
    pub fn until(&self) -> u32 {
        if self.third_ppm == 0 {
            return u32::MAX;
        }
        // The baseline's interval where the third version has that weight.
        let cuts = Cuts::new(&[0, 0, self.third_ppm], 0);
        let first = cuts.ok().and_then(|cuts| cuts.intervals().next());
        match first {
            Some((0, _, last)) => last,
            Some(_) | None => 0,
        }
    }
}

impl Slot {
    /// The part that a version's weight is of the weights of those who are compared: it and the baseline,
    /// which has what the others leave; 0 ..= 1.
    pub fn rho(&self, version: &str) -> f64 {
        let own = self.weights.get(version).map_or(0, |given| given.ppm);
        let judged = WHOLE_PPM - self.third_ppm;
        if judged == 0 {
            return 0.0;
        }
        // A version may reach into what a third one had once: the baseline has nothing of the rest then.
        (f64::from(own) / f64::from(judged)).min(1.0)
    }
}

/// The weight of the version that grows from the end of the line: the second that is not the baseline.
fn third_ppm(service: &Service) -> u32 {
    let mut others = service.versions.iter().filter(|version| !version.baseline);
    others.nth(1).map_or(0, |version| version.weight.ppm())
}

#[cfg(test)]
#[path = "evidence_tests.rs"]
mod tests;
