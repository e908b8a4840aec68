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
    /// What is to be done instead, if [`answer`] can be had; else the outcome stands.
    pub aside: Aside,
}

/// What is too rare to stand in the way of all other packets: [`answer`] does it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Aside {
    /// Nothing.
    Nothing = 0,
    /// The packet is ICMP.
    Icmp = 1,
    /// The packet is longer than the outcome's `number` and may not be cut.
    TooBig = 2,
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
