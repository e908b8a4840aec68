//! Owns look-ups in the side of the directory that is in force.

use super::Env;
use crate::{
    address::Address,
    capacity::{DIRECTORY_BUCKETS, FILTER_WORDS},
    directory::{bucket_of, filter_bit},
    layout::{Endpoint, EndpointKind},
};

/// One side of the directory.
pub(super) struct Directory<'a, E> {
    pub(super) env: &'a E,
    pub(super) side: u32,
    pub(super) multiplier: u64,
}

impl<'a, E: Env> Directory<'a, E> {
    #[inline(always)]
    pub(super) fn may_know(&self, address: Address) -> bool {
        let bit = filter_bit(self.multiplier, address);
        let word = self.env.filter_word(self.side * FILTER_WORDS + bit.word);
        word & bit.mask != 0
    }

    #[inline(always)]
    pub(super) fn find(
        &self,
        address: Address,
        port: u16,
        protocol: u8,
        kind: EndpointKind,
    ) -> Option<&'a Endpoint> {
        let bucket = bucket_of(self.multiplier, address, port, protocol);
        let index = self.side * DIRECTORY_BUCKETS + bucket;
        self.env.bucket(index)?.find(address, port, protocol, kind)
    }

    /// The endpoint of that port, else the one of every port.
    #[inline(always)]
    pub(super) fn serving(
        &self,
        address: Address,
        port: u16,
        protocol: u8,
        kind: EndpointKind,
    ) -> Option<&'a Endpoint> {
        match self.find(address, port, protocol, kind) {
            Some(exact) => Some(exact),
            None => self.find(address, 0, protocol, kind),
        }
    }
}
