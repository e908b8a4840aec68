//! Owns the building of the directory: a multiplier under which no bucket overflows, and the
//! filter that goes with it.

use std::collections::BTreeMap;

use splitter_common::{
    capacity::FILTER_WORDS,
    directory::{bucket_of, filter_bit},
    hash::{HashKey, siphash13},
    layout::{Bucket, Endpoint},
};

use super::PlanError;

/// How many multipliers are tried. At half a bucket's mean load about one in twenty fits.
const TRIES: u64 = 1_000;

/// One side of the directory.
#[derive(Clone, Debug, PartialEq)]
pub struct DirectoryImage {
    /// What it knows.
    pub endpoints: Vec<Endpoint>,
    /// Odd.
    pub multiplier: u64,
    /// All [`FILTER_WORDS`] words.
    pub filter: Vec<u64>,
    /// The buckets that are not empty.
    pub buckets: BTreeMap<u32, Bucket>,
}

impl DirectoryImage {
    /// The directory of `endpoints`; `seed` makes the multipliers this host's own.
    pub fn build(endpoints: &[Endpoint], seed: HashKey) -> Result<Self, PlanError> {
        (0..TRIES)
            .map(|attempt| siphash13(seed, &attempt.to_le_bytes()) | 1)
            .find_map(|multiplier| Self::with(endpoints, multiplier))
            .ok_or(PlanError::DirectoryFull {
                endpoints: endpoints.len(),
            })
    }

    fn with(endpoints: &[Endpoint], multiplier: u64) -> Option<Self> {
        let mut buckets = BTreeMap::<u32, Bucket>::new();
        for endpoint in endpoints {
            let index = bucket_of(
                multiplier,
                endpoint.address,
                endpoint.port,
                endpoint.protocol,
            );
            if !buckets.entry(index).or_default().put(*endpoint) {
                return None;
            }
        }
        // Only for the multiplier that fits: the filter is as large as a try is long.
        let mut filter = vec![0; FILTER_WORDS as usize];
        for endpoint in endpoints {
            let bit = filter_bit(multiplier, endpoint.address);
            filter[bit.word as usize] |= bit.mask;
        }
        Some(Self {
            endpoints: endpoints.to_vec(),
            multiplier,
            filter,
            buckets,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use splitter_common::{address::Address, layout::EndpointKind};
    use std::net::{IpAddr, Ipv4Addr};

    #[test]
    fn twenty_thousand_endpoints_fit_and_are_found() {
        let endpoints: Vec<_> = (0..20_000u32)
            .map(|n| Endpoint {
                address: Address::from(IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + n / 4))),
                port: 80 + (n % 4) as u16,
                protocol: 6,
                kind: EndpointKind::Backend as u8,
                number: n,
                ..Endpoint::default()
            })
            .collect();
        let seed = HashKey { k0: 1, k1: 2 };
        let directory = DirectoryImage::build(&endpoints, seed).expect("fits");
        for endpoint in &endpoints {
            let (multiplier, address) = (directory.multiplier, endpoint.address);
            let bit = filter_bit(multiplier, address);
            assert_ne!(directory.filter[bit.word as usize] & bit.mask, 0);
            let bucket = &directory.buckets[&bucket_of(multiplier, address, endpoint.port, 6)];
            assert_eq!(
                bucket.find(address, endpoint.port, 6, EndpointKind::Backend),
                Some(endpoint)
            );
        }
    }
}
