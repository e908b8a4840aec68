//! Owns what the judge of releases reads: which clients are judged, what is counted of them, and that
//! each is counted once.
//!
//! A service that is judged has a *ledger*. Its cells stand by *slot*: each set of weights has one, and a
//! flow counts in the slot of the weights that decided it, so that flows begun before and after a change
//! never mix. Each cell stands twice, for the release and for the current *slice* of it, an hour.
//!
//! A client is counted once per event and scope: a bit says that it was. Bits are found by a keyed hash;
//! two clients that share one lose an event, whatever their version, and never count one twice.
//!
//! Only clients whom the hash assigned are judged: those whom a segment forced, flows that were
//! diverted and flows that were adopted are left out. Of three versions, clients in the reach of the
//! third are left out too, so that its weight does not show.

use crate::{
    clock::Jiffies32,
    histogram::{self, CELLS},
};

/// Slots of a ledger. A ramp changes the weights in at most 24 steps.
pub const SLOTS: usize = 32;
/// Scopes: the release, and the current slice of it.
pub const SCOPES: usize = 2;

/// What a client is counted for once, and a bit remembers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Once {
    /// Its first decision. Whoever can forge its address can be the cause.
    Decided = 0,
    /// Its first flow: a handshake completed or a datagram answered, or a flow that went bad before.
    Flow = 1,
    /// Its first bad flow.
    Bad = 2,
    /// Its first turn slower than nearly all of the baseline's were before.
    Slow = 3,
    /// Its first turn slower than the service promises.
    Late = 4,
    /// Its first answered handshake.
    Handshake = 5,
    /// Its first turn that ended.
    Turn = 6,
}

/// How many there are.
pub const ONCE: usize = 7;

/// What is counted: the [`Once`]s, and what their flows became.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Event {
    /// See [`Once::Decided`].
    Decided = 0,
    /// See [`Once::Flow`].
    Flow = 1,
    /// See [`Once::Bad`].
    Bad = 2,
    /// See [`Once::Slow`].
    Slow = 3,
    /// See [`Once::Late`].
    Late = 4,
    /// See [`Once::Handshake`].
    Handshake = 5,
    /// See [`Once::Turn`].
    Turn = 6,
    /// First flows of clients that went bad.
    FlowBad = 7,
}

/// How many there are.
pub const EVENTS: usize = 8;

impl Event {
    /// All, in the order of their numbers.
    pub const ALL: [Self; EVENTS] = [
        Self::Decided,
        Self::Flow,
        Self::Bad,
        Self::Slow,
        Self::Late,
        Self::Handshake,
        Self::Turn,
        Self::FlowBad,
    ];

    /// The name, as it is printed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Decided => "decided",
            Self::Flow => "flow",
            Self::Bad => "bad",
            Self::Slow => "slow",
            Self::Late => "late",
            Self::Handshake => "handshake",
            Self::Turn => "turn",
            Self::FlowBad => "flow_bad",
        }
    }
}

/// Times whose first of each client is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Sample {
    /// From SYN to SYN-ACK.
    Handshake = 0,
    /// Of turns, see [`crate::flow::turns`].
    Turn = 1,
}

impl Sample {
    /// How many there are.
    pub const COUNT: usize = 2;
}

/// What a flow carries of this: a byte of its entry that is written when it is decided. 0: it is not
/// judged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Mark(pub u8);

impl Mark {
    const JUDGED: u8 = 0x20;

    /// Of a flow that is judged, in a slot.
    #[inline(always)]
    pub const fn judged(slot: u32) -> Self {
        Self(Self::JUDGED | slot as u8 & (SLOTS as u8 - 1))
    }

    /// 1 when the flow is judged, else 0.
    #[inline(always)]
    pub const fn is_judged(self) -> u64 {
        (self.0 / Self::JUDGED) as u64 & 1
    }

    /// The slot.
    #[inline(always)]
    pub const fn slot(self) -> u32 {
        self.0 as u32 & (SLOTS as u32 - 1)
    }
}

/// Where a client's events are counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// The ledger, from 0.
    pub ledger: u32,
    /// The row of the release, see [`crate::layout::evidence_row`].
    pub row: u32,
    /// The client's bit, before it is masked.
    pub bit: u32,
    /// 1 when the slice counts too, else 0.
    pub in_slice: u64,
}

