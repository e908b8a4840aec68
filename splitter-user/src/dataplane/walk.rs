//! Owns walks of a flow table: part by part, in memory that does not grow with the table, beside
//! everything else that goes on.
//!
//! A batch look-up gives whole buckets, so that a flow that stays is met exactly once. A key's
//! bucket is drawn by the kernel's own hash, seeded anew for every table: any run of buckets is a
//! fair sample of the flows. The same holds of pending flows, whose buckets are their sets. Positions
//! are buckets, of which a hash map has the next power of two of its entries (`htab_map_alloc` in
//! kernel/bpf/hashtab.c).

use std::{io, sync::Arc};

use aya::maps::MapData;
use splitter_common::{
    capacity::PENDING_WAYS,
    flow::Entry,
    layout::{FlowEntry, FlowKey},
};

use super::{pending::PendingTable, typed::Typed};

/// What a kernel says that has no batch look-up for a kind of map (`ENOTSUPP`, which is not among
/// the errors of user space).
const NOT_SUPPORTED: i32 = 524;

/// A table of flows, by a file descriptor of its own: no lock is held while it is walked.
#[derive(Clone, Debug)]
pub struct FlowTable {
    flows: Flows,
    capacity: u32,
}

#[derive(Clone, Debug)]
enum Flows {
    /// In a hash table of the kernel's.
    Hashed(Arc<Typed<FlowKey, FlowEntry>>),
    /// In sets of ours.
    Sets(Arc<PendingTable>),
}

impl FlowTable {
    pub(super) fn of(data: &MapData) -> Result<Self, String> {
        let (map, capacity) = Typed::of(data)?;
        Ok(Self {
            flows: Flows::Hashed(Arc::new(map)),
            capacity,
        })
    }

    pub(super) fn of_pending(table: &Arc<PendingTable>) -> Self {
        Self {
            flows: Flows::Sets(Arc::clone(table)),
            capacity: table.capacity(),
        }
    }

    /// Entries for which there is room.
    pub fn capacity(&self) -> u32 {
        self.capacity
    }

    /// Buckets.
    pub fn buckets(&self) -> u32 {
        match &self.flows {
            Flows::Hashed(_) => self.capacity.next_power_of_two(),
            Flows::Sets(table) => table.sets(),
        }
    }

    /// Ends an established flow that was met with that entry: its next packet is answered with a RST. `false` when
    /// another flow has its key by now. What the packet path notes of it at the same instant is lost;
    /// a client that opens a new one by the same ports at that instant has that one ended.
    pub fn cut(&self, key: &FlowKey, met: &Entry) -> io::Result<bool> {
        let Flows::Hashed(map) = &self.flows else {
            return Ok(false);
        };
        let Some(there) = map.look_up(key)? else {
            return Ok(false);
        };
        let same = Entry::unpack(&there, key.tag()).is_some_and(|entry| {
            let identity = |entry: &Entry| (entry.generation, entry.backend, entry.began);
            identity(&entry) == identity(met)
        });
        if same {
            map.replace(key, &there.cut())
        } else {
            Ok(false)
        }
    }

    /// A walk that begins at `bucket` and takes about `part` flows at a time.
    pub fn walk(&self, bucket: u32, part: usize) -> Walk {
        Walk {
            flows: self.flows.clone(),
            at: At::Bucket(bucket),
            keys: vec![FlowKey::default(); part],
            entries: vec![FlowEntry::default(); part],
            left: u64::from(self.capacity),
        }
    }

    /// The same from the beginning, one key after the other: how kernels without batch look-up are
    /// walked. Under traffic the kernel begins anew after a key that is gone, so that flows may be
    /// met twice and others never.
    pub fn walk_by_keys(&self, part: usize) -> Walk {
        let walk = self.walk(0, part);
        match self.flows {
            Flows::Hashed(_) => Walk {
                at: At::Key(None),
                ..walk
            },
            // They are read without asking the kernel.
            Flows::Sets(_) => walk,
        }
    }
}

