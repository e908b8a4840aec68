//! Owns the table of cohort members in the kernel, by address.
//!
//! Invariant: this process alone writes it; the program reads it and compares times with its own clock.

use std::{io, sync::Arc};

use aya::Ebpf;
use splitter_common::{
    address::Address,
    capacity::MEMBER_ROWS,
    cohort::{self, MemberRow},
    layout::ServiceRow,
    traits::Traits,
};

use super::{DataPlane, DataPlaneError, maps::table, typed::Typed};

const NAME: &str = "MEMBERS";

/// The table, by a file descriptor of its own: it is written without the daemon's lock.
#[derive(Clone, Debug)]
pub struct MemberTable {
    map: Arc<Typed<Address, MemberRow>>,
    capacity: u32,
}

impl MemberTable {
    /// Elements that are read at once; more than any bucket has.
    const BATCH: usize = 4_096;

    /// Takes it out of the loaded object.
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self, DataPlaneError> {
        let (map, rows) = table(ebpf, NAME)?;
        Ok(Self {
            map: Arc::new(map),
            capacity: rows / MEMBER_ROWS,
        })
    }

    /// Addresses for which there is room.
    pub fn capacity(&self) -> u32 {
        self.capacity
    }

    /// What stands there of an address.
    pub fn row(&self, address: Address) -> io::Result<Option<MemberRow>> {
        self.map.look_up(&address)
    }

    /// Everything that stands there.
    pub fn rows(&self) -> io::Result<Vec<(Address, MemberRow)>> {
        let mut all = Vec::new();
        self.each(|rows| {
            all.extend_from_slice(rows);
            io::Result::Ok(())
        })?;
        Ok(all)
    }

    /// How many addresses stand there.
    pub fn count(&self) -> io::Result<u64> {
        let mut count = 0;
        self.each(|rows| {
            count += rows.len() as u64;
            io::Result::Ok(())
        })?;
        Ok(count)
    }

    /// Hands on everything that stands there, some at a time.
    pub fn each<E: From<io::Error>>(
        &self,
        each: impl FnMut(&[(Address, MemberRow)]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.map.each(Self::BATCH, each)
    }

    /// Writes elements, each as a whole.
    pub fn put(&self, rows: &[(Address, MemberRow)]) -> io::Result<()> {
        for rows in rows.chunks(Self::BATCH) {
            let (keys, rows): (Vec<_>, Vec<_>) = rows.iter().copied().unzip();
            self.map.put_batch(&keys, &rows)?;
        }
        Ok(())
    }

    /// Removes elements; one that is not there is no error.
    pub fn remove(&self, addresses: &[Address]) -> io::Result<()> {
        for address in addresses {
            self.map.remove(address)?;
        }
        Ok(())
    }
}

impl DataPlane {
    /// The table of members.
    pub fn members(&self) -> MemberTable {
        self.maps.members.clone()
    }

    /// The conditions of a service's segments that hold of a client, as the program finds them, at the time
    /// when the clock was last read, which is once a second while a daemon runs.
    pub fn conditions_lately(
        &self,
        row: &ServiceRow,
        client: Address,
        traits: Traits,
    ) -> Result<u32, DataPlaneError> {
        if row.segments.cohorts[0] == 0 {
            return Ok(self.conditions_with(row, client, None, traits));
        }
        let found = self.maps.members.row(client);
        let found = found.map_err(|error| DataPlaneError::Map {
            map: NAME,
            why: error.to_string(),
        })?;
        Ok(self.conditions_with(row, client, found.as_ref(), traits))
    }

    /// The same with an element of the table of members that need not stand there; `None`: the client is
    /// in no cohort.
    pub fn conditions_with(
        &self,
        row: &ServiceRow,
        client: Address,
        member: Option<&MemberRow>,
        traits: Traits,
    ) -> u32 {
        let asks = &row.segments.traits;
        let others = self.listed(row.segments.list, client) | asks.conditions(traits);
        let Some(MemberRow { words }) = member else {
            return others;
        };
        others | cohort::conditions(&row.segments.cohorts, *words, client, self.lately())
    }
}
