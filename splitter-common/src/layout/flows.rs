//! Owns the keys and values of what is remembered of traffic: flows and fragmented datagrams.

use bytemuck::{Pod, Zeroable};

use crate::{address::Address, capacity::PENDING_WAYS};

/// The key of a flow.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Pod, Zeroable)]
pub struct FlowKey {
    /// Client address.
    pub client: Address,
    /// Client port, native order.
    pub client_port: u16,
    /// Frontend number.
    pub frontend: u16,
    /// Dialled port, native order.
    pub port: u16,
    /// Zero.
    pub zero: u16,
}

/// What the fragments of one datagram share.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Pod, Zeroable)]
pub struct FragmentKey {
    /// Source address.
    pub source: Address,
    /// Destination address.
    pub destination: Address,
    /// Identification, as it stands in the packet.
    pub id: u32,
    /// IP protocol number of what was cut.
    pub protocol: u32,
}

/// Where the first fragment of a datagram went.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
pub struct FragmentRow {
    /// The address that it got.
    pub address: Address,
    /// The backend that it went to or came from.
    pub backend: u32,
    /// When, the low half of jiffies.
    pub seen: u32,
    /// 1: to the backend; 0: from it.
    pub inbound: u64,
}

/// A flow as nine words; [`crate::flow::Entry`] gives them names.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
pub struct FlowEntry {
    /// See [`crate::flow::Entry`].
    pub words: [u64; 9],
}

/// The heads of a set of pending flows, a line of its own; see [`crate::flow::pending`].
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
pub struct PendingSet {
    /// By way: the tag of the flow's key, 0 for none; 32 bits up when it was last looked for.
    pub heads: [u64; PENDING_WAYS as usize],
}

/// A pending flow.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
pub struct PendingFlow {
    /// Whose it is.
    pub key: FlowKey,
    /// What it is.
    pub entry: FlowEntry,
}
