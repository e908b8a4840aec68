//! Owns lists of prefixes as the kernel looks them up: by the longest prefix alone.
//!
//! Invariants: what a list says of its longest prefix that has an address is what all of its prefixes
//! that have it say together. What a shorter one says is thus said again by the longer ones in it.
//! Lists are equal when their digests are: a list may be a million prefixes long, and is planned once
//! for as long as anybody has it.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use ipnet::IpNet;
use splitter_common::hash::{HashKey, siphash13};

use super::prefix_rows::{self, IPV4, Row, Said, has};
use crate::model::{PrefixSet, Service, compile};

/// A list, as the rows that it is searched by. A clone shares it.
#[derive(Clone, Debug)]
pub struct PrefixList {
    /// Of the prefixes and what is said of them, not of what stands between them.
    digest: [u64; 2],
    rows: Arc<[Row]>,
}

impl PrefixList {
    /// The list of these, in order and each once, of which each says what all that have it say together.
    fn new(said: &[Said]) -> Self {
        Self {
            digest: digest(said),
            rows: prefix_rows::rows(said).into(),
        }
    }

    /// The list that has these rows, in any order, and perhaps not all of what it had.
    pub fn of_rows(rows: Vec<Row>) -> Self {
        Self {
            digest: digest(&said(&rows)),
            rows: rows.into(),
        }
    }

    /// Its prefixes and what it says of them, in order of address and length.
    pub fn said(&self) -> Vec<Said> {
        said(&self.rows)
    }

    /// What it is searched by, each key once.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

fn said(rows: &[Row]) -> Vec<Said> {
    let listed = rows.iter().filter(|(_, row)| row.listed != 0);
    let mut said: Vec<Said> = listed
        .map(|((bits, address), row)| ((u128::from_be_bytes(address.bytes()), *bits), row.said))
        .collect();
    said.sort_unstable();
    said
}

fn digest(all: &[Said]) -> [u64; 2] {
    let mut bytes = Vec::with_capacity(all.len() * 24);
    for ((first, bits), said) in all {
        bytes.extend(first.to_le_bytes());
        bytes.extend(bits.to_le_bytes());
        bytes.extend(said.to_le_bytes());
    }
    [0, 1].map(|k0| siphash13(HashKey { k0, k1: 0 }, &bytes))
}

impl Default for PrefixList {
    fn default() -> Self {
        Self::new(&[])
    }
}

impl PartialEq for PrefixList {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

/// The digests and lengths of the sets that a list was planned from.
type Source = Vec<(u64, usize)>;
/// A list that somebody may still have.
struct Planned {
    source: Source,
    digest: [u64; 2],
    rows: Weak<[Row]>,
}

/// Shorter ones are planned in less time than they are worth being kept in mind.
const LONG: usize = 4_096;
static PLANNED: Mutex<Vec<Planned>> = Mutex::new(Vec::new());

/// The list that says bit `n` of the prefixes of the set `n`: the same one as before, where it is a
/// long one that anybody still has.
pub fn conditions<'p>(sets: impl Iterator<Item = &'p PrefixSet> + Clone) -> PrefixList {
    let plan = || list(sets.clone().map(PrefixSet::prefixes));
    let source: Option<Source> = sets.clone().map(PrefixSet::content).collect();
    let Some(source) = source.filter(|of| of.iter().map(|(_, count)| count).sum::<usize>() >= LONG)
    else {
        return plan();
    };
    let mut planned = PLANNED.lock().unwrap_or_else(PoisonError::into_inner);
    planned.retain(|each| each.rows.strong_count() > 0);
    let known = planned.iter().find(|each| each.source == source);
    if let Some((digest, Some(rows))) = known.map(|each| (each.digest, each.rows.upgrade())) {
        return PrefixList { digest, rows };
    }
    let new = plan();
    planned.push(Planned {
        source,
        digest: new.digest,
        rows: Arc::downgrade(&new.rows),
    });
    new
}

/// The rows of all lists of these services together, of which equal ones are one.
pub fn rows_of<'s>(services: impl IntoIterator<Item = &'s Service>) -> usize {
    let mut lists: Vec<PrefixList> = Vec::new();
    for service in services {
        let plain = [&service.direct, &service.deny, &service.allow];
        // Segments that do not compile are no configuration.
        let asked = compile(&service.segments).unwrap_or_default().asked;
        let of_segments = conditions(asked.iter().copied());
        let of_service = plain.map(|prefixes| list([prefixes.as_slice()]));
        for list in of_service.into_iter().chain([of_segments]) {
            if !lists.contains(&list) {
                lists.push(list);
            }
        }
    }
    lists.iter().map(|list| list.rows().len()).sum()
}

/// The list that says bit `n` of the prefixes of the set `n`.
pub fn list<'p>(sets: impl IntoIterator<Item = &'p [IpNet]>) -> PrefixList {
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for (bit, set) in sets.into_iter().enumerate() {
        for prefix in set {
            match prefix.trunc() {
                IpNet::V4(net) => {
                    let first = IPV4.0 | u128::from(net.network().to_bits());
                    v4.push(((first, IPV4.1 + u32::from(net.prefix_len())), 1 << bit));
                }
                IpNet::V6(net) => {
                    v6.push((
                        (net.network().to_bits(), u32::from(net.prefix_len())),
                        1 << bit,
                    ));
                }
            }
        }
    }
    // What is said of IPv6 addresses is not said of those of IPv4, although they lie among them.
    said_again(&mut v4);
    said_again(&mut v6);
    v4.append(&mut v6);
    v4.sort_unstable();
    PrefixList::new(&v4)
}

/// Puts prefixes in order, each once, and lets each say what those around it say.
fn said_again(prefixes: &mut Vec<Said>) {
    prefixes.sort_unstable();
    prefixes.dedup_by(|next, kept| {
        let same = next.0 == kept.0;
        kept.1 |= if same { next.1 } else { 0 };
        same
    });
    let mut around: Vec<Said> = Vec::new();
    for (key, value) in prefixes {
        while around.last().is_some_and(|(outer, _)| !has(*outer, key.0)) {
            around.pop();
        }
        *value |= around.last().map_or(0, |(_, value)| *value);
        around.push((*key, *value));
    }
}

#[cfg(test)]
#[path = "prefixes_tests.rs"]
mod tests;
