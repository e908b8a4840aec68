//! Owns the engine's way to a client's traits, see [`crate::traits`]: those that its open flow keeps, those
//! that stand for it, or what its SYN shows.

use super::{Env, Parsed};
use crate::{
    address::Address,
    device::{SIGNATURE_WORDS, Signature},
    flow::{Entry, law::is_bare_syn},
    layout::{ClientKey, FlowKey, Left, ServiceRow, options},
    packet::{L3, Packet, TCP, TCP_HEADER},
};

/// Where the window stands in a TCP header, bytes.
const WINDOW_AT: usize = 14;

/// The traits of the client of a packet that was left to its service: those of its flow, where it is
/// open and keeps any. A number, for the reason of [`super::decision::conditions`].
#[inline(always)]
pub(super) fn of_packet<P: Packet, E: Env>(
    packet: &P,
    env: &E,
    parsed: &Parsed,
    left: &Left,
    row: &ServiceRow,
) -> u32 {
    if row.options & options::TRAITS == 0 {
        return row.options & options::UNUSED;
    }
    if left.backend != 0 && left.traits != 0 {
        return left.traits;
    }
    let device = if row.options & options::DEVICES != 0 {
        device(packet, env, parsed, row)
    } else {
        row.options & options::UNUSED
    };
    let key = ClientKey::of(parsed.network.source, left.service, row);
    env.client_traits(&row.segments.traits, &key, device)
}

/// The traits that stand for a client, whose SYN is not at hand.
#[inline(always)]
pub(super) fn of_client<E: Env>(env: &E, row: &ServiceRow, client: Address, service: u32) -> u32 {
    let none = row.options & options::UNUSED;
    if row.options & options::TRAITS == 0 {
        return none;
    }
    let key = ClientKey::of(client, service, row);
    env.client_traits(&row.segments.traits, &key, none)
}

/// A flow was answered whose service asks for traits: its client is remembered.
#[inline(always)]
pub(super) fn learn<E: Env>(env: &E, row: &ServiceRow, key: &FlowKey, entry: &Entry) {
    if row.options & options::TRAITS != 0 {
        let key = ClientKey::of(key.client, entry.service as u32, row);
        env.learn(&row.segments.traits, &key, entry.traits);
    }
}

/// The device class that a SYN shows; that of unknown ones for all other packets.
#[inline(always)]
fn device<P: Packet, E: Env>(packet: &P, env: &E, parsed: &Parsed, row: &ServiceRow) -> u32 {
    if parsed.network.protocol != TCP || !is_bare_syn(&parsed.transport.segment) {
        return row.options & options::UNUSED;
    }
    sign(packet, env, parsed);
    env.device()
}

/// Keeps the signature of a SYN, word by word.
#[inline(always)]
fn sign<P: Packet, E: Env>(packet: &P, env: &E, parsed: &Parsed) {
    let l4 = parsed.network.l4();
    let end = L3 as u32 + parsed.network.length;
    let header = end
        .wrapping_sub(parsed.transport.segment.payload)
        .wrapping_sub(l4 as u32);
    let option_bytes = header.wrapping_sub(TCP_HEADER as u32);
    let window = packet
        .read::<1>(l4 + WINDOW_AT)
        .map_or(0, |[window]| window);
    let ttl = parsed.network.ttl;
    env.sign(0, Signature::head(ttl, option_bytes, u16::from_be(window)));
    for word in 1..SIGNATURE_WORDS {
        let at = 8 * (word - 1);
        let first = four_bytes(packet, l4 + TCP_HEADER + at) & within(at, option_bytes);
        let second = four_bytes(packet, l4 + TCP_HEADER + at + 4) & within(at + 4, option_bytes);
        env.sign(word, first as u64 | (second as u64) << 32);
    }
}

/// Four bytes of the packet, first byte lowest; zeros behind its end.
#[inline(always)]
fn four_bytes<P: Packet>(packet: &P, at: usize) -> u32 {
    let read = packet.read::<2>(at);
    read.map_or(0, |[first, second]| first as u32 | (second as u32) << 16)
}

/// All bits where an offset is below a length, else none. Both are small.
#[inline(always)]
const fn within(at: usize, length: u32) -> u32 {
    ((at as u32).wrapping_sub(length) as i32 >> 31) as u32
}