/// Where a walk is.
#[derive(Clone, Copy)]
enum At {
    /// At a bucket.
    Bucket(u32),
    /// Behind a key.
    Key(Option<FlowKey>),
    /// At the end.
    End,
}

/// A walk over a flow table.
pub struct Walk {
    flows: Flows,
    at: At,
    keys: Vec<FlowKey>,
    entries: Vec<FlowEntry>,
    /// Keys that may still be met, where a walk could go round for ever.
    left: u64,
}

impl Walk {
    /// Meets the next flows; `false` when there are none left.
    pub fn next(&mut self, mut each: impl FnMut(&FlowKey, &FlowEntry)) -> io::Result<bool> {
        let count = match self.at {
            At::Bucket(bucket) => match self.flows.clone() {
                Flows::Hashed(map) => self.by_bucket(&map, bucket)?,
                Flows::Sets(table) => self.by_set(&table, bucket),
            },
            At::Key(key) => match self.flows.clone() {
                Flows::Hashed(map) => self.by_key(&map, key)?,
                Flows::Sets(_) => return Ok(false),
            },
            At::End => return Ok(false),
        };
        for (key, entry) in self.keys.iter().zip(&self.entries).take(count) {
            each(key, entry);
        }
        Ok(true)
    }

    /// The bucket to go on at; `None` at the end, and where the kernel does not tell.
    pub fn bucket(&self) -> Option<u32> {
        match self.at {
            At::Bucket(bucket) => Some(bucket),
            At::Key(_) | At::End => None,
        }
    }

    /// Whether buckets are told, on which all counting of parts rests.
    pub fn tells_buckets(&self) -> bool {
        !matches!(self.at, At::Key(_))
    }

    fn by_set(&mut self, table: &PendingTable, mut set: u32) -> usize {
        let room = self.keys.len().max(PENDING_WAYS as usize);
        self.keys.resize(room, FlowKey::default());
        self.entries.resize(room, FlowEntry::default());
        let mut count = 0;
        while set < table.sets() && count + PENDING_WAYS as usize <= room {
            for (key, entry) in table.of_set(set) {
                (self.keys[count], self.entries[count]) = (key, entry);
                count += 1;
            }
            set += 1;
        }
        self.at = if set < table.sets() {
            At::Bucket(set)
        } else {
            At::End
        };
        count
    }

    fn by_bucket(&mut self, map: &Typed<FlowKey, FlowEntry>, bucket: u32) -> io::Result<usize> {
        let told = map.batch(bucket, &mut self.keys, &mut self.entries);
        match told {
            Ok(batch) => {
                self.at = batch.next.map_or(At::End, At::Bucket);
                Ok(batch.count)
            }
            // One bucket alone has more.
            Err(error) if error.raw_os_error() == Some(libc::ENOSPC) => {
                let room = self.keys.len() * 2;
                self.keys.resize(room, FlowKey::default());
                self.entries.resize(room, FlowEntry::default());
                Ok(0)
            }
            Err(error) if error.raw_os_error() == Some(NOT_SUPPORTED) => {
                self.at = At::Key(None);
                Ok(0)
            }
            Err(error) => Err(error),
        }
    }

    fn by_key(
        &mut self,
        map: &Typed<FlowKey, FlowEntry>,
        mut key: Option<FlowKey>,
    ) -> io::Result<usize> {
        let mut count = 0;
        while count < self.keys.len() && self.left > 0 {
            self.left -= 1;
            let Some(next) = map.next_key(key.as_ref())? else {
                self.at = At::End;
                return Ok(count);
            };
            key = Some(next);
            // One that has gone meanwhile is no flow.
            if let Some(entry) = map.look_up(&next)? {
                (self.keys[count], self.entries[count]) = (next, entry);
                count += 1;
            }
        }
        self.at = if self.left == 0 {
            At::End
        } else {
            At::Key(key)
        };
        Ok(count)
    }
}
