//! Owns what a service knows of a client beside its address: its *traits*, which are its device class and
//! how active it is.
//!
//! A client's traits are *latched*: found once, they stand for a time, so that nobody changes version by
//! being used; and each flow keeps those it was decided by. A client is remembered once a flow of it is
//! answered, never at a SYN, so that a flood of SYNs makes nobody forgotten.
//!
//! Invariant: the words of a client carry a tag of whose they are. The kernel gives an element that is
//! replaced to another client at once, under whoever still reads it; such a reader finds a stranger.

use bytemuck::{Pod, Zeroable};

use crate::{
    address::is_zero,
    capacity::DEVICE_CLASSES,
    clock::{Jiffies, Jiffies32},
    layout::ClientKey,
};

/// How active a client is, by its flows in a window.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Activity {
    /// None of its flows is remembered.
    New = 0,
    /// Fewer than make it normal.
    Light = 1,
    /// Fewer than make it heavy.
    Normal = 2,
    /// More.
    Heavy = 3,
}

impl Activity {
    /// How many there are.
    pub const COUNT: usize = 4;
    /// All, in the order of their numbers.
    pub const ALL: [Self; Self::COUNT] = [Self::New, Self::Light, Self::Normal, Self::Heavy];

    /// The word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Light => "light",
            Self::Normal => "normal",
            Self::Heavy => "heavy",
        }
    }
}

/// A client's traits as a flow keeps them: the device class in 4 bits, above it the activity in 2, and
/// whether they were asked for at all.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Traits(pub u16);

const DEVICE_BITS: u16 = DEVICE_CLASSES as u16 - 1;
const ACTIVITY_SHIFT: u32 = 4;
const ASKED_SHIFT: u32 = 15;

const _: () = assert!(DEVICE_CLASSES == 1 << ACTIVITY_SHIFT);

impl Traits {
    /// Nobody asked for them.
    pub const NONE: Self = Self(0);

    /// Those of a client whose service asks.
    #[inline(always)]
    pub const fn new(device: u8, activity: u8) -> Self {
        let activity = (activity as u16 & (Activity::COUNT as u16 - 1)) << ACTIVITY_SHIFT;
        Self(device as u16 & DEVICE_BITS | activity | 1 << ASKED_SHIFT)
    }

    /// The device class; below [`DEVICE_CLASSES`].
    #[inline(always)]
    pub const fn device(self) -> usize {
        self.0 as usize & (DEVICE_CLASSES - 1)
    }

    /// An [`Activity`]; below [`Activity::COUNT`].
    #[inline(always)]
    pub const fn activity(self) -> usize {
        (self.0 as usize >> ACTIVITY_SHIFT) & (Activity::COUNT - 1)
    }

    /// 1 when the service asks for them, so that the flow, once answered, makes its client remembered.
    #[inline(always)]
    pub const fn is_asked(self) -> u64 {
        self.0 as u64 >> ASKED_SHIFT & 1
    }
}

/// What a service asks of traits.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
pub struct TraitsRow {
    /// The conditions that hold of each device class, see [`crate::segment`].
    pub devices: [u32; DEVICE_CLASSES],
    /// The same of each [`Activity`].
    pub activities: [u32; Activity::COUNT],
    /// How long traits stand once they are found, seconds.
    pub latch_s: u32,
    /// Half the window in which flows are counted, seconds: between one and two of them are remembered.
    pub half_window_s: u32,
    /// So many flows in the window make a client normal.
    pub normal_from: u32,
    /// So many make it heavy.
    pub heavy_from: u32,
}

impl TraitsRow {
    /// Asks for none.
    pub const NONE: Self = Self {
        devices: [0; DEVICE_CLASSES],
        activities: [0; Activity::COUNT],
        latch_s: 0,
        half_window_s: 0,
        normal_from: 0,
        heavy_from: 0,
    };

    /// The conditions that hold of a client.
    #[inline(always)]
    pub const fn conditions(&self, traits: Traits) -> u32 {
        self.devices[traits.device()] | self.activities[traits.activity()]
    }

    /// Which half window it is.
    #[inline(always)]
    const fn half_window(&self, now: Jiffies, hz: u64) -> u32 {
        let half = self.half_window_s as u64 * hz;
        match now.0.checked_div(half) {
            Some(number) => number as u32,
            None => 0,
        }
    }

    #[inline(always)]
    const fn latch(&self, hz: u64) -> u32 {
        (self.latch_s as u64 * hz) as u32
    }

    /// How active a client of so many flows is.
    #[inline(always)]
    const fn activity(&self, flows: u32) -> u8 {
        (flows != 0) as u8
            + (flows != 0 && flows >= self.normal_from) as u8
            + (flows != 0 && flows >= self.normal_from && flows >= self.heavy_from) as u8
    }
}

