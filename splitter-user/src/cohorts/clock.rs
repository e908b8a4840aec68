//! Owns the time that ends of memberships are written in: milliseconds that go on with the kernel's ticks,
//! by which the program compares too, and that begin each boot with the wall clock.
//!
//! Invariant: a clock that is set while the host runs ends no membership sooner or later. What it was set
//! by, ends written after that are off by when the next boot begins. A clock that is behind at a boot, as
//! one without a battery is, is taken to stand where this time was last seen.

use splitter_common::{clock::Jiffies, cohort::UNTIL_MAX};

/// What the host says of itself when a daemon begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Now {
    /// Names the boot (`/proc/sys/kernel/random/boot_id`).
    pub boot: String,
    /// The kernel's ticks.
    pub jiffies: Jiffies,
    /// How many of them make a second.
    pub hz: u32,
    /// The wall clock, in milliseconds since 1970.
    pub wall_ms: u64,
}

/// The time of ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time {
    /// Where it stood at `jiffies`.
    pub ms: u64,
    /// Ticks.
    pub jiffies: Jiffies,
    /// Of which so many make a second.
    pub hz: u32,
}

impl Time {
    /// Where it begins in a new boot. `seen_ms`: where it was last seen.
    pub fn begin(now: &Now, seen_ms: u64) -> Self {
        Self {
            ms: now.wall_ms.max(seen_ms),
            jiffies: now.jiffies,
            hz: now.hz,
        }
    }

    /// What it says, milliseconds.
    pub fn ms(&self, now: Jiffies) -> u64 {
        let ticks = now.0.saturating_sub(self.jiffies.0);
        self.ms + ticks.saturating_mul(1_000) / u64::from(self.hz.max(1))
    }

    /// The tick at which an end is reached, as [`splitter_common::cohort::Membership::until`] has it;
    /// 0: never.
    pub fn until(&self, end_ms: Option<u64>) -> u64 {
        let Some(end_ms) = end_ms else {
            return 0;
        };
        let left_ms = end_ms.saturating_sub(self.ms);
        let ticks = left_ms
            .saturating_mul(u64::from(self.hz))
            .div_ceil(1_000)
            .saturating_add(self.jiffies.0);
        ticks.clamp(1, UNTIL_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_reached_at_the_tick_that_they_are_turned_into() {
        let time = Time {
            ms: 10_000,
            jiffies: Jiffies(500),
            hz: 250,
        };
        assert_eq!(time.ms(Jiffies(750)), 11_000);
        assert_eq!(time.until(None), 0);
        for end_ms in [10_001, 11_000, 11_003, 99_999] {
            let until = time.until(Some(end_ms));
            assert!(time.ms(Jiffies(until)) >= end_ms);
            assert!(time.ms(Jiffies(until - 1)) < end_ms);
        }
        assert_eq!(time.until(Some(3)), 500, "an end that is over is never 0");
        assert_eq!(time.until(Some(u64::MAX)), UNTIL_MAX);
    }

    #[test]
    fn a_clock_that_is_behind_at_a_boot_makes_nobody_live_longer() {
        let now = Now {
            boot: "b".into(),
            jiffies: Jiffies(5),
            hz: 1_000,
            wall_ms: 7,
        };
        assert_eq!(Time::begin(&now, 9_000).ms, 9_000);
        assert_eq!(Time::begin(&now, 3).ms, 7);
    }
}
