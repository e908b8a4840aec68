//! Owns the table of cohort members in the kernel, by address.
//!
//! Invariant: this process alone writes it; the program reads it and compares times with its own clock.

mod placing;
#[cfg(test)]
mod placing_tests;

use std::{
    fmt, io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use aya::Ebpf;
use splitter_common::{
    address::Address,
    capacity::members_of_lines,
    cohort::{self, MemberRow},
    layout::{Control, ServiceRow},
    members::{Head, MemberLine},
    traits::Traits,
};

use self::placing::{Beside, Lines, Placing};
use super::{
    DataPlane, DataPlaneError, keys,
    mapped::Mapped,
    maps::{mapped, table},
    typed::Typed,
};

const NAME: &str = "MEMBERS";
/// Elements that are read or written at once; more than any bucket has.
const BATCH: usize = 4_096;

type Placed = Placing<Mapped<MemberLine>, Typed<Address, MemberLine>>;

/// The table, which is written without the daemon's lock.
#[derive(Clone)]
pub struct MemberTable {
    placing: Arc<Mutex<Placed>>,
    capacity: u32,
}

impl fmt::Debug for MemberTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemberTable")
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}

impl MemberTable {
    /// Takes it out of the loaded object. A table that is new gets a key of its own, by which the program
    /// finds what stands there.
    pub(super) fn take(ebpf: &mut Ebpf, control: &Mapped<u64>) -> Result<Self, DataPlaneError> {
        let lines: Mapped<MemberLine> = mapped(ebpf, NAME)?;
        let (beside, _) = table(ebpf, "MEMBERS_BESIDE")?;
        let capacity = members_of_lines(lines.len());
        let key = keys::kept(control, Control::MemberKey, NAME)?;
        let placing = Placing::new(lines, beside, key, keys::random(NAME)? as u32);
        let placing = placing.map_err(|error| fault(&error))?;
        control.store_word(Control::MemberHomes as u32, u64::from(placing.homes()));
        Ok(Self {
            placing: Arc::new(Mutex::new(placing)),
            capacity,
        })
    }

    /// Addresses for which there is room.
    pub fn capacity(&self) -> u32 {
        self.capacity
    }

    /// What stands there of an address.
    pub fn row(&self, address: Address) -> io::Result<Option<MemberRow>> {
        self.lock().row(address)
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
        self.lock().count()
    }

    /// Hands on everything that stands there, some at a time. What is written meanwhile may be missed or come
    /// twice.
    pub fn each<E: From<io::Error>>(
        &self,
        mut each: impl FnMut(&[(Address, MemberRow)]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut at = Some(0);
        while let Some(from) = at {
            let (rows, next) = self.lock().in_lines(from, BATCH as u32);
            each(&rows)?;
            at = next;
        }
        let beside = self.lock().beside()?;
        beside.chunks(BATCH).try_for_each(each)
    }

    /// Writes elements, each as a whole. Of those that find no room the others do not suffer; the first error.
    pub fn put(&self, rows: &[(Address, MemberRow)]) -> io::Result<()> {
        let mut told = Ok(());
        for rows in rows.chunks(BATCH) {
            let mut placing = self.lock();
            for (address, row) in rows {
                told = told.and(placing.put(*address, *row));
            }
            drop(placing);
            // Who waits for one of them is to have its turn.
            thread::yield_now();
        }
        told
    }

    /// Removes elements; one that is not there is no error.
    pub fn remove(&self, addresses: &[Address]) -> io::Result<()> {
        for addresses in addresses.chunks(BATCH) {
            let mut placing = self.lock();
            for address in addresses {
                placing.remove(*address)?;
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Placed> {
        self.placing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn fault(error: &dyn fmt::Display) -> DataPlaneError {
    DataPlaneError::Map {
        map: NAME,
        why: error.to_string(),
    }
}

impl Lines for Mapped<MemberLine> {
    fn len(&self) -> u32 {
        self.len()
    }

    fn read(&self, at: u32) -> MemberLine {
        self.read(at)
    }

    fn write(&self, at: u32, line: &MemberLine) {
        self.write(at, line);
    }

    fn set_head(&self, at: u32, head: Head) {
        self.store_word(at, head.0);
    }
}

impl Beside for Typed<Address, MemberLine> {
    fn row(&self, address: Address) -> io::Result<Option<MemberRow>> {
        let line = self.look_up(&address)?;
        Ok(line.map(|MemberLine { words, .. }| MemberRow { words }))
    }

    fn put(&self, address: Address, row: MemberRow, stamp: u32) -> io::Result<()> {
        let line = MemberLine::beside(address, row.words, stamp);
        self.put_batch(&[address], &[line]).map_err(|error| {
            let full = rustix::io::Errno::TOOBIG.raw_os_error();
            if error.raw_os_error() != Some(full) {
                return error;
            }
            io::Error::other(
                "too many addresses find no line of the table of members: raise [limits] cohort_members",
            )
        })
    }

    fn remove(&self, address: Address) -> io::Result<()> {
        self.remove(&address).map(drop)
    }

    fn rows(&self) -> io::Result<Vec<(Address, MemberRow)>> {
        let mut all = Vec::new();
        self.each(BATCH, |lines| {
            let row = |line: &MemberLine| MemberRow { words: line.words };
            all.extend(lines.iter().map(|(address, line)| (*address, row(line))));
            io::Result::Ok(())
        })?;
        Ok(all)
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
        let found = found.map_err(|error| fault(&error))?;
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
