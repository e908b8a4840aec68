//! Owns the table of pending flows as this process sees it: arrays that it maps, and in which the program alone
//! writes.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

use aya::{Ebpf, maps::MapData};
use splitter_common::{
    flow::pending::{self, TAKEN},
    layout::{Control, FlowEntry, FlowKey, PendingFlow, PendingSet},
};

use super::{DataPlaneError, keys, mapped::Mapped, maps::mapped};

/// First word of the entry of a [`PendingFlow`].
const ENTRY: usize = size_of::<FlowKey>() / 8;
/// The map of places, which has not the name that layouts before 13 had for a hash table.
const PLACES: &str = "PENDING_PLACES";
/// The map of heads.
pub(super) const SETS: &str = "PENDING_SETS";

/// Flows by the heads of their sets.
pub(super) fn count(sets: MapData) -> Result<u64, DataPlaneError> {
    let sets = Mapped::<PendingSet>::new(SETS, sets)?;
    let heads = (0..sets.len()).flat_map(|set| sets.read(set).heads);
    Ok(heads.filter(|head| *head as u32 != 0).count() as u64)
}

/// The table.
pub(super) struct PendingTable {
    sets: Mapped<PendingSet>,
    flows: Mapped<PendingFlow>,
    key: u64,
}

impl fmt::Debug for PendingTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingTable")
            .field("capacity", &self.capacity())
            .finish_non_exhaustive()
    }
}

impl PendingTable {
    /// Takes it out of the loaded object. A table that is new gets a key of its own, by which the program draws
    /// sets.
    pub(super) fn take(ebpf: &mut Ebpf, control: &Mapped<u64>) -> Result<Self, DataPlaneError> {
        let sets: Mapped<PendingSet> = mapped(ebpf, SETS)?;
        control.store_word(Control::PendingSets as u32, u64::from(sets.len()));
        Ok(Self {
            sets,
            flows: mapped(ebpf, PLACES)?,
            key: keys::kept(control, Control::PendingKey, PLACES)?,
        })
    }

    /// Flows for which there is room.
    pub(super) fn capacity(&self) -> u32 {
        self.flows.len()
    }

    /// Sets.
    pub(super) fn sets(&self) -> u32 {
        self.sets.len()
    }

    /// The flows of a set.
    pub(super) fn of_set(&self, set: u32) -> impl Iterator<Item = (FlowKey, FlowEntry)> {
        let heads = self.sets.read(set).heads;
        (pending::place(set, 0)..)
            .zip(heads)
            .filter_map(|(place, head)| {
                let tag = head as u32;
                if tag == 0 || tag == TAKEN {
                    return None;
                }
                let flow = self.flows.read(place);
                let is_its = flow.key.tag() == tag && self.stays(place, tag);
                is_its.then_some((flow.key, flow.entry))
            })
    }

    /// A flow.
    pub(super) fn get(&self, key: &FlowKey) -> Option<FlowEntry> {
        let place = self.place(key)?;
        let entry = self.flows.read(place).entry;
        self.stays(place, key.tag()).then_some(entry)
    }

    /// Enters or replaces a flow, as the program does, for tests; `false` when another writes where it would stand.
    pub(super) fn put(&self, key: &FlowKey, entry: &FlowEntry) -> bool {
        let before = self.locate(key);
        let set = pending::set(before);
        let now = (self.head(before).load(Ordering::SeqCst) >> 32) as u32;
        let heads = self.sets.read(set).heads;
        let way = pending::enters(
            before,
            key.tag() >> 1,
            now,
            |way| heads[way as usize] as u32,
            |way| (heads[way as usize] >> 32) as u32,
        );
        let place = pending::place(set, way);
        let head = self.head(place);
        if head.swap(pending::head(TAKEN, now), Ordering::SeqCst) as u32 == TAKEN {
            return false;
        }
        for (at, word) in (ENTRY..).zip(entry.words) {
            self.flows.word(place, at).store(word, Ordering::SeqCst);
        }
        for (at, word) in pending::words(key).into_iter().enumerate() {
            self.flows.word(place, at).store(word, Ordering::SeqCst);
        }
        head.store(pending::head(key.tag(), now), Ordering::SeqCst);
        if pending::stands(before) {
            self.free(before, key.tag());
        }
        true
    }

    /// Takes a flow out, for tests; `false` when it is not there.
    pub(super) fn remove(&self, key: &FlowKey) -> bool {
        self.place(key)
            .is_some_and(|place| self.free(place, key.tag()))
    }

    fn free(&self, place: u32, tag: u32) -> bool {
        let freed = self
            .head(place)
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |head| {
                (head as u32 == tag).then_some(head >> 32 << 32)
            });
        freed.is_ok()
    }

    /// Whether what was read at a place was not written meanwhile, for another flow.
    fn stays(&self, place: u32, tag: u32) -> bool {
        self.head(place).load(Ordering::SeqCst) as u32 == tag
    }

    fn head(&self, place: u32) -> &AtomicU64 {
        let way = pending::way(place) as usize;
        self.sets.word(pending::set(place), way)
    }

    fn place(&self, key: &FlowKey) -> Option<u32> {
        Some(self.locate(key)).filter(|place| pending::stands(*place))
    }

    fn locate(&self, key: &FlowKey) -> u32 {
        let set = pending::set_of(pending::words(key), self.key, self.sets.len());
        let heads = self.sets.read(set).heads;
        pending::locate(
            set,
            key.tag(),
            |way| heads[way as usize] as u32,
            |place| self.flows.read(place).key == *key,
        )
    }
}
