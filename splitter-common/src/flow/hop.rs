//! Owns the next hop as it stands in words: of a backend, and of a flow's way back.

use super::Cell;
use crate::layout::NextHop;

/// An Ethernet next hop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hop {
    /// Destination MAC, first byte lowest.
    pub destination: u64,
    /// Source MAC, first byte lowest.
    pub source: u64,
    /// Interface index.
    pub ifindex: u32,
    /// The longest IP packet that fits, bytes; 0: whatever comes.
    pub mtu: u16,
}

const MAC: u64 = (1 << 48) - 1;

/// A way back that is not known: stamp 0. Three words that differ, because what is all zero is
/// cleared by a loop over bytes in BPF, and this is written with every new flow.
pub const NO_HOP: [u64; 3] = [1, 2, 3];

impl Hop {
    /// No hop: what has no interface leads nowhere.
    pub const NOWHERE: Self = Self {
        destination: 0,
        source: 0,
        ifindex: 0,
        mtu: 0,
    };

    /// Whether it leads somewhere.
    #[inline(always)]
    pub const fn is_known(self) -> bool {
        self.ifindex != 0
    }

    /// With `stamp` in each word; stamp 0 makes an unknown hop.
    #[inline(always)]
    pub const fn pack(self, stamp: u16) -> NextHop {
        let stamp = (stamp as u64) << 48;
        NextHop {
            words: [
                self.destination & MAC | stamp,
                self.source & MAC | stamp,
                self.ifindex as u64 | (self.mtu as u64) << 32 | stamp,
            ],
        }
    }

    /// The hop and its stamp; `None` when unknown or half-written.
    #[inline(always)]
    pub const fn unpack(words: [u64; 3]) -> Option<(Self, u16)> {
        let stamp = words[0] >> 48;
        if stamp == 0 || words[1] >> 48 != stamp || words[2] >> 48 != stamp {
            return None;
        }
        let hop = Self {
            destination: words[0] & MAC,
            source: words[1] & MAC,
            ifindex: words[2] as u32,
            mtu: (words[2] >> 32) as u16,
        };
        Some((hop, stamp as u16))
    }

    /// The stamp for the hop that comes after `words`, known or not: never the same, so that a
    /// reader who sees both half and half sees two stamps.
    pub const fn next_stamp(words: [u64; 3]) -> u16 {
        let stamp = ((words[0] >> 48) as u16).wrapping_add(1);
        if stamp == 0 { 1 } else { stamp }
    }

    /// A MAC as it stands in a word.
    pub const fn mac_word(mac: [u8; 6]) -> u64 {
        u64::from_le_bytes([mac[0], mac[1], mac[2], mac[3], mac[4], mac[5], 0, 0])
    }

    /// A MAC from a word.
    pub const fn mac_bytes(word: u64) -> [u8; 6] {
        let b = word.to_le_bytes();
        [b[0], b[1], b[2], b[3], b[4], b[5]]
    }
}

/// The stamp of a way back: of its route epoch and its flow, so that one that was written into an
/// element which had just become another flow's is unknown there. Never 0, which is no hop.
#[inline(always)]
pub const fn hop_stamp(epoch: u16, tag: u32) -> u16 {
    let stamp = epoch ^ (tag >> 16) as u16;
    if stamp == 0 { 1 } else { stamp }
}

/// The way back to the client, as a flow keeps it.
#[inline(always)]
pub fn load_hop<C: Cell>(cell: &C) -> [u64; 3] {
    [cell.word(4), cell.word(5), cell.word(6)]
}

/// Keeps the way back to the client.
#[inline(always)]
pub fn store_hop<C: Cell>(cell: &C, hop: NextHop) {
    cell.set_word(4, hop.words[0]);
    cell.set_word(5, hop.words[1]);
    cell.set_word(6, hop.words[2]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_half_written_hop_is_told_by_its_stamps() {
        let hop = |mac| Hop {
            destination: mac,
            source: mac,
            ifindex: 1,
            mtu: 1_500,
        };
        let mut words = [0; 3];
        for round in 0..70_000u64 {
            let next = hop(round & MAC).pack(Hop::next_stamp(words)).words;
            let half = [next[0], words[1], words[2]];
            assert_eq!(Hop::unpack(half), None);
            words = next;
        }
    }

    #[test]
    fn a_hop_of_another_flow_is_told_by_its_stamp() {
        assert_ne!(hop_stamp(1, 0x1234_0001), hop_stamp(1, 0x1235_0001));
        assert_ne!(hop_stamp(1, 0x1234_0001), hop_stamp(2, 0x1234_0001));
        assert_ne!(hop_stamp(7, 7 << 16), 0);
    }

    #[test]
    fn a_half_written_hop_is_unknown() {
        let hop = Hop {
            destination: Hop::mac_word([1, 2, 3, 4, 5, 6]),
            source: Hop::mac_word([7; 6]),
            ifindex: u32::MAX,
            mtu: u16::MAX,
        };
        let words = hop.pack(9).words;
        assert_eq!(Hop::unpack(words), Some((hop, 9)));
        assert_eq!(Hop::mac_bytes(hop.destination), [1, 2, 3, 4, 5, 6]);
        assert_eq!(
            Hop::unpack([words[0], hop.pack(8).words[1], words[2]]),
            None
        );
        assert_eq!(Hop::unpack([0; 3]), None);
    }
}
