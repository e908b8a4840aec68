//! Owns the placing of members: who stands in which line, and who beside them. The law by which they are
//! found is [`splitter_common::members`]'.
//!
//! Invariants: whoever was found before a change and is meant to be after it is found during it; each
//! change takes effect with one store of a head. A process that ends between two steps leaves lines that
//! nobody finds, and they are given free by the next.

use std::{collections::HashMap, io};

use splitter_common::{
    address::Address,
    capacity::MEMBER_WINDOW,
    cohort::MemberRow,
    members::{Hash, Head, MemberLine},
};

/// The lines.
pub(super) trait Lines {
    /// How many there are.
    fn len(&self) -> u32;
    /// A line.
    fn read(&self, at: u32) -> MemberLine;
    /// Writes a line, its head too.
    fn write(&self, at: u32, line: &MemberLine);
    /// Switches to another head.
    fn set_head(&self, at: u32, head: Head);
}

/// The table beside them.
pub(super) trait Beside {
    /// What stands there of an address.
    fn row(&self, address: Address) -> io::Result<Option<MemberRow>>;
    /// Enters or replaces it.
    fn put(&self, address: Address, row: MemberRow) -> io::Result<()>;
    /// Takes it away; one that is not there is no error.
    fn remove(&self, address: Address) -> io::Result<()>;
    /// Hands on everything that stands there, some at a time.
    fn each<E: From<io::Error>>(
        &self,
        each: impl FnMut(&[(Address, MemberRow)]) -> Result<(), E>,
    ) -> Result<(), E>;
}

/// Where an address is to be looked for.
#[derive(Clone, Copy)]
struct Place {
    hash: Hash,
    home: u32,
    head: Head,
}

/// Both, and how many stand in lines.
#[derive(Debug)]
pub(super) struct Placing<L, B> {
    lines: L,
    beside: B,
    key: u64,
    homes: u32,
    in_lines: u64,
}

impl<L: Lines, B: Beside> Placing<L, B> {
    /// Of tables that may have members already, by homes that `key` draws. What a process that ended
    /// between two steps has left is put in order.
    pub(super) fn new(lines: L, beside: B, key: u64) -> io::Result<Self> {
        let homes = lines.len().saturating_sub(MEMBER_WINDOW - 1);
        let mut placing = Self {
            lines,
            beside,
            key,
            homes,
            in_lines: 0,
        };
        placing.free_unfound();
        placing.count_beside()?;
        Ok(placing)
    }

    /// Lines that are a home.
    pub(super) fn homes(&self) -> u32 {
        self.homes
    }

    /// How many addresses stand here.
    pub(super) fn count(&self) -> io::Result<u64> {
        let mut count = self.in_lines;
        self.beside.each(|rows| {
            count += rows.len() as u64;
            io::Result::Ok(())
        })?;
        Ok(count)
    }

    /// What stands here of an address.
    pub(super) fn row(&self, address: Address) -> io::Result<Option<MemberRow>> {
        let place = self.place(address);
        match self.distance(&place, address) {
            Some((_, line)) => Ok(Some(MemberRow { words: line.words })),
            None if place.head.beside() == 0 => Ok(None),
            None => self.beside.row(address),
        }
    }

