//! Owns the verdicts and reasons: what the program did with a packet, and why. Each packet that
//! the program sees is counted under exactly one pair; the names are the metric labels.

/// What happened to the packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Verdict {
    /// Passed untouched to this host's stack.
    Pass = 0,
    /// Dropped.
    Drop = 1,
    /// Sent out of the interface it came in by.
    Tx = 2,
    /// Sent out of another interface.
    Redirect = 3,
    /// Rewritten, then handed to this host's stack to be routed: the next hop is not known yet.
    Resolve = 4,
}

impl Verdict {
    /// All, in the order of their numbers.
    pub const ALL: [Self; 5] = [
        Self::Pass,
        Self::Drop,
        Self::Tx,
        Self::Redirect,
        Self::Resolve,
    ];

    /// The label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Drop => "drop",
            Self::Tx => "tx",
            Self::Redirect => "redirect",
            Self::Resolve => "resolve",
        }
    }
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $number:literal $name:literal,)*) => {
        /// Why.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(u8)]
        pub enum Reason { $($(#[$doc])* $variant = $number,)* }

        impl Reason {
            /// All, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The label.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

reasons! {
    /// No IPv4 or IPv6, or too short to tell.
    NotIp = 0 "not_ip",
    /// Nothing was ever committed.
    NotConfigured = 1 "not_configured",
    /// Neither to a VIP nor from a nat backend.
    NotOurs = 2 "not_ours",
    /// To an address that has VIPs, but neither TCP nor UDP nor ICMP that is ours to handle.
    OtherProtocol = 3 "other_protocol",
    /// From a nat backend, but of no flow: its own connection, a probe, a direct connection.
    ReplyWithoutFlow = 4 "reply_without_flow",
    /// From a backend that is no longer the flow's.
    ReplyOfOtherBackend = 5 "reply_of_other_backend",
    /// Client packet of an established flow.
    Established = 6 "established",
    /// Client packet of a pending flow.
    Pending = 7 "pending",
    /// The ACK that completed a handshake.
    Handshake = 8 "handshake",
    /// The first packet of a flow.
    NewFlow = 9 "new_flow",
    /// TCP without SYN and without entry, forwarded by decision.
    Adopted = 10 "adopted",
    /// Backend packet of a flow.
    Reply = 11 "reply",
    /// Headers that contradict themselves or end too early, to an address that has VIPs.
    Malformed = 12 "malformed",
    /// A fragment to an address that has VIPs whose datagram's first one was not seen.
    Fragment = 13 "fragment",
    /// IPv6 extension headers that are not walked, to an address that has VIPs.
    ExtensionHeader = 14 "extension_header",
    /// The time to live or hop limit ended here.
    TtlExpired = 15 "ttl_expired",
    /// The version that the client belongs to has no backend.
    VersionEmpty = 16 "version_empty",
    /// The tables name something that is not there: a fault of the daemon or of memory.
    Inconsistent = 17 "inconsistent",
    /// Backend packet without flow entry: the VIP put back by its address and port alone.
    ReplyStateless = 18 "reply_stateless",
    /// A backend dialled its own VIP and was chosen itself: it could not take its own address as a
    /// client's.
    Hairpin = 19 "hairpin",
    /// A fragment that went where the first one of its datagram went.
    FragmentFollowed = 20 "fragment_followed",
    /// An ICMP error about a flow.
    IcmpError = 21 "icmp_error",
    /// An echo to a VIP, answered.
    EchoReply = 22 "echo_reply",
    /// Too long for its way and not to be cut: its sender is told.
    TooBig = 23 "too_big",
    /// Of a flow that was ended here: its service decides otherwise by now, or its client is denied.
    FlowCut = 24 "flow_cut",
    /// A new flow of a client that the service does not serve.
    Denied = 25 "denied",
    /// A new flow beyond the limit of its service or client.
    Limited = 26 "limited",
}

/// The cell of the counter map for a pair.
#[inline(always)]
pub const fn cell(reason: Reason, verdict: Verdict) -> u32 {
    reason as u32 * 8 + verdict as u32
}

const _: () = assert!(Reason::ALL.len() * 8 <= crate::capacity::REASON_CELLS as usize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_positions_and_cells_do_not_meet() {
        for (position, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, position);
            assert!(!reason.name().is_empty());
        }
        for (position, verdict) in Verdict::ALL.iter().enumerate() {
            assert_eq!(*verdict as usize, position);
        }
        assert_ne!(
            cell(Reason::NotIp, Verdict::Resolve),
            cell(Reason::NotConfigured, Verdict::Pass)
        );
    }
}
