//! Owns the keyed hash: SipHash-1-3 (Aumasson & Bernstein 2012, reduced rounds as in Rust's and
//! Python's hash tables), so that clients who do not know the key cannot choose their version.
//!
//! On the packet path inputs are whole little-endian words; [`siphash13_words`] equals
//! [`siphash13`] of the same bytes.

use bytemuck::{Pod, Zeroable};

/// A 128-bit key.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
pub struct HashKey {
    /// First eight bytes, little-endian.
    pub k0: u64,
    /// Last eight bytes, little-endian.
    pub k1: u64,
}

struct State {
    v0: u64,
    v1: u64,
    v2: u64,
    v3: u64,
}

impl State {
    #[inline(always)]
    const fn new(key: HashKey) -> Self {
        Self {
            v0: key.k0 ^ 0x736f_6d65_7073_6575,
            v1: key.k1 ^ 0x646f_7261_6e64_6f6d,
            v2: key.k0 ^ 0x6c79_6765_6e65_7261,
            v3: key.k1 ^ 0x7465_6462_7974_6573,
        }
    }

    #[inline(always)]
    fn round(&mut self) {
        self.v0 = self.v0.wrapping_add(self.v1);
        self.v1 = self.v1.rotate_left(13) ^ self.v0;
        self.v0 = self.v0.rotate_left(32);
        self.v2 = self.v2.wrapping_add(self.v3);
        self.v3 = self.v3.rotate_left(16) ^ self.v2;
        self.v0 = self.v0.wrapping_add(self.v3);
        self.v3 = self.v3.rotate_left(21) ^ self.v0;
        self.v2 = self.v2.wrapping_add(self.v1);
        self.v1 = self.v1.rotate_left(17) ^ self.v2;
        self.v2 = self.v2.rotate_left(32);
    }

    #[inline(always)]
    fn absorb(&mut self, word: u64) {
        self.v3 ^= word;
        self.round();
        self.v0 ^= word;
    }

    #[inline(always)]
    fn finish(mut self) -> u64 {
        self.v2 ^= 0xff;
        self.round();
        self.round();
        self.round();
        self.v0 ^ self.v1 ^ self.v2 ^ self.v3
    }
}

/// SipHash-1-3 of `N` little-endian words.
#[inline(always)]
pub fn siphash13_words<const N: usize>(key: HashKey, words: [u64; N]) -> u64 {
    let mut state = State::new(key);
    for word in words {
        state.absorb(word);
    }
    state.absorb(((N as u64 * 8) & 0xff) << 56);
    state.finish()
}

/// SipHash-1-3 of three little-endian words. A function of its own: its registers would push those of
/// a whole program out onto the stack. As many arguments as a BPF function can have.
#[inline(never)]
pub fn siphash13_of_three(k0: u64, k1: u64, a: u64, b: u64, c: u64) -> u64 {
    siphash13_words(HashKey { k0, k1 }, [a, b, c])
}

/// SipHash-1-3 of any bytes; for user space.
pub fn siphash13(key: HashKey, data: &[u8]) -> u64 {
    let mut state = State::new(key);
    let mut chunks = data.chunks_exact(8);
    for chunk in &mut chunks {
        let mut word = [0; 8];
        word.copy_from_slice(chunk);
        state.absorb(u64::from_le_bytes(word));
    }
    let mut last = [0; 8];
    for (to, from) in last.iter_mut().zip(chunks.remainder()) {
        *to = *from;
    }
    last[7] = data.len() as u8;
    state.absorb(u64::from_le_bytes(last));
    state.finish()
}

/// Spreads `hash` over `0 .. range` (multiply-shift; bias below range / 2^32).
#[inline(always)]
pub const fn spread(hash: u32, range: u32) -> u32 {
    ((hash as u64 * range as u64) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::hash::Hasher as _;
    use proptest::prelude::*;
    use siphasher::sip::SipHasher13;

    const KEY: HashKey = HashKey {
        k0: 0x0706_0504_0302_0100,
        k1: 0x0f0e_0d0c_0b0a_0908,
    };

    /// The first vectors of the SipHash-1-3 table in the Rust library's own tests
    /// (library/coretests/tests/hash/sip.rs), key 00 01 .. 0f, message 00 01 .. (n-1).
    #[test]
    fn matches_the_published_vectors() {
        let vectors: [[u8; 8]; 5] = [
            [0xdc, 0xc4, 0x0f, 0x05, 0x58, 0x01, 0xac, 0xab],
            [0x93, 0xca, 0x57, 0x7d, 0xf3, 0x9b, 0xf4, 0xc9],
            [0x4d, 0xd4, 0xc7, 0x4d, 0x02, 0x9b, 0xcb, 0x82],
            [0xfb, 0xf7, 0xdd, 0xe7, 0xb8, 0x0a, 0xf8, 0x8b],
            [0x28, 0x83, 0xd3, 0x88, 0x60, 0x57, 0x75, 0xcf],
        ];
        let message = [0, 1, 2, 3];
        for (length, vector) in vectors.iter().enumerate() {
            assert_eq!(
                siphash13(KEY, &message[..length]),
                u64::from_le_bytes(*vector),
                "{length}"
            );
        }
    }

    proptest! {
        #[test]
        fn equals_the_reference_crate(k0: u64, k1: u64, data: [u8; 32], length in 0..=32usize) {
            let mut reference = SipHasher13::new_with_keys(k0, k1);
            reference.write(&data[..length]);
            prop_assert_eq!(siphash13(HashKey { k0, k1 }, &data[..length]), reference.finish());
        }

        #[test]
        fn words_equal_their_bytes(k0: u64, k1: u64, words: [u64; 3]) {
            let key = HashKey { k0, k1 };
            let bytes: [u8; 24] = bytemuck::cast(words);
            prop_assert_eq!(siphash13_words(key, words), siphash13(key, &bytes));
        }
    }
}