/// Of what was a client's first: of the release.
pub const RELEASE: u64 = 1;
/// The same, of the slice.
pub const SLICE: u64 = 2;

/// What a ledger says of a flow at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Ledger {
    /// The commit that gave the flow's slot its meaning.
    pub slot_born: u32,
    /// See [`crate::layout::LedgerRow::slice`].
    pub slice: u32,
    /// See [`crate::layout::LedgerRow::slice_began`].
    pub slice_began: u32,
    /// See [`crate::layout::LedgerRow::slow_us`].
    pub slow_us: [u32; 2],
}

impl Ledger {
    /// One in which nothing counts.
    #[inline(always)]
    pub const fn of_none() -> Self {
        Self {
            slot_born: u32::MAX,
            slice: 0,
            slice_began: 0,
            slow_us: [0; 2],
        }
    }

    /// Whether a flow that a commit decided counts: its slot means what it did then.
    #[inline(always)]
    pub const fn counts(&self, generation: u32) -> bool {
        generation >= self.slot_born
    }

    /// 1 when a flow that began then counts in the current slice, else 0.
    #[inline(always)]
    pub const fn in_slice(&self, began: Jiffies32) -> u64 {
        let is_later = began.0.wrapping_sub(self.slice_began) as i32 >= 0;
        (self.slice != 0) as u64 & is_later as u64
    }
}

/// Whether a handshake that is not answered after so many ticks is bad. The SYN comes once more after
/// one second and after three (RFC 6298, sections 2 and 5): the second time, it is.
#[inline(always)]
pub const fn is_unanswered(waited: u32, hz: u32) -> bool {
    waited >= hz * 5 / 2
}

/// Turns that must have been measured before it is said which are slow.
const SLOW_TURNS: u64 = 1_000;

/// From how many microseconds on a turn is slow, by turns that were measured before whatever it is said
/// of: one in a hundred took longer. 0: they are too few to tell.
pub fn slow_us(counts: &[u64; CELLS]) -> u32 {
    if histogram::sum(counts) < SLOW_TURNS {
        return 0;
    }
    let p99_ns = histogram::quantile_ns(counts, 990_000).unwrap_or_default();
    u32::try_from(p99_ns / 1_000).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_a_slot_or_nothing() {
        for slot in 0..SLOTS as u32 {
            let mark = Mark::judged(slot);
            assert_eq!((mark.is_judged(), mark.slot()), (1, slot));
        }
        assert_eq!(Mark::default().is_judged(), 0);
    }

    #[test]
    fn a_slot_that_means_something_else_by_now_counts_nothing() {
        let ledger = Ledger {
            slot_born: 7,
            ..Ledger::default()
        };
        assert!(!ledger.counts(6));
        assert!(ledger.counts(7));
    }

    #[test]
    fn a_slice_counts_flows_that_began_in_it() {
        let at = |slice, slice_began| Ledger {
            slice,
            slice_began,
            ..Ledger::default()
        };
        // The clock goes round meanwhile.
        let began = u32::MAX - 5;
        assert_eq!(at(1, began).in_slice(Jiffies32(3)), 1);
        assert_eq!(at(1, began).in_slice(Jiffies32(began)), 1);
        assert_eq!(at(1, began).in_slice(Jiffies32(began - 1)), 0);
        assert_eq!(at(0, began).in_slice(Jiffies32(3)), 0);
    }

    #[test]
    fn slow_is_what_one_in_a_hundred_exceeds_and_few_do_not_tell() {
        let mut counts = [0; CELLS];
        counts[40] = 980;
        counts[60] = 19;
        assert_eq!(slow_us(&counts), 0);
        counts[60] = 20;
        let (from, to) = histogram::bounds_ns(60);
        let slow_ns = u64::from(slow_us(&counts)) * 1_000;
        assert!((from..to).contains(&slow_ns), "{slow_ns}");
    }

    #[test]
    fn a_syn_that_comes_the_third_time_is_unanswered() {
        for hz in [100, 250, 1_000] {
            assert!(!is_unanswered(hz, hz));
            assert!(is_unanswered(3 * hz, hz));
        }
    }
}
