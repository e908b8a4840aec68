//! Owns Internet checksums: incremental updates (RFC 1624, equation 3), so that a rewritten
//! packet costs the changed words only and a payload that arrived broken stays detectably broken.
//!
//! Halfwords are native loads of network-order bytes: the one's complement sum commutes with
//! byte order (RFC 1071, section 2 (B)).

/// What changed halfwords add to a checksum.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Delta(u32);

impl Delta {
    /// Notes that `old` became `new`. Room for at least 32,767 halfwords.
    #[inline(always)]
    #[must_use]
    pub const fn replace(self, old: u16, new: u16) -> Self {
        Self(self.0 + !old as u32 + new as u32)
    }

    /// The checksum field after the changes: HC' = ~(~HC + sum of ~m + m').
    #[inline(always)]
    pub const fn apply(self, checksum: u16) -> u16 {
        !fold(self.0 + !checksum as u32)
    }

    /// As [`Self::apply`] for UDP: 0 means "no checksum" and stays (RFC 768); a sum that comes
    /// out as 0 is sent as 0xffff.
    #[inline(always)]
    pub const fn apply_udp(self, checksum: u16) -> u16 {
        if checksum == 0 {
            return 0;
        }
        let new = self.apply(checksum);
        if new == 0 { 0xffff } else { new }
    }
}

impl Delta {
    /// The changes of both.
    #[inline(always)]
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

/// A sum over halfwords, for headers that are built anew.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sum(u32);

impl Sum {
    /// With more halfwords. Room for 65,537 in all.
    #[inline(always)]
    #[must_use]
    pub const fn add<const N: usize>(mut self, halfwords: [u16; N]) -> Self {
        let mut at = 0;
        while at < N {
            self.0 += halfwords[at] as u32;
            at += 1;
        }
        self
    }

    /// The checksum field.
    #[inline(always)]
    pub const fn checksum(self) -> u16 {
        !fold(self.0)
    }
}

#[inline(always)]
const fn fold(sum: u32) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}

/// The full checksum over halfwords (RFC 1071); for tests and packet builders.
pub fn full(halfwords: impl Iterator<Item = u16>) -> u16 {
    let mut sum = 0u64;
    for halfword in halfwords {
        sum += u64::from(halfword);
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 1624, section 4: the example that equation 2 of RFC 1141 gets wrong.
    #[test]
    fn the_example_of_rfc_1624() {
        assert_eq!(
            Delta::default().replace(0x5555, 0x3285).apply(0xdd2f),
            0x0000
        );
    }

    proptest! {
        #[test]
        fn incremental_equals_full(
            mut words: [u16; 20],
            at in proptest::collection::vec((0..20usize, any::<u16>()), 0..12),
        ) {
            // One's complement has two zeros; a sum of nothing but zeros is the only input that
            // tells them apart, and no header with a version field is that.
            words[0] |= 0x4500;
            let before = full(words.into_iter());
            let mut delta = Delta::default();
            for (index, new) in at {
                let index = index.max(1);
                delta = delta.replace(words[index], new);
                words[index] = new;
            }
            prop_assert_eq!(delta.apply(before), full(words.into_iter()));
        }

        #[test]
        fn udp_without_checksum_stays_without(old: u16, new: u16) {
            prop_assert_eq!(Delta::default().replace(old, new).apply_udp(0), 0);
        }

        #[test]
        fn udp_with_checksum_never_becomes_none(old: u16, new: u16, sum in 1..=u16::MAX) {
            prop_assert_ne!(Delta::default().replace(old, new).apply_udp(sum), 0);
        }
    }
}
