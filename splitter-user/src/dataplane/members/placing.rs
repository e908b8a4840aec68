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
    /// Enters or replaces it, under a stamp that no earlier element of it had.
    fn put(&self, address: Address, row: MemberRow, stamp: u32) -> io::Result<()>;
    /// Takes it away; one that is not there is no error.
    fn remove(&self, address: Address) -> io::Result<()>;
    /// Everything that stands there.
    fn rows(&self) -> io::Result<Vec<(Address, MemberRow)>>;
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
    /// Of the last writing.
    stamp: u32,
}

impl<L: Lines, B: Beside> Placing<L, B> {
    /// Of tables that may have members already, by homes that `key` draws. What a process that ended
    /// between two steps has left is put in order. `stamp`: where stamps go on, elsewhere than an earlier
    /// process's.
    pub(super) fn new(lines: L, beside: B, key: u64, stamp: u32) -> io::Result<Self> {
        let homes = lines.len().saturating_sub(MEMBER_WINDOW - 1);
        let mut placing = Self {
            lines,
            beside,
            key,
            homes,
            in_lines: 0,
            stamp,
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
        Ok(self.in_lines + self.beside()?.len() as u64)
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

    /// Who stands in lines from `at` on, at most so many lines; with the line to go on at.
    pub(super) fn in_lines(&self, at: u32, most: u32) -> (Vec<(Address, MemberRow)>, Option<u32>) {
        let end = at.saturating_add(most).min(self.lines.len());
        let lines = (at..end).map(|at| self.lines.read(at));
        let taken = lines.filter(|line| line.owner() != 0);
        let rows = taken.map(|line| (line.address, MemberRow { words: line.words }));
        (rows.collect(), (end < self.lines.len()).then_some(end))
    }

    /// Who stands beside them.
    pub(super) fn beside(&self) -> io::Result<Vec<(Address, MemberRow)>> {
        self.beside.rows()
    }

    /// Enters an address, or gives it another row.
    pub(super) fn put(&mut self, address: Address, row: MemberRow) -> io::Result<()> {
        let place = self.place(address);
        let Place { hash, home, head } = place;
        let stands = self.distance(&place, address);
        if stands.is_some_and(|(_, line)| line.words == row.words) {
            return Ok(());
        }
        let beside = match stands {
            None if head.beside() != 0 => self.beside.row(address)?,
            _ => None,
        };
        let free = (0..MEMBER_WINDOW).find(|free| self.lines.read(home + free).owner() == 0);
        self.stamp = self.stamp.wrapping_add(1);
        let Some(free) = free else {
            if beside != Some(row) {
                self.beside.put(address, row, self.stamp)?;
            }
            if let Some((distance, _)) = stands {
                self.lines.set_head(home, head.without(distance).more());
                self.free(home + distance);
            } else if beside.is_none() {
                self.lines.set_head(home, head.more());
            }
            return Ok(());
        };
        self.lines.write(
            home + free,
            &MemberLine {
                head: self.lines.read(home + free).head,
                address,
                words: row.words,
                owner: u64::from(self.stamp) << 32 | u64::from(home + 1),
            },
        );
        self.in_lines += 1;
        let head = head.with(free, hash);
        if let Some((distance, _)) = stands {
            self.lines.set_head(home, head.without(distance));
            self.free(home + distance);
        } else if beside.is_some() {
            self.lines.set_head(home, head.less());
            self.beside.remove(address)?;
        } else {
            self.lines.set_head(home, head);
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
        let owner = line.owner & !u64::from(u32::MAX);
        self.lines.write(at, &MemberLine { owner, ..line });
        self.in_lines -= 1;
    }

    /// Gives lines free that no head names, and takes back what heads say of lines that are another's.
    fn free_unfound(&mut self) {
        for at in 0..self.lines.len() {
            let line = self.lines.read(at);
            if line.owner() == 0 {
                continue;
            }
            self.in_lines += 1;
            let place = self.place(line.address);
            let found = self.distance(&place, line.address);
            let here = found.is_some_and(|(distance, _)| place.home + distance == at);
            if !here || line.owner() != place.home + 1 {
                self.free(at);
            }
        }
        for home in 0..self.homes {
            let head = Head(self.lines.read(home).head);
            let owned = |distance: &u32| self.lines.read(home + distance).owner() == home + 1;
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
        let beside = self.beside()?.into_iter().map(|(address, _)| address);
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
