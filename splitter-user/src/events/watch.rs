//! Owns what is noticed by looking: two looks at the host become the events between them.
//!
//! Invariant: pure. A state that goes on is told once; thresholds to begin and to end lie apart, so
//! that what sways about one of them is not told over and over.

use std::collections::{BTreeMap, BTreeSet};

use super::What;
use super::noticed::{Commit, Drops, Interface, TableFull, VersionState};

/// So many percent below the fill from which on a table is nearly full it no longer is.
const FILL_SWAY_PERCENT: f64 = 10.0;
/// From this rate on drops are told, in packets a second of one reason.
const DROPS_BEGIN_PER_S: f64 = 100.0;
/// Below this one they are over.
const DROPS_END_PER_S: f64 = 10.0;

/// From which fill on a table of flows is nearly full, in percent. Elements of the table of established flows lie idle
/// in lists of CPUs, so that the kernel begins to push flows out before it is full; of pending flows, which
/// stand in sets of eight, one set in fifty is full then.
pub fn nearly_full_percent(table: &str) -> f64 {
    if table == "pending" { 50.0 } else { 80.0 }
}

/// One interface, as far as events go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceSeen {
    /// Its name.
    pub name: String,
    /// Its XDP mode.
    pub mode: String,
    /// Whether it is up.
    pub up: bool,
    /// Anything odd about it.
    pub note: Option<String>,
}

/// One version that has too few backends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VersionSeen {
    /// PANIC.
    pub panic: bool,
    /// Empty.
    pub empty: bool,
}

/// One look at the host.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The interfaces.
    pub interfaces: Vec<InterfaceSeen>,
    /// Versions that have too few backends, by service and name.
    pub versions: BTreeMap<(String, String), VersionSeen>,
    /// How full each table is, in percent.
    pub tables: Vec<(String, f64)>,
    /// Packets dropped so far, by reason.
    pub drops: BTreeMap<String, u64>,
    /// What keeps the newest commit from the kernel.
    pub unfinished: Option<String>,
}

/// Remembers the last look and what goes on.
#[derive(Debug, Default)]
pub struct Watch {
    last: Option<Seen>,
    full: BTreeSet<String>,
    dropping: BTreeSet<String>,
}

impl Watch {
    /// What happened since the look before, `elapsed_s` seconds ago. Of the first look only what is
    /// wrong is told: interfaces as they are found are no news.
    pub fn look(&mut self, seen: Seen, elapsed_s: f64) -> Vec<What> {
        let first = self.last.is_none();
        let last = self.last.take().unwrap_or_default();
        let mut told = Vec::new();
        if !first {
            told.extend(interfaces(&last.interfaces, &seen.interfaces));
            told.extend(self.drops(&last.drops, &seen.drops, elapsed_s));
        }
        told.extend(versions(&last.versions, &seen.versions));
        told.extend(self.tables(&seen.tables));
        if last.unfinished.is_some() != seen.unfinished.is_some() {
            let error = seen.unfinished.clone();
            told.push(What::Commit(Commit { error }));
        }
        self.last = Some(seen);
        told
    }

    fn tables(&mut self, tables: &[(String, f64)]) -> Vec<What> {
        let mut told = Vec::new();
        for (table, fill) in tables {
            let begin = nearly_full_percent(table);
            let nearly_full = if self.full.contains(table) {
                *fill >= begin - FILL_SWAY_PERCENT
            } else {
                *fill >= begin
            };
            if turned(&mut self.full, table, nearly_full) {
                told.push(What::Table(TableFull {
                    table: table.clone(),
                    fill_percent: *fill,
                    nearly_full,
                }));
            }
        }
        told
    }

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate of packets is told in whole ones"
    )]
    fn drops(
        &mut self,
        last: &BTreeMap<String, u64>,
        now: &BTreeMap<String, u64>,
        elapsed_s: f64,
    ) -> Vec<What> {
        let mut told = Vec::new();
        for (reason, count) in now {
            let before = last.get(reason).copied().unwrap_or(0);
            let per_s = count.saturating_sub(before) as f64 / elapsed_s.max(0.001);
            let ongoing = if self.dropping.contains(reason) {
                per_s >= DROPS_END_PER_S
            } else {
                per_s >= DROPS_BEGIN_PER_S
            };
            if turned(&mut self.dropping, reason, ongoing) {
                told.push(What::Drops(Drops {
                    reason: reason.clone(),
                    per_s: per_s as u64,
                    ongoing,
                }));
            }
        }
        told
    }
}

/// Puts a name into the set of those of whom something holds, or out of it; whether that is new.
fn turned(set: &mut BTreeSet<String>, name: &str, holds: bool) -> bool {
    if holds {
        set.insert(name.to_owned())
    } else {
        set.remove(name)
    }
}

fn interfaces(last: &[InterfaceSeen], now: &[InterfaceSeen]) -> Vec<What> {
    let of = |all: &[InterfaceSeen], name: &str| {
        let mut all = all.iter();
        all.find(|each| each.name == name).cloned()
    };
    let gone = last.iter().filter(|each| of(now, &each.name).is_none());
    let gone = gone.map(|each| Interface {
        interface: each.name.clone(),
        before: Some(each.mode.clone()),
        after: None,
        up: each.up,
        note: None,
    });
    let there = now.iter().filter_map(|each| {
        let before = of(last, &each.name);
        (before.as_ref() != Some(each)).then(|| Interface {
            interface: each.name.clone(),
            before: before.map(|before| before.mode),
            after: Some(each.mode.clone()),
            up: each.up,
            note: each.note.clone(),
        })
    });
    gone.chain(there).map(What::Interface).collect()
}

fn versions(
    last: &BTreeMap<(String, String), VersionSeen>,
    now: &BTreeMap<(String, String), VersionSeen>,
) -> Vec<What> {
    let names: BTreeSet<_> = last.keys().chain(now.keys()).collect();
    let changed = names.into_iter().filter_map(|name| {
        let of = |all: &BTreeMap<_, VersionSeen>| all.get(name).copied().unwrap_or_default();
        let (before, after) = (of(last), of(now));
        (before != after).then(|| {
            What::Version(VersionState {
                service: name.0.clone(),
                version: name.1.clone(),
                panic: after.panic,
                empty: after.empty,
            })
        })
    });
    changed.collect()
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
