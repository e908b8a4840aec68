use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    io,
    rc::Rc,
};

use proptest::prelude::*;
use splitter_common::{
    address::Address,
    capacity::{member_lines, members_beside},
    cohort::MemberRow,
    members::{self, Hash, Head, MemberLine},
};

use super::placing::{Beside, Lines, Placing};

const KEY: u64 = 42;

/// Both tables as the program sees them, after each store.
#[derive(Clone, Debug, Default, PartialEq)]
struct Tables {
    lines: Vec<MemberLine>,
    beside: BTreeMap<Address, MemberRow>,
}

/// What became of them, state by state.
#[derive(Default)]
struct Seen {
    now: Tables,
    states: Vec<Tables>,
    /// How many may stand beside.
    room: usize,
    /// States are not kept.
    forgetful: bool,
}

#[derive(Clone, Default)]
struct Shared(Rc<RefCell<Seen>>);

impl Shared {
    fn of(tables: Tables, room: usize) -> Self {
        let seen = Seen {
            now: tables,
            states: Vec::new(),
            room,
            forgetful: false,
        };
        Self(Rc::new(RefCell::new(seen)))
    }

    fn change(&self, change: impl FnOnce(&mut Tables)) {
        let seen = &mut *self.0.borrow_mut();
        change(&mut seen.now);
        if !seen.forgetful {
            seen.states.push(seen.now.clone());
        }
    }

    fn states(&self) -> Vec<Tables> {
        std::mem::take(&mut self.0.borrow_mut().states)
    }
}

impl Lines for Shared {
    fn len(&self) -> u32 {
        self.0.borrow().now.lines.len() as u32
    }

    fn read(&self, at: u32) -> MemberLine {
        self.0.borrow().now.lines[at as usize]
    }

    fn write(&self, at: u32, line: &MemberLine) {
        // Word by word, as the mapped array is written.
        let words: [u64; 8] = bytemuck::cast(*line);
        for (index, word) in words.into_iter().enumerate() {
            self.change(|tables| {
                let line: &mut [u64; 8] = bytemuck::cast_mut(&mut tables.lines[at as usize]);
                line[index] = word;
            });
        }
    }

    fn set_head(&self, at: u32, head: Head) {
        self.change(|tables| tables.lines[at as usize].head = head.0);
    }
}

impl Beside for Shared {
    fn row(&self, address: Address) -> io::Result<Option<MemberRow>> {
        Ok(self.0.borrow().now.beside.get(&address).copied())
    }

    fn put(&self, address: Address, row: MemberRow, _stamp: u32) -> io::Result<()> {
        let seen = self.0.borrow();
        if !seen.now.beside.contains_key(&address) && seen.now.beside.len() == seen.room {
            return Err(io::Error::other("full"));
        }
        drop(seen);
        self.change(|tables| {
            tables.beside.insert(address, row);
        });
        Ok(())
    }

    fn remove(&self, address: Address) -> io::Result<()> {
        self.change(|tables| {
            tables.beside.remove(&address);
        });
        Ok(())
    }

    fn rows(&self) -> io::Result<Vec<(Address, MemberRow)>> {
        Ok(self.0.borrow().now.beside.clone().into_iter().collect())
    }
}

impl Tables {
    fn empty(members: u32) -> Self {
        Self {
            lines: vec![MemberLine::default(); member_lines(members) as usize],
            beside: BTreeMap::new(),
        }
    }

    /// The first word that the program finds of an address; 0: it finds none.
    fn found(&self, address: Address) -> u32 {
        let place = members::locate(
            Hash::of(address, KEY),
            self.lines.len() as u32 - 7,
            |at| Head(self.lines[at as usize].head),
            |at| self.lines[at as usize].address == address,
        );
        let words = match place {
            members::NOWHERE => None,
            members::BESIDE => self.beside.get(&address).map(|row| row.words),
            at => Some(self.lines[at as usize].words),
        };
        words.map_or(0, |[word, ..]| word as u32)
    }
}

fn address(number: u8) -> Address {
    Address([0, u64::from(number) << 32])
}

