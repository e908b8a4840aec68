//! Owns what is told of a packet to whoever traces its client: whose packets are asked for, how many are
//! told at most, and the record itself.

use bytemuck::{Pod, Zeroable};

use crate::{
    address::{Address, is_zero},
    flow::limit::Limit,
};

/// Packets that are told a second, those of all traces together. Beyond that they are counted only.
pub const TRACED_PER_S: u32 = 1_000;

/// How fast packets are told, in a burst of as much as a second's.
pub const RATE: Limit = Limit::new(TRACED_PER_S, TRACED_PER_S);

/// Whose packets one trace asks for.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
pub struct TraceRow {
    /// Jiffies until which it asks; 0: not at all.
    pub until: u64,
    /// The client, or the prefix that clients are in; what `mask` does not cover is 0.
    pub client: Address,
    /// The bits of an address that must be those of `client`.
    pub mask: [u64; 2],
    /// One more than the number of the service; 0: of any, and packets of none.
    pub service: u64,
}

impl TraceRow {
    /// 1 when it asks, at `now` (jiffies), for a packet of a service (as in `service`) from or to either
    /// of two addresses; without a branch.
    #[inline(always)]
    pub const fn asks(&self, now: u64, service: u64, either: [Address; 2]) -> u64 {
        let [a, b] = either;
        let of_service = is_zero(self.service) | is_zero(self.service ^ service);
        (now < self.until) as u64 & of_service & (self.covers(a) | self.covers(b))
    }

    #[inline(always)]
    const fn covers(&self, address: Address) -> u64 {
        let ([a, b], [c, d]) = (address.0, self.client.0);
        let [high, low] = self.mask;
        is_zero((a & high) ^ c) & is_zero((b & low) ^ d)
    }
}

/// What a flow's entry stood in when its packet was told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Known {
    /// There is no entry.
    Unknown = 0,
    /// Pending.
    Pending = 1,
    /// Established.
    Established = 2,
}

impl Known {
    /// From its number; anything else is unknown.
    pub const fn of(number: u8) -> Self {
        match number {
            1 => Self::Pending,
            2 => Self::Established,
            _ => Self::Unknown,
        }
    }

    /// For people and programs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Pending => "pending",
            Self::Established => "established",
        }
    }
}

/// What the program did with a packet.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
pub struct Traced {
    /// When, nanoseconds of CLOCK_MONOTONIC.
    pub at_ns: u64,
    /// Source address, as it came.
    pub source: Address,
    /// Destination address, as it came.
    pub destination: Address,
    /// Packets that were asked for and not told, since the host started.
    pub untold: u64,
    /// Source port, as it came, native order; 0 where it was not read.
    pub source_port: u16,
    /// The same of the destination.
    pub destination_port: u16,
    /// The service, where `has` says so.
    pub service: u16,
    /// IP protocol number.
    pub protocol: u8,
    /// TCP's flags.
    pub flags: u8,
    /// The cell of reason and verdict, see [`crate::reason::cell`].
    pub ended: u32,
    /// The keyed hash of the client, where `has` says so.
    pub hash: u32,
    /// The backend; 0 for none.
    pub backend: u32,
    /// The generation that decided the flow; 0 without an entry.
    pub generation: u32,
    /// Length of the IP packet, bytes.
    pub length: u32,
    /// The interface it came in by.
    pub ifindex: u32,
    /// Which traces asked for it, a bit for each.
    pub rows: u8,
    /// A [`Known`].
    pub known: u8,
    /// Index of the version that serves the flow, or would by the weights in force.
    pub version: u8,
    /// The client's place among the segments.
    pub place: u8,
    /// Index of the version that the client belongs to by the weights in force.
    pub assigned: u8,
    /// 1: the packet came from a backend.
    pub reply: u8,
    /// 1: `service` and what follows from it are said.
    pub has: u8,
    /// Zero.
    pub zero: u8,
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::IpAddr;

    fn row(client: &str, bits: u32, service: u64) -> TraceRow {
        let ip: IpAddr = client.parse().expect("an address");
        let address = Address::from(ip);
        TraceRow {
            until: 100,
            client: address.prefix(bits, bits),
            mask: address.masks(bits, bits),
            service,
        }
    }

    fn asks(row: &TraceRow, now: u64, service: u64, from: &str, to: &str) -> bool {
        let address = |text: &str| Address::from(text.parse::<IpAddr>().expect("an address"));
        row.asks(now, service, [address(from), address(to)]) == 1
    }

    #[test]
    fn a_trace_asks_for_its_client_both_ways_until_it_ends() {
        let row = row("10.1.0.7", 32, 0);
        assert!(asks(&row, 99, 1, "10.1.0.7", "192.0.2.1"));
        assert!(asks(&row, 99, 1, "192.0.2.1", "10.1.0.7"));
        assert!(!asks(&row, 99, 1, "10.1.0.8", "192.0.2.1"));
        assert!(!asks(&row, 100, 1, "10.1.0.7", "192.0.2.1"));
        assert!(!asks(&TraceRow::default(), 0, 0, "::", "::"));
    }

    #[test]
    fn prefixes_cover_their_own_family_alone() {
        let four = row("10.0.0.0", 8, 0);
        assert!(asks(&four, 0, 0, "10.200.0.1", "192.0.2.1"));
        assert!(!asks(&four, 0, 0, "a00::1", "192.0.2.1"));
        let all = row("0.0.0.0", 0, 0);
        assert!(asks(&all, 0, 0, "203.0.113.9", "192.0.2.1"));
        assert!(!asks(&all, 0, 0, "2001:db8::1", "2001:db8::2"));
        let six = row("2001:db8::", 64, 0);
        assert!(asks(&six, 0, 0, "2001:db8::77", "2001:db8:1::1"));
        assert!(!asks(&six, 0, 0, "2001:db8:1::77", "2001:db8:1::1"));
    }

    #[test]
    fn a_service_is_asked_for_by_its_number_and_one() {
        let row = row("10.1.0.7", 32, 4);
        assert!(asks(&row, 0, 4, "10.1.0.7", "192.0.2.1"));
        assert!(!asks(&row, 0, 5, "10.1.0.7", "192.0.2.1"));
        // A packet of none.
        assert!(!asks(&row, 0, 0, "10.1.0.7", "192.0.2.1"));
    }
}
