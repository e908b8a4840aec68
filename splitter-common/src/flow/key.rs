//! Owns the key of a packet's flow, and where it stands while its programs run.

use core::cell::Cell;

use crate::{address::Address, layout::FlowKey};

impl FlowKey {
    /// The ports and the frontend as they stand in the key's last word.
    #[inline(always)]
    pub const fn last_word(&self) -> u64 {
        self.client_port as u64 | (self.frontend as u64) << 16 | (self.port as u64) << 32
    }

    /// A tag of the key; never 0, which unused elements hold.
    #[inline(always)]
    pub const fn tag(&self) -> u32 {
        let ports = self.last_word();
        let mut hash =
            (self.client.0[0] ^ ports.rotate_left(13)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        hash ^= hash >> 32;
        hash = (hash ^ self.client.0[1]).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (hash >> 32) as u32 | 1
    }
}

/// The key of a packet's flow with its tag, kept for all look-ups of all programs that see the packet: made
/// by the first, and in memory, where the kernel reads it.
#[repr(C)]
#[derive(Clone, Debug)]
pub struct KeptKey {
    /// The key.
    pub key: Cell<FlowKey>,
    /// Its tag.
    pub tag: Cell<u32>,
    /// Where it stands among pending flows, as far as somebody has looked: see [`super::pending`].
    pub place: Cell<u32>,
}

impl KeptKey {
    /// A key that is not known yet. Words that differ, for the reason of [`super::hop::NO_HOP`].
    #[inline(always)]
    pub const fn unknown() -> Self {
        Self {
            key: Cell::new(FlowKey {
                client: Address([1, 2]),
                client_port: 3,
                frontend: 4,
                port: 5,
                zero: 6,
            }),
            tag: Cell::new(7),
            place: Cell::new(8),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_is_that_of_the_key() {
        let key = FlowKey {
            client: Address([1, 2]),
            client_port: 0x1234,
            frontend: 0x5678,
            port: 0x9abc,
            zero: 0,
        };
        let words: [u64; 3] = bytemuck::cast(key);
        assert_eq!(words, [1, 2, key.last_word()]);
    }
}
