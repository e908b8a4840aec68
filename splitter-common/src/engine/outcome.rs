//! Owns how a packet ends: what was done with it, why, and what is left to another program.

use crate::reason::{Reason, Verdict};

/// What the program did with a packet, and why.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// What.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// The interface to leave by, for `Redirect`; for [`Reason::Inconsistent`] the number of a
    /// service, frontend or backend that is named but has no row, worth a line in the log.
    pub number: u32,
    /// What is to be done instead, if the program for it can be had; else the outcome stands.
    pub aside: Aside,
}

/// What stands in programs of its own, so that it is not in the way of all other packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Aside {
    /// Nothing.
    Nothing = 0,
    /// The packet is ICMP: [`super::answer`].
    Icmp = 1,
    /// The packet is longer than the outcome's `number` and may not be cut: [`super::answer`].
    TooBig = 2,
    /// The flow was ended: its sender gets a RST, by [`super::answer`].
    Reset = 3,
    /// The version has no backend, and says so: [`super::answer`].
    Refuse = 4,
    /// The service must decide, about a new flow or one that is open: [`super::decide`].
    Decide = 5,
}

impl Outcome {
    #[inline(always)]
    pub(super) const fn pass(reason: Reason) -> Self {
        Self {
            verdict: Verdict::Pass,
            reason,
            number: 0,
            aside: Aside::Nothing,
        }
    }

    /// The tables name what is not there.
    #[inline(always)]
    pub(super) const fn inconsistent(verdict: Verdict, number: u32) -> Self {
        Self {
            verdict,
            reason: Reason::Inconsistent,
            number,
            aside: Aside::Nothing,
        }
    }

    /// Something else is to be done; the outcome is for want of the program that does it.
    #[inline(always)]
    pub(super) const fn aside(self, aside: Aside) -> Self {
        Self { aside, ..self }
    }

    #[inline(always)]
    pub(super) const fn drop(reason: Reason) -> Self {
        Self {
            verdict: Verdict::Drop,
            reason,
            number: 0,
            aside: Aside::Nothing,
        }
    }
}