fn row(bits: u32) -> MemberRow {
    MemberRow {
        words: [u64::from(bits), 0, 0, 0],
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Put(u8, u32),
    Remove(u8),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..40_u8, 0..4_u32).prop_map(|(of, bit)| Step::Put(of, 1 << bit)),
        3 => (0..40_u8).prop_map(Step::Remove),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    /// Eleven homes and some thirty members: windows are full, and many stand beside.
    #[test]
    fn nobody_is_lost_and_nobody_is_found_who_is_not_there(
        steps in proptest::collection::vec(step(), 1..120),
    ) {
        let shared = Shared::of(Tables::empty(7), 40);
        let new = || Placing::new(shared.clone(), shared.clone(), KEY, 0);
        let mut placing = new().expect("no fault");
        let mut model: BTreeMap<u8, u32> = BTreeMap::new();
        for step in steps {
            let before = model.clone();
            match step {
                Step::Put(of, bits) => {
                    placing.put(address(of), row(bits)).expect("there is room");
                    model.insert(of, bits);
                }
                Step::Remove(of) => {
                    placing.remove(address(of)).expect("no fault");
                    model.remove(&of);
                }
                Step::Restart => placing = new().expect("no fault"),
            }
            for state in shared.states() {
                for of in 0..40 {
                    let found = state.found(address(of));
                    let allowed = [&before, &model].map(|of_all| of_all.get(&of).copied().unwrap_or(0));
                    prop_assert!(allowed.contains(&found), "{step:?}: {of}: {found}, not {allowed:?}");
                }
            }
            for of in 0..40 {
                let expected = model.get(&of).map(|bits| row(*bits));
                prop_assert_eq!(placing.row(address(of)).expect("no fault"), expected);
                prop_assert_eq!(shared.0.borrow().now.found(address(of)), model.get(&of).copied().unwrap_or(0));
            }
            prop_assert_eq!(placing.count().expect("no fault"), model.len() as u64);
        }
        let mut rows = placing.beside().expect("no fault");
        let mut at = Some(0);
        while let Some(from) = at {
            let (some, next) = placing.in_lines(from, 4);
            rows.extend(some);
            at = next;
        }
        let all: BTreeSet<_> = rows.iter().map(|(address, row)| (*address, row.words[0] as u32)).collect();
        prop_assert_eq!(all.len(), rows.len());
        let expected: BTreeSet<_> = model.iter().map(|(of, bits)| (address(*of), *bits)).collect();
        prop_assert_eq!(all, expected);
    }

    /// Wherever a change is cut short, the next process finds everybody else, and once it was told
    /// again what is to be there it has that and no more.
    #[test]
    fn a_change_cut_short_is_put_in_order(
        puts in proptest::collection::vec((0..40_u8, 0..4_u32), 1..60),
        removed in proptest::collection::vec(0..40_u8, 0..20),
    ) {
        let shared = Shared::of(Tables::empty(7), 40);
        let mut placing = Placing::new(shared.clone(), shared.clone(), KEY, 0).expect("no fault");
        let mut model: BTreeMap<u8, u32> = BTreeMap::new();
        for (of, bit) in puts {
            placing.put(address(of), row(1 << bit)).expect("there is room");
            model.insert(of, 1 << bit);
        }
        for of in removed {
            shared.states();
            placing.put(address(of), row(8)).expect("there is room");
            let over = (shared.states(), Some(8));
            placing.remove(address(of)).expect("no fault");
            let without = (shared.states(), None);
            placing.put(address(of), row(16)).expect("there is room");
            let with = (shared.states(), Some(16));
            for (states, now) in [over, without, with] {
                match now {
                    Some(bits) => model.insert(of, bits),
                    None => model.remove(&of),
                };
                for state in states {
                    let cut = Shared::of(state, 40);
                    let mut next = Placing::new(cut.clone(), cut.clone(), KEY, 0).expect("no fault");
                    for (other, bits) in model.iter().filter(|(other, _)| **other != of) {
                        prop_assert_eq!(cut.0.borrow().now.found(address(*other)), *bits);
                    }
                    for other in (0..40).filter(|other| !model.contains_key(other)) {
                        next.remove(address(other)).expect("no fault");
                    }
                    for (other, bits) in &model {
                        next.put(address(*other), row(*bits)).expect("there is room");
                    }
                    prop_assert_eq!(next.count().expect("no fault"), model.len() as u64);
                    for other in 0..40 {
                        let bits = model.get(&other).copied().unwrap_or(0);
                        prop_assert_eq!(cut.0.borrow().now.found(address(other)), bits);
                    }
                }
            }
        }
    }
}

#[test]
fn who_finds_no_room_is_told_and_nobody_else_suffers() {
    let shared = Shared::of(Tables::empty(7), 2);
    let mut placing = Placing::new(shared.clone(), shared.clone(), KEY, 0).expect("no fault");
    let put: Vec<u8> = (0..40)
        .filter(|of| placing.put(address(*of), row(1)).is_ok())
        .collect();
    assert!(put.len() < 40);
    // Who changes and finds no room keeps what it had.
    let changed = put
        .iter()
        .filter(|of| placing.put(address(**of), row(2)).is_ok());
    let changed: Vec<u8> = changed.copied().collect();
    for of in 0..40 {
        let expected = match (put.contains(&of), changed.contains(&of)) {
            (false, _) => 0,
            (true, false) => 1,
            (true, true) => 2,
        };
        assert_eq!(shared.0.borrow().now.found(address(of)), expected, "{of}");
    }
    assert_eq!(placing.count().expect("no fault"), put.len() as u64);
}

/// Whoever changes leaves its line, and comes back to one where one is free.
#[test]
fn few_stand_beside_however_often_they_change() {
    const MEMBERS: u64 = 4_000;
    let shared = Shared::of(
        Tables::empty(MEMBERS as u32),
        members_beside(4_000) as usize,
    );
    shared.0.borrow_mut().forgetful = true;
    let mut placing = Placing::new(shared.clone(), shared.clone(), KEY, 0).expect("no fault");
    let mut drawn = 1_u64;
    for change in 0..40 * MEMBERS {
        // Each in its turn at first, then as they are drawn.
        drawn = drawn
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let of = if change < MEMBERS {
            change
        } else {
            (drawn >> 33) % MEMBERS
        };
        let address = Address([0, of << 32]);
        placing
            .put(address, row(change as u32))
            .expect("there is room");
    }
    assert_eq!(placing.count().expect("no fault"), MEMBERS);
    let beside = placing.beside().expect("no fault").len();
    assert!((40..320).contains(&beside), "{beside} of {MEMBERS}");
}