/// What is remembered of one client of a service. Each word is read and written whole.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
pub struct ClientRow {
    /// Its traits, above them a tag of whose they are, above that the jiffies until which they stand.
    pub latched: u64,
    /// The half window in which a flow was last counted, above it the flows in it, above those the flows
    /// in the one before.
    pub counted: u64,
}

const FLOWS_MAX: u32 = u16::MAX as u32;

/// A tag of whose a row is.
#[inline(always)]
const fn tag(key: &ClientKey) -> u16 {
    let [a, b] = key.client.0;
    let mixed =
        (a ^ b.rotate_left(29) ^ key.service.rotate_left(40)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    // Never that of an unused row.
    (mixed >> 48) as u16 | 1
}

impl ClientRow {
    /// What stands by the latch; `None` when it does not, or is another client's.
    #[inline(always)]
    fn standing(&self, key: &ClientKey, latch: u32, now: Jiffies) -> Option<Traits> {
        let left = ((self.latched >> 32) as u32).wrapping_sub(now.low().0);
        let stands = left.wrapping_sub(1) < latch && (self.latched >> 16) as u16 == tag(key);
        stands.then_some(Traits(self.latched as u16))
    }

    /// Flows in the half window `number` and the one before.
    #[inline(always)]
    const fn flows(&self, number: u32) -> (u32, u32) {
        let (last, before) = (
            (self.counted >> 32) as u32 & FLOWS_MAX,
            (self.counted >> 48) as u32,
        );
        match number.wrapping_sub(self.counted as u32) {
            0 => (last, before),
            1 => (0, last),
            _ => (0, 0),
        }
    }

    /// The traits of the client of a row that asks; `device` is the class of its SYN, for when they are
    /// found anew.
    #[inline(always)]
    pub fn traits(
        &self,
        asks: &TraitsRow,
        key: &ClientKey,
        device: u8,
        (now, hz): (Jiffies, u64),
    ) -> Traits {
        if let Some(traits) = self.standing(key, asks.latch(hz), now) {
            return traits;
        }
        let (last, before) = self.flows(asks.half_window(now, hz));
        Traits::new(device, asks.activity(last + before))
    }

    /// For how many jiffies more its traits stand; `None` when they do not.
    pub fn left(
        &self,
        asks: &TraitsRow,
        key: &ClientKey,
        (now, hz): (Jiffies, u64),
    ) -> Option<u32> {
        self.standing(key, asks.latch(hz), now)?;
        Some(((self.latched >> 32) as u32).wrapping_sub(now.low().0))
    }

    /// Flows in the window: in this half of it and the one before.
    pub const fn flows_in_window(&self, asks: &TraitsRow, (now, hz): (Jiffies, u64)) -> u32 {
        let (last, before) = self.flows(asks.half_window(now, hz));
        last + before
    }

    /// The row as it would be so many seconds later; for tests, which do not wait.
    #[must_use]
    pub const fn aged(&self, asks: &TraitsRow, seconds: u32, hz: u32) -> Self {
        let until = ((self.latched >> 32) as u32).wrapping_sub(seconds * hz);
        let halves = match seconds.checked_div(asks.half_window_s) {
            Some(halves) => halves,
            None => 0,
        };
        let number = (self.counted as u32).wrapping_sub(halves);
        Self {
            latched: self.latched & 0xffff_ffff | (until as u64) << 32,
            counted: self.counted & !0xffff_ffff | number as u64,
        }
    }

    /// The row once another flow of the client is answered, which was decided by `traits`.
    #[inline(always)]
    pub fn after(
        &self,
        asks: &TraitsRow,
        key: &ClientKey,
        traits: Traits,
        (now, hz): (Jiffies, u64),
    ) -> Self {
        let latch = asks.latch(hz);
        let latched = match self.standing(key, latch, now) {
            Some(_) => self.latched,
            None => {
                let until = Jiffies32(now.low().0.wrapping_add(latch));
                traits.0 as u64 | (tag(key) as u64) << 16 | (until.0 as u64) << 32
            }
        };
        let number = asks.half_window(now, hz);
        let (last, before) = self.flows(number);
        // Stays where it is when it is full.
        let last = last + 1 - (last >> 15 & last >> 14 & is_zero((last ^ FLOWS_MAX) as u64) as u32);
        Self {
            latched,
            counted: number as u64 | (last as u64) << 32 | (before as u64) << 48,
        }
    }
}

#[cfg(test)]
#[path = "traits_tests.rs"]
mod tests;
