//! Owns device classes: what a client's TCP SYN looks like, and which class that is by rules.
//!
//! The stack that sends a SYN shows in it: from which time to live it counts down, which TCP options it
//! writes in which order (RFC 9293, section 3.2; RFC 7323), and how large a window it offers. Options of
//! one order have fixed places, so that a rule is a comparison of words under a mask, without a walk.
//!
//! Invariant: every SYN has a class; the one that no rule knows has [`UNKNOWN`].

use core::hint::black_box;

use bytemuck::{Pod, Zeroable};

use crate::{
    address::{is_zero, select},
    capacity::{DEVICE_CLASSES, DEVICE_RULES},
};

/// The class of a client that no rule knows, or whose SYN was not seen.
pub const UNKNOWN: u8 = 0;

/// Bytes of TCP options that a header has room for (RFC 9293, section 3.1).
pub const OPTION_BYTES: usize = 40;
/// Words of a [`Signature`]: one of fields, then the options.
pub const SIGNATURE_WORDS: usize = 1 + OPTION_BYTES / 8;

/// What a SYN shows of the stack that sent it.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Pod, Zeroable)]
pub struct Signature {
    /// The window, above it the bytes of options, above them the time to live that was counted down from;
    /// then the options as they stand in the packet, first byte lowest, zeros behind.
    pub words: [u64; SIGNATURE_WORDS],
}

impl Signature {
    /// Bits of the window in the first word; native order.
    pub const WINDOW: u64 = 0xffff;
    /// Bits of the length of options, bytes.
    pub const LENGTH: u64 = 0xff << 16;
    /// Bits of the time to live.
    pub const TTL: u64 = 0xff << 24;

    /// The first word.
    #[inline(always)]
    pub const fn head(ttl: u8, option_bytes: u32, window: u16) -> u64 {
        window as u64 | (option_bytes as u64 & 0xff) << 16 | (initial_ttl(ttl) as u64) << 24
    }
}

/// The time to live that a sender began with, as stacks do: 32, 64, 128 or 255, the first that is not
/// below what is left.
#[inline(always)]
pub const fn initial_ttl(left: u8) -> u8 {
    if left <= 32 {
        32
    } else if left <= 64 {
        64
    } else if left <= 128 {
        128
    } else {
        255
    }
}

/// SYNs of one look.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable)]
pub struct DeviceRule {
    /// The bits that count.
    pub mask: [u64; SIGNATURE_WORDS],
    /// What they must be.
    pub want: [u64; SIGNATURE_WORDS],
    /// The class of such a SYN; below [`DEVICE_CLASSES`].
    pub class: u64,
}

impl DeviceRule {
    /// Knows no SYN: it wants what it does not look at.
    pub const NEVER: Self = Self {
        mask: [0; SIGNATURE_WORDS],
        want: [1; SIGNATURE_WORDS],
        class: UNKNOWN as u64,
    };

    /// Whether it knows a SYN, 1 or 0; without a branch.
    #[inline(always)]
    fn knows(&self, words: &[u64; SIGNATURE_WORDS]) -> u64 {
        let mut differs = 0;
        for (at, word) in words.iter().enumerate() {
            differs |= (*word & self.mask[at]) ^ self.want[at];
        }
        is_zero(differs)
    }
}

/// The rules of a host; the first that knows a SYN says its class.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable)]
pub struct DeviceRules {
    /// In their order; the rest are [`DeviceRule::NEVER`].
    pub rules: [DeviceRule; DEVICE_RULES],
}

impl DeviceRules {
    /// No rules.
    pub const NONE: Self = Self {
        rules: [DeviceRule::NEVER; DEVICE_RULES],
    };

    /// The class of a SYN; below [`DEVICE_CLASSES`].
    #[inline(always)]
    pub fn class_of(&self, words: &[u64; SIGNATURE_WORDS]) -> u8 {
        let mut class = UNKNOWN as u64;
        // From the last to the first, so that the first that knows it is what stays.
        for rule in self.rules.iter().rev() {
            class = select(rule.knows(words), rule.class, class);
        }
        (black_box(class) as usize & (DEVICE_CLASSES - 1)) as u8
    }
}

const _: () = assert!(DEVICE_CLASSES.is_power_of_two());

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_time_to_live_is_what_it_was_counted_down_from() {
        for (left, initial) in [
            (1, 32),
            (32, 32),
            (33, 64),
            (64, 64),
            (113, 128),
            (129, 255),
        ] {
            assert_eq!(initial_ttl(left), initial, "{left}");
        }
        assert_eq!(
            Signature::head(57, 20, 64_240),
            64 << 24 | 20 << 16 | 64_240
        );
    }

    #[test]
    fn without_rules_every_class_is_unknown() {
        for words in [[0; SIGNATURE_WORDS], [u64::MAX; SIGNATURE_WORDS]] {
            assert_eq!(DeviceRules::NONE.class_of(&words), UNKNOWN);
        }
    }

    proptest! {
        #[test]
        fn it_is_the_first_by_the_plain_rule(
            rules in proptest::collection::vec(
                (any::<[u64; SIGNATURE_WORDS]>(), any::<[u64; SIGNATURE_WORDS]>(), 0..16u64),
                0..=DEVICE_RULES,
            ),
            words: [u64; SIGNATURE_WORDS],
        ) {
            // Few bits, so that some hold.
            let few = |words: [u64; SIGNATURE_WORDS]| words.map(|word| word & 0x8000_0000_0000_0001);
            let (mut all, words) = (DeviceRules::NONE, few(words));
            let mut expected = None;
            for (at, (mask, want, class)) in rules.into_iter().enumerate() {
                let mask = [few(mask)[0], 0, 0, 0, 0, few(mask)[5]];
                let want: [u64; SIGNATURE_WORDS] = core::array::from_fn(|at| few(want)[at] & mask[at]);
                all.rules[at] = DeviceRule { mask, want, class };
                let holds = (0..SIGNATURE_WORDS).all(|at| words[at] & mask[at] == want[at]);
                expected = expected.or(holds.then_some(class));
            }
            prop_assert_eq!(u64::from(all.class_of(&words)), expected.unwrap_or(0));
        }
    }
}
