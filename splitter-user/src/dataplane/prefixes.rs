//! Owns the lists of prefixes in the kernel: one trie holds all, each under a number of its own.
//!
//! Invariant: a list in force is never changed. Another content goes in under another number, and
//! the service's row names it when the row is switched; a list that no row in force names goes
//! ([`freeing`](super::freeing)). Lists of equal content are one.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use aya::maps::lpm_trie::Key;
use splitter_common::{
    address::Address,
    layout::{PrefixKey, ServiceRow},
};

use super::{
    DataPlane, DataPlaneError,
    freeing::Freeing,
    maps::{PrefixTable, Prefixes},
    pod::Raw,
};
use crate::plan::prefixes::{Listed, PrefixList};

/// Elements that go in at once.
const BATCH: usize = 4_096;
/// How long a commit waits for the room of lists that go.
const ROOM_WAIT: Duration = Duration::from_secs(10);

/// What is in the trie, by list number.
pub(super) struct PrefixLists {
    /// Prefixes for which there is room.
    room: u32,
    table: Arc<PrefixTable>,
    lists: BTreeMap<u32, PrefixList>,
    freeing: Freeing,
}

impl PrefixLists {
    /// None, with room for so many prefixes.
    pub(super) fn new(room: u32, table: &Arc<PrefixTable>) -> Self {
        Self {
            room,
            table: Arc::clone(table),
            lists: BTreeMap::new(),
            freeing: Freeing::new(table),
        }
    }

    /// What an earlier process filled a trie with.
    fn read(trie: &Prefixes) -> BTreeMap<u32, PrefixList> {
        let mut lists = BTreeMap::<u32, Vec<Listed>>::new();
        for (key, value) in trie.iter().flatten() {
            let [a, b, c, d] = key.data().0.address.map(u64::from);
            let address = Address([a | b << 32, c | d << 32]);
            let bits = key.prefix_len() - PrefixKey::LIST_BITS;
            let list = lists.entry(key.data().0.list).or_default();
            list.push(((bits, address), value));
        }
        let lists = lists.into_iter();
        lists
            .map(|(number, listed)| (number, PrefixList::new(listed)))
            .collect()
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
        let taken = self.lists.values().map(PrefixList::len).sum::<usize>() + list.len();
        let free = (self.room as usize).checked_sub(taken);
        if free.is_none_or(|free| !self.freeing.wait(free, ROOM_WAIT)) {
            return Err(DataPlaneError::PrefixesFull {
                prefixes: list.len(),
                all: self.room,
            });
        }
        let unused = |number: &u32| !self.lists.contains_key(number) && !self.freeing.has(*number);
        let number = (1..).find(unused).unwrap_or(u32::MAX);
        for batch in list.listed().chunks(BATCH) {
            let keys: Vec<_> = batch
                .iter()
                .map(|(prefix, _)| key(number, prefix))
                .collect();
            let values: Vec<u32> = batch.iter().map(|(_, value)| *value).collect();
            if let Err(error) = self.table.put_batch(&keys, &values) {
                self.freeing.free(number, list.clone());
                return Err(DataPlaneError::Map {
                    map: "PREFIXES",
                    why: error.to_string(),
                });
            }
        }
        self.lists.insert(number, list.clone());
        Ok(number)
    }
}

/// Where a list has a prefix: its length, then the words of [`PrefixKey`].
pub(super) fn key(list: u32, (bits, address): &(u32, Address)) -> [u32; 6] {
    let PrefixKey {
        list,
        address: [a, b, c, d],
    } = PrefixKey::new(list, *address);
    [PrefixKey::LIST_BITS + bits, list, a, b, c, d]
}

/// The lists that a row names.
fn named(row: &ServiceRow) -> impl Iterator<Item = u32> {
    [row.direct, row.deny, row.allow, row.segments.list]
        .into_iter()
        .filter(|list| *list != 0)
}

impl DataPlane {
    /// Learns what an earlier process left, and takes away what no row names.
    pub(super) fn adopt_prefixes(&mut self) {
        self.prefixes.lists = PrefixLists::read(&self.maps.prefixes);
        self.sweep_prefixes();
    }

    /// The lists by number, as they stand in the kernel; for tests.
    pub fn prefix_lists(&self) -> BTreeMap<u32, PrefixList> {
        PrefixLists::read(&self.maps.prefixes)
    }

    /// What a list says of an address, as the program finds it; 0 when it has it not.
    pub fn listed(&self, list: u32, address: Address) -> u32 {
        if list == 0 {
            return 0;
        }
        let key = Key::new(PrefixKey::BITS, Raw(PrefixKey::new(list, address)));
        self.maps.prefixes.get(&key, 0).unwrap_or(0)
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
