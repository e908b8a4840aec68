//! Owns time on the packet path: jiffies, the kernel's coarse clock, which costs nothing to read.
//!
//! Invariant: differences saturate at zero, and nanoseconds are another type that cannot be
//! mixed in. Flow entries keep the low 32 bits; at 1,000 Hz they wrap after 49 days, and a
//! difference is meant modulo that.

/// A point in time, in jiffies since the kernel's own start value.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Jiffies(pub u64);

/// The low half of a [`Jiffies`], as flow entries keep it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Jiffies32(pub u32);

impl Jiffies {
    /// The low 32 bits.
    #[inline(always)]
    pub const fn low(self) -> Jiffies32 {
        Jiffies32(self.0 as u32)
    }
}

impl Jiffies32 {
    /// Jiffies from `earlier` to `self`; 0 when `earlier` is up to 2^31 ahead (another CPU may
    /// have written a later time).
    #[inline(always)]
    pub const fn since(self, earlier: Self) -> u32 {
        let difference = self.0.wrapping_sub(earlier.0);
        if difference > i32::MAX as u32 {
            0
        } else {
            difference
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_saturate_and_survive_the_wrap() {
        assert_eq!(Jiffies32(5).since(Jiffies32(3)), 2);
        assert_eq!(Jiffies32(3).since(Jiffies32(5)), 0);
        assert_eq!(Jiffies32(1).since(Jiffies32(u32::MAX)), 2);
    }
}
