//! Owns the lists of prefixes in the kernel: one table holds all, each under a number of its own.
//!
//! Invariant: a list in force is never changed. Another content goes in under another number, and
//! the service's row names it when the row is switched; a list that no row in force names goes
//! ([`freeing`](super::freeing)). Lists of equal content are one.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::Arc,
    time::Duration,
};

use splitter_common::{
    address::Address,
    capacity::PREFIX_ROWS,
    layout::ServiceRow,
    prefix::{self, PrefixKey},
};

use super::{DataPlane, DataPlaneError, freeing::Freeing, maps::PrefixTable};
use crate::plan::{prefix_rows::Row, prefixes::PrefixList};

/// Rows that go in, or are read, at once.
const BATCH: usize = 4_096;
/// How long a commit waits for the room of lists that go.
const ROOM_WAIT: Duration = Duration::from_secs(10);

/// What is in the table, by list number.
pub(super) struct PrefixLists {
    /// Rows for which there is room.
    room: u32,
    table: Arc<PrefixTable>,
    lists: BTreeMap<u32, PrefixList>,
    freeing: Freeing,
}

impl PrefixLists {
    /// None, with room for so many rows.
    pub(super) fn new(room: u32, table: &Arc<PrefixTable>) -> Self {
        Self {
            room,
            table: Arc::clone(table),
            lists: BTreeMap::new(),
            freeing: Freeing::new(table),
        }
    }

    /// What an earlier process filled a table with.
    fn read(table: &PrefixTable) -> io::Result<BTreeMap<u32, PrefixList>> {
        let mut lists = BTreeMap::<u32, Vec<Row>>::new();
        table.each(BATCH, |found| {
            for (key, row) in found {
                let rows = lists.entry(key.list).or_default();
                rows.push(((key.bits, key.address), *row));
            }
            io::Result::Ok(())
        })?;
        let lists = lists.into_iter();
        Ok(lists
            .map(|(number, rows)| (number, PrefixList::of_rows(rows)))
            .collect())
    }

    /// The number of a list, which is put in unless it is there; 0 for the empty one.
    fn put(&mut self, list: &PrefixList) -> Result<u32, DataPlaneError> {
        if list.is_empty() {
            return Ok(0);
        }
        if let Some((number, there)) = self.lists.iter_mut().find(|(_, there)| *there == list) {
            // The planned one, which is found again while somebody has it, for one that was read back.
            *there = list.clone();
            return Ok(*number);
        }
        let taken: usize = self.lists.values().map(|list| list.rows().len()).sum();
        let rows = list.rows();
        let free = (self.room as usize).checked_sub(taken + rows.len());
        if free.is_none_or(|free| !self.freeing.wait(free, ROOM_WAIT)) {
            return Err(DataPlaneError::PrefixesFull {
                prefixes: list.said().len(),
                rows: rows.len(),
                all: self.room,
                limit: self.room / PREFIX_ROWS,
            });
        }
        let unused = |number: &u32| !self.lists.contains_key(number) && !self.freeing.has(*number);
        let number = (1..).find(unused).unwrap_or(u32::MAX);
        for batch in rows.chunks(BATCH) {
            let keys: Vec<_> = batch.iter().map(|row| key(number, row)).collect();
            let values: Vec<_> = batch.iter().map(|(_, row)| *row).collect();
            if let Err(error) = self.table.put_batch(&keys, &values) {
                self.freeing.free(number, list.clone());
                return Err(failed(&error));
            }
        }
        self.lists.insert(number, list.clone());
        Ok(number)
    }
}

fn failed(error: &io::Error) -> DataPlaneError {
    DataPlaneError::Map {
        map: "PREFIXES",
        why: error.to_string(),
    }
}

/// What a row of a list stands under.
pub(super) fn key(list: u32, ((bits, address), _): &Row) -> PrefixKey {
    PrefixKey {
        address: *address,
        list,
        bits: *bits,
    }
}

/// The lists that a row names.
fn named(row: &ServiceRow) -> impl Iterator<Item = u32> {
    [row.direct, row.deny, row.allow, row.segments.list]
        .into_iter()
        .filter(|list| *list != 0)
}

impl DataPlane {
    /// Learns what an earlier process left, and takes away what no row names.
    pub(super) fn adopt_prefixes(&mut self) -> Result<(), DataPlaneError> {
        self.prefixes.lists = self.prefix_lists()?;
        self.sweep_prefixes();
        Ok(())
    }

    /// The lists by number, as they stand in the kernel.
    pub fn prefix_lists(&self) -> Result<BTreeMap<u32, PrefixList>, DataPlaneError> {
        PrefixLists::read(&self.maps.prefixes).map_err(|error| failed(&error))
    }

    /// What a list says of an address, as the program finds it; 0 when it has it not.
    pub fn listed(&self, list: u32, address: Address) -> u32 {
        if list == 0 {
            return 0;
        }
        let row = |key: &_| self.maps.prefixes.look_up(key).ok().flatten();
        prefix::find(list, address, 0, row)
    }

    /// The number of a list, for a row to name.
    pub(super) fn list_of(&mut self, list: &PrefixList) -> Result<u32, DataPlaneError> {
        self.prefixes.put(list)
    }

    /// Takes away the lists that no row in force names.
    pub(super) fn sweep_prefixes(&mut self) {
        if self.prefixes.lists.is_empty() {
            return;
        }
        let mut unnamed: BTreeSet<u32> = self.prefixes.lists.keys().copied().collect();
        for number in 0..self.maps.service_words.len() {
            if self.maps.service_word(number).generation != 0 {
                for list in named(&self.maps.service_in_force(number)) {
                    unnamed.remove(&list);
                }
            }
        }
        for number in unnamed {
            if let Some(list) = self.prefixes.lists.remove(&number) {
                self.prefixes.freeing.free(number, list);
            }
        }
    }

    /// Waits until every list that nobody names is gone, but not longer than `timeout`; whether they
    /// are. For tests and the bench.
    pub fn prefixes_freed(&self, timeout: Duration) -> bool {
        self.prefixes.freeing.wait(0, timeout)
    }
}
