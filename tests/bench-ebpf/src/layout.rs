//! Owns what the bench's programs share with its user side: rows of 64-bit words, whose words
//! have names here. Both sides include this very file.

/// Flows that the driver knows at most; a power of two.
pub(crate) const MAX_FLOWS: u32 = 524_288;
/// CPUs that may drive at once; a power of two.
pub(crate) const MAX_CPUS: u32 = 256;
/// Templates of frames.
pub(crate) const MAX_FRAMES: u32 = 16;
/// Halfwords of an IPv4 frame: 64 bytes, the shortest on Ethernet.
pub(crate) const V4_HALFWORDS: usize = 32;
/// Halfwords of an IPv6 frame: 80 bytes.
pub(crate) const V6_HALFWORDS: usize = 40;

/// What one CPU drives. Its words: the counter of flows begun, the step inside one, the mask of
/// flow numbers, the steps of a flow, the frame of each of up to four steps, and how clients vary.
pub(crate) type Run = [u64; 16];
/// The counter of flows begun; its low bits are also the TCP sequence number of the client.
pub(crate) const RUN_FLOW: usize = 0;
/// The step of the next packet.
pub(crate) const RUN_STEP: usize = 1;
/// Flows less one.
pub(crate) const RUN_MASK: usize = 2;
/// Packets of one flow before the next one's turn: 1 to 4.
pub(crate) const RUN_STEPS: usize = 3;
/// The frame of the first step; those of the others follow.
pub(crate) const RUN_FRAMES: usize = 4;
/// The bits of the counter of flows that are turned over in the client's address, the lowest in its last
/// byte (IPv4): so many clients more than there are flows.
pub(crate) const RUN_VARY: usize = 8;

/// One flow. Addresses are as in the frame, IPv4 in the low half of the first word; the ports
/// stand in one word, as in the frame: the client's, then the backend's.
pub(crate) type Flow = [u64; 6];
/// The client's address, two words.
pub(crate) const FLOW_CLIENT: usize = 0;
/// The backend's address, two words.
pub(crate) const FLOW_BACKEND: usize = 2;
/// Both ports.
pub(crate) const FLOW_PORTS: usize = 4;

/// A template: the halfwords of the frame in network order, then who sends it.
pub(crate) type Frame = [u16; V6_HALFWORDS + 4];
/// Which end of the flow goes into the frame: 0 the client's as source, 1 the backend's as source
/// and the client's as destination.
pub(crate) const FRAME_SENDER: usize = V6_HALFWORDS;

/// Where a floor sends: address (two words, as in a flow), port as in the frame, MACs.
pub(crate) type Target = [u64; 6];
/// The address, two words.
pub(crate) const TARGET_ADDRESS: usize = 0;
/// The port, as in the frame.
pub(crate) const TARGET_PORT: usize = 2;
/// Destination and source MAC as six halfwords, four of them here.
pub(crate) const TARGET_MACS: usize = 3;
