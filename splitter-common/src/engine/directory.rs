//! Owns look-ups in the side of the directory that is in force.

use super::{Env, Parsed};
use crate::{
    address::{Address, select},
    capacity::{DIRECTORY_BUCKETS, FILTER_WORDS},
    directory::{bucket_of, filter_bit},
    layout::{Control, Endpoint, EndpointKind, Word},
};

/// One side of the directory.
pub(super) struct Directory<'a, E> {
    env: &'a E,
    side: u32,
    multiplier: u64,
}

impl<'a, E: Env> Directory<'a, E> {
    /// The side in force; `None` when nothing was ever committed.
    #[inline(always)]
    pub(super) fn in_force(env: &'a E) -> Option<Self> {
        let word = Word::unpack(env.control(Control::Directory));
        if word.generation == 0 {
            return None;
        }
        let [first, second] =
            [Control::FirstMultiplier, Control::SecondMultiplier].map(|word| env.control(word));
        Some(Self {
            env,
            side: word.side,
            multiplier: select(word.side as u64, second, first),
        })
    }

    /// Whether an address has VIPs.
    #[inline(always)]
    pub(super) fn has_vips(&self, address: Address) -> bool {
        self.find(address, 0, 0, EndpointKind::VipAddress).is_some()
    }

    /// The VIP that a packet goes to.
    #[inline(always)]
    pub(super) fn dialled(&self, parsed: &Parsed) -> Option<&'a Endpoint> {
        let (network, port) = (&parsed.network, parsed.transport.destination_port);
        self.serving(
            network.destination,
            port,
            network.protocol,
            EndpointKind::Vip,
        )
    }

    /// The backend that a packet comes from.
    #[inline(always)]
    pub(super) fn origin(&self, parsed: &Parsed) -> Option<&'a Endpoint> {
        let (network, port) = (&parsed.network, parsed.transport.source_port);
        self.serving(
            network.source,
            port,
            network.protocol,
            EndpointKind::Backend,
        )
    }

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
