//! Owns the lists of prefixes in the kernel: one trie holds all, each under a number of its own.
//!
//! Invariant: a list in force is never changed. Another content goes in under another number, and
//! the service's row names it when the row is switched; a list that no row in force names goes.
//! Lists of equal content are one.

use std::{
    collections::{BTreeMap, BTreeSet},
    thread,
};

use aya::maps::lpm_trie::Key;
use splitter_common::{
    address::Address,
    layout::{PrefixKey, ServiceRow},
};

use super::{DataPlane, DataPlaneError, commit::REST, maps::Prefixes, pod::Raw};
use crate::plan::prefixes::PrefixList;

/// What is in the trie, by list number.
pub(super) struct PrefixLists {
    /// Prefixes for which there is room.
    room: u32,
    lists: BTreeMap<u32, PrefixList>,
}

impl PrefixLists {
    /// None, with room for so many prefixes.
    pub(super) fn new(room: u32) -> Self {
        Self {
            room,
            lists: BTreeMap::new(),
        }
    }

    /// What an earlier process filled a trie with.
    fn read(trie: &Prefixes) -> BTreeMap<u32, PrefixList> {
        let mut lists = BTreeMap::<u32, PrefixList>::new();
        for (key, value) in trie.iter().flatten() {
            let [a, b, c, d] = key.data().0.address.map(u64::from);
            let address = Address([a | b << 32, c | d << 32]);
            let bits = key.prefix_len() - PrefixKey::LIST_BITS;
            let list = lists.entry(key.data().0.list).or_default();
            list.insert((bits, address), value);
        }
        lists
    }

    /// The number of a list, which is put in unless it is there; 0 for the empty one.
    fn put(&mut self, trie: &mut Prefixes, list: &PrefixList) -> Result<u32, DataPlaneError> {
        if list.is_empty() {
            return Ok(0);
        }
        if let Some((number, _)) = self.lists.iter().find(|(_, there)| *there == list) {
            return Ok(*number);
        }
        let taken: usize = self.lists.values().map(PrefixList::len).sum();
        if taken + list.len() > self.room as usize {
            return Err(DataPlaneError::PrefixesFull {
                prefixes: list.len(),
                all: self.room,
            });
        }
        let unused = (1..).find(|number| !self.lists.contains_key(number));
        let number = unused.unwrap_or(u32::MAX);
        // Known before it is whole, so that what was put in of it is taken away.
        self.lists.insert(number, list.clone());
        for (prefix, value) in list {
            let put = trie.insert(&key(number, prefix), value, 0);
            put.map_err(|error| DataPlaneError::Map {
                map: "PREFIXES",
                why: error.to_string(),
            })?;
        }
        Ok(number)
    }

    fn remove(&mut self, trie: &mut Prefixes, number: u32) {
        for prefix in self.lists.remove(&number).unwrap_or_default().into_keys() {
            // One that never came in is no error.
            let _absent = trie.remove(&key(number, &prefix));
        }
    }
}

fn key(list: u32, (bits, address): &(u32, Address)) -> Key<Raw<PrefixKey>> {
    let data = PrefixKey::new(list, *address);
    Key::new(PrefixKey::LIST_BITS + bits, Raw(data))
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
        self.prefixes.put(&mut self.maps.prefixes, list)
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
        if !unnamed.is_empty() {
            // A program may still read the row that was switched from.
            thread::sleep(REST);
        }
        for number in unnamed {
            self.prefixes.remove(&mut self.maps.prefixes, number);
        }
    }
}
