//! Owns the floors: the least that a load balancer's program could do for the same packets.
//!
//! `tx` sends the packet back and does nothing; the stateless floor rewrites and counts; the floor
//! with state looks the flow up in an LRU table first, of splitter's own key and value, and enters
//! it at a SYN.

use aya_ebpf::{
    bindings::xdp_action,
    btf_maps::{Array, LruHashMap, PerCpuArray},
    helpers::generated::bpf_redirect,
    macros::{btf_map, xdp},
    programs::XdpContext,
};
use splitter_common::{
    address::Address,
    capacity::ESTABLISHED_FLOWS,
    layout::{FlowEntry, FlowKey},
};

use crate::{
    frame::{Frame, Places, V4, V6, updated},
    layout::{TARGET_ADDRESS, TARGET_MACS, TARGET_PORT, Target, V4_HALFWORDS, V6_HALFWORDS},
};

/// 80 as it stands in a frame.
const HTTP: u16 = 80u16.to_be();
/// SYN and ACK in the halfword of header length and flags, as it stands in a frame.
pub(crate) const SYN: u16 = 2u16.to_be();
pub(crate) const ACK: u16 = 16u16.to_be();

/// The word of an entry that says 1 when the flow is over.
pub(crate) const OVER: usize = 3;

/// Row 0: the backend, for what clients send; row 1: the VIP, for what backends send.
#[btf_map]
static TARGETS: Array<Target, 2> = Array::new();
#[btf_map]
static FLOOR_FLOWS: LruHashMap<FlowKey, FlowEntry, { ESTABLISHED_FLOWS as usize }> =
    LruHashMap::new();
/// An entry that is on its way into a table.
#[btf_map]
static FLOOR_ENTRY: PerCpuArray<FlowEntry, 1> = PerCpuArray::new();

/// Packets and bytes.
#[btf_map]
static FLOOR_COUNTS: PerCpuArray<[u64; 2], 1> = PerCpuArray::new();

/// Sends the packet back.
#[xdp]
pub fn tx(_ctx: XdpContext) -> u32 {
    xdp_action::XDP_TX
}

/// The interfaces that [`send`] and [`pass_on`] send to.
#[btf_map]
static SEND_TO: Array<u32, 2> = Array::new();

/// Sends live frames out of an interface: the beginning of their way.
#[xdp]
pub fn send(_ctx: XdpContext) -> u32 {
    redirect(0)
}

/// Sends frames on as they are: the least that a program on their way could do.
#[xdp]
pub fn pass_on(_ctx: XdpContext) -> u32 {
    redirect(1)
}

#[inline(always)]
fn redirect(row: u32) -> u32 {
    let Some(ifindex) = SEND_TO.get_ptr(row) else {
        return xdp_action::XDP_ABORTED;
    };
    // SAFETY: a pointer from an array look-up is valid; the helper takes two numbers.
    unsafe { bpf_redirect(ifindex.read_volatile(), 0) as u32 }
}

/// Counts what comes and drops it: the receiving end of live frames.
#[xdp]
pub fn sink(ctx: XdpContext) -> u32 {
    count(&ctx);
    xdp_action::XDP_DROP
}

#[xdp]
pub fn floor_stateless_v4(ctx: XdpContext) -> u32 {
    floor::<V4_HALFWORDS, false>(&ctx, &V4).unwrap_or(xdp_action::XDP_ABORTED)
}

#[xdp]
pub fn floor_stateless_v6(ctx: XdpContext) -> u32 {
    floor::<V6_HALFWORDS, false>(&ctx, &V6).unwrap_or(xdp_action::XDP_ABORTED)
}

#[xdp]
pub fn floor_lru_v4(ctx: XdpContext) -> u32 {
    floor::<V4_HALFWORDS, true>(&ctx, &V4).unwrap_or(xdp_action::XDP_ABORTED)
}

#[xdp]
pub fn floor_lru_v6(ctx: XdpContext) -> u32 {
    floor::<V6_HALFWORDS, true>(&ctx, &V6).unwrap_or(xdp_action::XDP_ABORTED)
}

#[inline(always)]
fn floor<const N: usize, const STATE: bool>(ctx: &XdpContext, places: &Places) -> Option<u32> {
    let mut packet = Frame::<N>::new(ctx)?;
    let (key, is_request) = key_of(&packet, places);
    let mut row = !is_request as u32;
    if STATE {
        row = state(&packet, places, &key, is_request)? & 1;
    }
    send_to(&mut packet, places, is_request, row)?;
    count(ctx);
    Some(xdp_action::XDP_TX)
}

