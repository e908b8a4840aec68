//! Owns what the program counts, read in one sweep and without the daemon's lock.
//!
//! Invariant: each figure is the sum over CPUs of cells that only grow; a sweep takes a system call
//! for every [`AT_ONCE`] elements, by file descriptors of its own.

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
    sync::Arc,
};

use aya::{maps::MapData, util::nr_cpus};
use splitter_common::{
    capacity::MAX_VERSIONS,
    layout::{BackendCounters, TableEvent, VersionTimes},
    reason::{self, Reason, Verdict},
};

use super::{DataPlaneError, bpf, mapped::Mapped};

/// Elements that one system call takes.
const AT_ONCE: usize = 512;
/// Elements in between that are read along rather than a call more made.
const NEAR: u32 = 32;

/// All that is counted.
pub struct Totals {
    pub(super) counters: Sums,
    pub(super) reasons: Sums,
    pub(super) table_events: Sums,
    pub(super) emptied: Sums,
    pub(super) version_times: Arc<Mapped<VersionTimes>>,
}

impl Totals {
    /// What the backends of these numbers have counted, in the order of the numbers.
    pub fn backends(&self, numbers: &Ranges) -> io::Result<Vec<(u32, BackendCounters)>> {
        let mut all = Vec::new();
        for (first, count) in &numbers.0 {
            let sums = self.counters.read(*first, *count)?;
            let rows = sums.chunks_exact(self.counters.words);
            for (number, row) in (*first..).zip(rows) {
                let mut counters = BackendCounters::default();
                for (cell, sum) in counters.cells.iter_mut().zip(row) {
                    *cell = *sum;
                }
                all.push((number, counters));
            }
        }
        Ok(all)
    }

    /// How long the backends of a version took.
    pub fn version_times(&self, service: u32, version: u8) -> VersionTimes {
        let place = service * MAX_VERSIONS as u32 + u32::from(version);
        self.version_times.read(place)
    }

    /// Packets by reason and verdict; only those above 0.
    pub fn reasons(&self) -> io::Result<Vec<(Reason, Verdict, u64)>> {
        let cells = self.reasons.read(0, self.reasons.entries)?;
        let mut counts = Vec::new();
        for reason in Reason::ALL {
            for verdict in Verdict::ALL {
                let cell = reason::cell(*reason, verdict) as usize;
                match cells.get(cell) {
                    Some(0) | None => {}
                    Some(packets) => counts.push((*reason, verdict, *packets)),
                }
            }
        }
        Ok(counts)
    }

    /// What has happened to the flow tables, by [`TableEvent`].
    pub fn table_events(&self) -> io::Result<[u64; 4]> {
        let cells = self.table_events.read(0, self.table_events.entries)?;
        let events = [
            TableEvent::PendingInserts,
            TableEvent::PendingRemovals,
            TableEvent::EstablishedInserts,
            TableEvent::EstablishedRemovals,
        ];
        Ok(events.map(|event| cells.get(event as usize).copied().unwrap_or(0)))
    }

    /// New flows of clients whose version had no backend: by service number, below `services`, and
    /// version index.
    pub fn emptied(&self, services: u32) -> io::Result<Vec<[u64; MAX_VERSIONS]>> {
        let cells = self.emptied.read(0, services * MAX_VERSIONS as u32)?;
        let (services, _) = cells.as_chunks();
        Ok(services.to_vec())
    }
}

/// Runs of numbers: the first of each and how many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(Vec<(u32, u32)>);

impl Ranges {
    /// Runs that hold all these numbers, and few others.
    pub fn over(numbers: impl IntoIterator<Item = u32>) -> Self {
        let mut numbers: Vec<u32> = numbers.into_iter().collect();
        numbers.sort_unstable();
        let mut runs: Vec<(u32, u32)> = Vec::new();
        for number in numbers {
            match runs.last_mut() {
                Some((first, count)) if number - *first < *count + NEAR => {
                    *count = (*count).max(number - *first + 1);
                }
                Some(_) | None => runs.push((number, 1)),
            }
        }
        Self(runs)
    }
}

/// A per-CPU array whose values are words.
pub(super) struct Sums {
    map: OwnedFd,
    /// Of one value.
    words: usize,
    cpus: usize,
    entries: u32,
}

impl Sums {
    pub(super) fn of(name: &'static str, data: &MapData) -> Result<Self, DataPlaneError> {
        let failed = |why: String| DataPlaneError::Map { map: name, why };
        let info = data.info().map_err(|error| failed(error.to_string()))?;
        let map = data.fd().as_fd().try_clone_to_owned();
        let cpus = nr_cpus().map_err(|(file, error)| failed(format!("{file}: {error}")))?;
        Ok(Self {
            map: map.map_err(|error| failed(error.to_string()))?,
            words: info.value_size().div_ceil(8).max(1) as usize,
            cpus,
            entries: info.max_entries(),
        })
    }

    /// `count` elements from `first` on, each the sums of its words.
    fn read(&self, first: u32, count: u32) -> io::Result<Vec<u64>> {
        let end = first.saturating_add(count).min(self.entries);
        let each = self.words * self.cpus;
        let room = (end.saturating_sub(first) as usize).min(AT_ONCE);
        let (mut keys, mut values) = (vec![0; room], vec![0; room * each]);
        let mut sums = Vec::with_capacity(end.saturating_sub(first) as usize * self.words);
        let mut next = first;
        while next < end {
            let wanted = ((end - next) as usize).min(room);
            let keys = &mut keys[..wanted];
            let came = bpf::array_batch(&self.map, next, keys, &mut values, each)?;
            if came == 0 {
                break;
            }
            for element in values[..came * each].chunks_exact(each) {
                let at = sums.len();
                sums.resize(at + self.words, 0);
                for cpu in element.chunks_exact(self.words) {
                    for (sum, word) in sums[at..].iter_mut().zip(cpu) {
                        *sum += word;
                    }
                }
            }
            next += came as u32;
        }
        Ok(sums)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_in_few_runs_that_hold_them_all() {
        assert_eq!(Ranges::over([]), Ranges::default());
        assert_eq!(Ranges::over([5, 3, 4]).0, [(3, 3)]);
        assert_eq!(Ranges::over([1, 1 + NEAR]).0, [(1, 33)], "one call");
        assert_eq!(Ranges::over([1, 2 + NEAR]).0, [(1, 1), (2 + NEAR, 1)]);
        assert_eq!(Ranges::over([7, 7, 9]).0, [(7, 3)]);
    }
}
