//! Owns the directory: which address, port and protocol is a VIP or a nat backend, as an array of
//! small buckets that costs one array look-up, behind a one-bit filter of addresses that lets
//! everything else pass after two.
//!
//! Invariant: a bucket never overflows; the builder tries another multiplier instead. The
//! multiplier is secret enough: only the daemon's own addresses are stored, so a client can at
//! most make its packets take the second look-up.

use crate::{
    address::{Address, is_zero, select},
    capacity::{BUCKET_ENTRIES, DIRECTORY_BUCKETS, FILTER_WORDS},
    layout::{Bucket, Endpoint, EndpointKind},
};

/// Where a bit of the filter stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FilterBit {
    /// Word within one side.
    pub word: u32,
    /// The bit, as a mask.
    pub mask: u64,
}

/// No position in a bucket.
const NOWHERE: u64 = u64::MAX;

#[inline(always)]
const fn mix(multiplier: u64, a: u64, b: u64) -> u64 {
    let mut hash = (a ^ multiplier).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash ^= hash >> 32;
    hash = (hash ^ b).wrapping_mul(multiplier);
    hash ^= hash >> 29;
    hash = hash.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash ^ hash >> 32
}

/// The filter bit of an address.
#[inline(always)]
pub const fn filter_bit(multiplier: u64, address: Address) -> FilterBit {
    let hash = mix(multiplier, address.0[0], address.0[1]);
    FilterBit {
        word: (hash >> 8) as u32 & (FILTER_WORDS - 1),
        mask: 1 << (hash & 63),
    }
}

/// The bucket of an endpoint, within one side.
#[inline(always)]
pub const fn bucket_of(multiplier: u64, address: Address, port: u16, protocol: u8) -> u32 {
    let service = (port as u64) << 32 | (protocol as u64) << 16;
    mix(multiplier, address.0[0] ^ service, address.0[1]) as u32 & (DIRECTORY_BUCKETS - 1)
}

impl EndpointKind {
    /// From the byte in an [`Endpoint`]; unknown ones count as empty.
    #[inline(always)]
    pub const fn from_byte(byte: u8) -> Self {
        match byte {
            1 => Self::Vip,
            2 => Self::Backend,
            3 => Self::VipAddress,
            _ => Self::Empty,
        }
    }
}

impl Bucket {
    /// The endpoint of that address, port and protocol, if it is of that kind.
    ///
    /// Without a branch per field or entry: the verifier walks every path, and all that follows
    /// once more for each entry that may be the one.
    #[inline(always)]
    pub fn find(
        &self,
        address: Address,
        port: u16,
        protocol: u8,
        kind: EndpointKind,
    ) -> Option<&Endpoint> {
        let rest = port as u64 | (protocol as u64) << 16 | (kind as u64) << 24;
        let found = self.position(address.0[0], address.0[1], rest);
        // The mask tells verifiers before 6.10, which lose all bounds at `|` and `^`.
        let at = found as usize & (BUCKET_ENTRIES - 1);
        (found != NOWHERE).then(|| &self.entries[at])
    }

    /// Where an endpoint stands, or [`NOWHERE`]; a function of its own, since it is asked for often.
    #[inline(never)]
    fn position(&self, first: u64, second: u64, rest: u64) -> u64 {
        let mut at = NOWHERE;
        for (index, entry) in self.entries.iter().enumerate() {
            let [a, b] = entry.address.0;
            let its_rest =
                entry.port as u64 | (entry.protocol as u64) << 16 | (entry.kind as u64) << 24;
            let hit = is_zero((a ^ first) | (b ^ second) | (its_rest ^ rest));
            at = select(hit, index as u64, at);
        }
        at
    }

    /// Puts an endpoint in; `false` when the bucket is full.
    pub fn put(&mut self, endpoint: Endpoint) -> bool {
        let free = self
            .entries
            .iter_mut()
            .find(|entry| entry.kind == EndpointKind::Empty as u8);
        free.map(|entry| *entry = endpoint).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::IpAddr;

    #[test]
    fn a_bucket_finds_what_was_put_and_refuses_a_fifth() {
        let address = Address::from("10.0.0.1".parse::<IpAddr>().expect("v4"));
        let mut bucket = Bucket::default();
        let vip = EndpointKind::Vip;
        assert!(
            bucket.find(Address::default(), 0, 0, vip).is_none(),
            "empty entries are no endpoints"
        );
        for port in 1..=4 {
            let endpoint = Endpoint {
                address,
                port,
                protocol: 6,
                kind: 1,
                number: 7,
                ..Default::default()
            };
            assert!(bucket.put(endpoint));
            assert_eq!(bucket.find(address, port, 6, vip), Some(&endpoint));
            let backend = EndpointKind::Backend;
            assert_eq!(bucket.find(address, port, 6, backend), None);
        }
        assert!(bucket.find(address, 4, 17, vip).is_none());
        assert!(!bucket.put(Endpoint {
            kind: 1,
            ..Default::default()
        }));
    }

    #[test]
    fn endpoints_of_one_address_spread() {
        let address = Address::from("10.0.0.1".parse::<IpAddr>().expect("v4"));
        let first = bucket_of(0x1234_5678_9abc_def1, address, 80, 6);
        let same = (81..=180)
            .filter(|port| bucket_of(0x1234_5678_9abc_def1, address, *port, 6) == first)
            .count();
        assert!(same < 3, "{same}");
    }
}