/// Rewrites a packet on its way to the one backend, or from it.
#[inline(always)]
pub(crate) fn send_on<const N: usize>(
    packet: &mut Frame<N>,
    places: &Places,
    is_request: bool,
) -> Option<()> {
    send_to(packet, places, is_request, !is_request as u32)
}

#[inline(always)]
fn send_to<const N: usize>(
    packet: &mut Frame<N>,
    places: &Places,
    is_request: bool,
    row: u32,
) -> Option<()> {
    let target = TARGETS.get_ptr(row)?;
    // SAFETY: a pointer from an array look-up is valid and aligned; nobody writes it during a run.
    let target = unsafe { &*target };
    rewrite(packet, places, is_request, target);
    Some(())
}

/// The key of a packet's flow, and whether a client sends it.
#[inline(always)]
pub(crate) fn key_of<const N: usize>(packet: &Frame<N>, places: &Places) -> (FlowKey, bool) {
    let is_request = packet.get(places.ports + 1) == HTTP;
    let (end, port) = if is_request {
        (places.source, packet.get(places.ports))
    } else {
        (places.destination, packet.get(places.ports + 1))
    };
    let key = FlowKey {
        client: Address(packet.address(end, places.width)),
        client_port: port,
        frontend: 0,
        port: HTTP,
        zero: 0,
    };
    (key, is_request)
}

/// The flow's row of targets, by its entry.
#[inline(always)]
fn state<const N: usize>(
    packet: &Frame<N>,
    places: &Places,
    key: &FlowKey,
    is_request: bool,
) -> Option<u32> {
    let is_syn = packet.get(places.ports + 6) & (SYN | ACK) == SYN;
    if !is_syn && let Some(entry) = FLOOR_FLOWS.get_ptr(key) {
        // SAFETY: a pointer from a look-up stays mapped for the run.
        let word = unsafe { (&raw const (*entry).words[1]).read_volatile() };
        return Some(word as u32 + !is_request as u32);
    }
    FLOOR_FLOWS.insert(key, new_entry(0)?, 0).ok()?;
    Some(!is_request as u32)
}

/// An entry whose flow is `over` or not, written word by word: a memset is a loop over bytes here.
#[inline(always)]
pub(crate) fn new_entry(over: u64) -> Option<&'static FlowEntry> {
    let cell = FLOOR_ENTRY.get_ptr_mut(0)?;
    let mut word = 0;
    while word < size_of::<FlowEntry>() / 8 {
        let value = if word == OVER { over } else { 0 };
        // SAFETY: the cell is this CPU's own, and the index is in range.
        unsafe { (&raw mut (*cell).words[word]).write_volatile(value) };
        word += 1;
    }
    // SAFETY: it was written just now.
    Some(unsafe { &*cell })
}

/// Puts another address and port in, with checksums (RFC 1624), time to live and MACs.
#[inline(always)]
fn rewrite<const N: usize>(
    packet: &mut Frame<N>,
    places: &Places,
    is_request: bool,
    target: &Target,
) {
    let words = [target[TARGET_ADDRESS], target[TARGET_ADDRESS + 1]];
    let (at, port_at) = if is_request {
        (places.destination, places.ports + 1)
    } else {
        (places.source, places.ports)
    };
    let addresses = packet.put_address(at, places.width, words);
    let rest = packet.put(port_at, target[TARGET_PORT] as u16);
    packet.update_checksums(places, addresses, rest);
    if places.width == 2 {
        // The time to live is the first byte of its halfword, and IPv4's checksum covers it.
        let ttl = packet.get(11);
        let change = packet.put(11, ttl.wrapping_sub(1));
        packet.set(12, updated(packet.get(12), change));
    } else {
        // The hop limit is the second byte of its halfword.
        let hops = packet.get(10);
        packet.set(10, hops.wrapping_sub(256));
    }
    let mut index = 0;
    while index < 6 {
        let word = target[TARGET_MACS + index / 4];
        packet.set(index, (word >> (16 * (index % 4))) as u16);
        index += 1;
    }
}

/// Counts a packet.
#[inline(always)]
pub(crate) fn count(ctx: &XdpContext) {
    let length = (ctx.data_end() - ctx.data()) as u64;
    if let Some(cells) = FLOOR_COUNTS.get_ptr_mut(0) {
        // SAFETY: a per-CPU cell has one writer at a time.
        unsafe {
            (*cells)[0] += 1;
            (*cells)[1] += length;
        }
    }
}