    /// Hands on everything that stands here, at most `most` at a time.
    pub(super) fn each<E: From<io::Error>>(
        &self,
        most: usize,
        mut each: impl FnMut(&[(Address, MemberRow)]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut some = Vec::with_capacity(most);
        for at in 0..self.lines.len() {
            let line = self.lines.read(at);
            if line.owner != 0 {
                some.push((line.address, MemberRow { words: line.words }));
            }
            if some.len() == most {
                each(&some)?;
                some.clear();
            }
        }
        each(&some)?;
        self.beside.each(each)
    }

    /// Enters an address, or gives it another row.
    pub(super) fn put(&mut self, address: Address, row: MemberRow) -> io::Result<()> {
        let Place { hash, home, head } = self.place(address);
        let stands = self.distance(&Place { hash, home, head }, address);
        if stands.is_some_and(|(_, line)| line.words == row.words) {
            return Ok(());
        }
        if stands.is_none() && head.beside() != 0 && self.beside.row(address)?.is_some() {
            return self.beside.put(address, row);
        }
        let without = stands.map_or(head, |(distance, _)| head.without(distance));
        let free = (0..MEMBER_WINDOW).find(|free| self.lines.read(home + free).owner == 0);
        let after = match free {
            Some(free) => {
                let line = MemberLine {
                    head: self.lines.read(home + free).head,
                    address,
                    words: row.words,
                    owner: u64::from(home) + 1,
                };
                self.lines.write(home + free, &line);
                self.in_lines += 1;
                without.with(free, hash)
            }
            None => {
                self.beside.put(address, row)?;
                without.more()
            }
        };
        self.lines.set_head(home, after);
        if let Some((distance, _)) = stands {
            self.free(home + distance);
        }
        Ok(())
    }

    /// Takes an address away; one that is not there is no error.
    pub(super) fn remove(&mut self, address: Address) -> io::Result<()> {
        let place = self.place(address);
        let Place { home, head, .. } = place;
        if let Some((distance, _)) = self.distance(&place, address) {
            self.lines.set_head(home, head.without(distance));
            self.free(home + distance);
        } else if head.beside() != 0 && self.beside.row(address)?.is_some() {
            self.beside.remove(address)?;
            self.lines.set_head(home, head.less());
        }
        Ok(())
    }

    fn place(&self, address: Address) -> Place {
        let hash = Hash::of(address, self.key);
        let home = hash.home(self.homes);
        let head = Head(self.lines.read(home).head);
        Place { hash, home, head }
    }

    /// How far from home an address stands, and its line.
    fn distance(&self, place: &Place, address: Address) -> Option<(u32, MemberLine)> {
        let taken = (0..MEMBER_WINDOW).filter(|distance| place.head.has(*distance));
        let mut lines = taken.map(|distance| (distance, self.lines.read(place.home + distance)));
        lines.find(|(_, line)| line.address == address)
    }

    fn free(&mut self, at: u32) {
        let line = self.lines.read(at);
        self.lines.write(at, &MemberLine { owner: 0, ..line });
        self.in_lines -= 1;
    }

    /// Gives lines free that no head names, and takes back what heads say of lines that are another's.
    fn free_unfound(&mut self) {
        for at in 0..self.lines.len() {
            let line = self.lines.read(at);
            if line.owner == 0 {
                continue;
            }
            self.in_lines += 1;
            let place = self.place(line.address);
            let found = self.distance(&place, line.address);
            let here = found.is_some_and(|(distance, _)| place.home + distance == at);
            if !here || line.owner != u64::from(place.home) + 1 {
                self.free(at);
            }
        }
        for home in 0..self.homes {
            let head = Head(self.lines.read(home).head);
            let owned =
                |distance: &u32| self.lines.read(home + distance).owner == u64::from(home) + 1;
            let stale =
                (0..MEMBER_WINDOW).filter(|distance| head.has(*distance) && !owned(distance));
            let after = stale.fold(head, Head::without);
            if after != head {
                self.lines.set_head(home, after);
            }
        }
    }

    /// Counts who stands beside anew, by home; who stands in a line as well stands there alone.
    fn count_beside(&mut self) -> io::Result<()> {
        let mut beside = Vec::new();
        self.beside.each(|rows| {
            beside.extend(rows.iter().map(|(address, _)| *address));
            io::Result::Ok(())
        })?;
        let mut counts: HashMap<u32, u64> = HashMap::new();
        for address in beside {
            let place = self.place(address);
            if self.distance(&place, address).is_some() {
                self.beside.remove(address)?;
            } else {
                *counts.entry(place.home).or_default() += 1;
            }
        }
        for home in 0..self.homes {
            let head = Head(self.lines.read(home).head);
            let after = head.with_beside(counts.get(&home).copied().unwrap_or_default());
            if after != head {
                self.lines.set_head(home, after);
            }
        }
        Ok(())
    }
}
