//! Owns the row of a service, and what it is made of.

use bytemuck::{Pod, Zeroable};

use crate::{
    address::Address,
    capacity::MAX_VERSIONS,
    flow::limit::Limit,
    hash::HashKey,
    segment::{PLACES, Segments},
    split::Cuts,
};

/// A Maglev table: a run of pages.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
pub struct TableRef {
    /// First page.
    pub page: u32,
    /// Cells, a prime; 0: no table, the version has no backend in this family.
    pub cells: u32,
}

/// One version inside a [`ServiceRow`].
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
pub struct VersionRow {
    /// Tables by [`crate::address::Family`].
    pub tables: [TableRef; 2],
    /// The commit that gave the index to this version.
    pub born: u32,
    /// An [`Empty`] by [`crate::address::Family`], while it has no backend that takes new flows.
    pub empty: [u16; 2],
}

/// What becomes of new flows of a version without backend.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u16)]
pub enum Empty {
    /// It has backends, or keeps those it had; without table its flows are dropped.
    No = 0,
    /// The baseline's backends serve them: its table stands for that of the version.
    Baseline = 1,
    /// They are refused with a RST, datagrams dropped.
    Reset = 2,
}

/// What a client is, for the split law.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum SplitKey {
    /// One IPv4 address, one IPv6 /64.
    Client = 0,
    /// An IPv4 /24, an IPv6 /48.
    Client24 = 1,
    /// One flow: client address, client port, dialled port, protocol.
    Flow = 2,
}

/// What keeps its backend inside a version.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Affinity {
    /// One flow.
    Flow = 0,
    /// All flows of one client (IPv4 /32, IPv6 /64).
    Client = 1,
}

/// Bits of [`ServiceRow::options`].
pub mod options {
    /// Backends speak HTTP/1.x without encryption: what they answer is counted by its class.
    pub const HTTP1: u32 = 0x01;
    /// Segments ask for traits of clients, see [`crate::traits`].
    pub const TRAITS: u32 = 0x02;
    /// They ask for device classes, so that SYNs are looked at.
    pub const DEVICES: u32 = 0x04;
    /// The others, which are 0.
    pub const UNUSED: u32 = !(HTTP1 | TRAITS | DEVICES);
}

/// A service: everything that a new flow's decision needs.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable)]
pub struct ServiceRow {
    /// The salt of the split law.
    pub salt: HashKey,
    /// The key of the choice inside a version.
    pub backend_key: HashKey,
    /// The cut points by place, see [`Segments`]; those of who is in no segment first.
    pub cuts: [Cuts; PLACES],
    /// The segments.
    pub segments: Segments,
    /// The versions by index.
    pub versions: [VersionRow; MAX_VERSIONS],
    /// The commit that wrote this row; flows carry it.
    pub generation: u32,
    /// The commit that gave the number to this service.
    pub born: u32,
    /// A [`SplitKey`].
    pub key: u8,
    /// An [`Affinity`], for TCP.
    pub affinity_tcp: u8,
    /// An [`Affinity`], for UDP.
    pub affinity_udp: u8,
    /// The baseline's index.
    pub baseline: u8,
    /// The [`crate::prefix::PrefixKey::list`] of addresses that backends speak to directly; 0: none.
    pub direct: u32,
    /// 1: while the release is supervised and the lease has run out, new flows go to the baseline.
    pub fail_safe: u32,
    /// The [`crate::prefix::PrefixKey::list`] of clients that are not served; 0: none.
    pub deny: u32,
    /// The [`crate::prefix::PrefixKey::list`] of clients that alone are served; 0: all are.
    pub allow: u32,
    /// Bits of [`options`].
    pub options: u32,
    /// Of new flows: all together, and those of each client.
    pub limits: [Limit; 2],
    /// The ledger of evidence, from 1; 0: clients are not judged.
    pub ledger: u16,
    /// The slot of the weights in force; below [`crate::evidence::SLOTS`].
    pub slot: u16,
    /// The last place on the line of the split law whose clients are judged.
    pub judged_until: u32,
}

/// Whose new flows are limited (one IPv4 address, one IPv6 /64), or whose traits are known (one address), at
/// one service.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Pod, Zeroable)]
pub struct ClientKey {
    /// The client's prefix or address.
    pub client: Address,
    /// The service; of traits its birth too, 32 bits up: who gets the number of another service knows nobody.
    pub service: u64,
}

impl ClientKey {
    /// Of a client whose traits are known, at a service by its number and row.
    #[inline(always)]
    pub const fn of(client: Address, service: u32, row: &ServiceRow) -> Self {
        Self {
            client,
            service: service as u64 | (row.born as u64) << 32,
        }
    }
}
