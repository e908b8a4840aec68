//! Owns walks of a flow table: part by part, in memory that does not grow with the table, beside
//! everything else that goes on.
//!
//! A batch look-up gives whole buckets, so that a flow that stays is met exactly once. A key's
//! bucket is drawn by the kernel's own hash, seeded anew for every table: any run of buckets is a
//! fair sample of the flows. Positions are buckets, of which a hash map has the next power of two
//! of its entries (`htab_map_alloc` in kernel/bpf/hashtab.c).

use std::{io, sync::Arc};

use aya::maps::MapData;
use splitter_common::{
    flow::Entry,
    layout::{FlowEntry, FlowKey},
};

use super::typed::Typed;

/// What a kernel says that has no batch look-up for a kind of map (`ENOTSUPP`, which is not among
/// the errors of user space).
const NOT_SUPPORTED: i32 = 524;

/// A table of flows, by a file descriptor of its own: no lock is held while it is walked.
#[derive(Clone, Debug)]
pub struct FlowTable {
    map: Arc<Typed<FlowKey, FlowEntry>>,
    capacity: u32,
}

impl FlowTable {
    pub(super) fn of(data: &MapData) -> Result<Self, String> {
        let (map, capacity) = Typed::of(data)?;
        Ok(Self {
            map: Arc::new(map),
            capacity,
        })
    }

    /// Entries for which there is room.
    pub fn capacity(&self) -> u32 {
        self.capacity
    }

    /// Buckets.
    pub fn buckets(&self) -> u32 {
        self.capacity.next_power_of_two()
    }

    /// Ends a flow that was met with that entry: its next packet is answered with a RST. `false` when
    /// another flow has its key by now. What the packet path notes of it at the same instant is lost;
    /// a client that opens a new one by the same ports at that instant has that one ended.
    pub fn cut(&self, key: &FlowKey, met: &Entry) -> io::Result<bool> {
        let Some(there) = self.map.look_up(key)? else {
            return Ok(false);
        };
        let same = Entry::unpack(&there, key.tag()).is_some_and(|entry| {
            let identity = |entry: &Entry| (entry.generation, entry.backend, entry.began);
            identity(&entry) == identity(met)
        });
        if same {
            self.map.replace(key, &there.cut())
        } else {
            Ok(false)
        }
    }

    /// A walk that begins at `bucket` and takes about `part` flows at a time.
    pub fn walk(&self, bucket: u32, part: usize) -> Walk {
        Walk {
            map: Arc::clone(&self.map),
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
        Walk {
            at: At::Key(None),
            ..self.walk(0, part)
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
    map: Arc<Typed<FlowKey, FlowEntry>>,
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
            At::Bucket(bucket) => self.by_bucket(bucket)?,
            At::Key(key) => self.by_key(key)?,
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

    fn by_bucket(&mut self, bucket: u32) -> io::Result<usize> {
        let told = self.map.batch(bucket, &mut self.keys, &mut self.entries);
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

    fn by_key(&mut self, mut key: Option<FlowKey>) -> io::Result<usize> {
        let mut count = 0;
        while count < self.keys.len() && self.left > 0 {
            self.left -= 1;
            let Some(next) = self.map.next_key(key.as_ref())? else {
                self.at = At::End;
                return Ok(count);
            };
            key = Some(next);
            // One that has gone meanwhile is no flow.
            if let Some(entry) = self.map.look_up(&next)? {
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
