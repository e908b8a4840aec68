//! Owns the floor with tables: the least that a balancer could do for the same packets whose established
//! flows no flood may evict, and whose replies go where the host's routes lead. A flow begins in a table of
//! its own and enters the other when its handshake is complete; the way back is asked of the kernel once.
//! It decides nothing: every flow has the one backend.

use core::mem::MaybeUninit;

use aya_ebpf::{
    bindings::{bpf_fib_lookup, xdp_action},
    btf_maps::LruHashMap,
    helpers::generated::bpf_fib_lookup as fib_lookup,
    macros::{btf_map, xdp},
    programs::XdpContext,
};
use splitter_common::{
    capacity::{ESTABLISHED_FLOWS, PENDING_FLOWS},
    layout::{FlowEntry, FlowKey},
};

use crate::{
    floors::{ACK, OVER, SYN, count, key_of, new_entry, send_on},
    frame::{Frame, Places, V4, V6},
    layout::{V4_HALFWORDS, V6_HALFWORDS},
};

/// FIN beside [`SYN`] and [`ACK`].
const FIN: u16 = 1u16.to_be();
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const TCP: u8 = 6;

#[btf_map]
static TABLES_PENDING: LruHashMap<FlowKey, FlowEntry, { PENDING_FLOWS as usize }> =
    LruHashMap::new();
#[btf_map]
static TABLES_ESTABLISHED: LruHashMap<FlowKey, FlowEntry, { ESTABLISHED_FLOWS as usize }> =
    LruHashMap::new();

/// Aligned, so that it is cleared by eight stores; a memset is a loop over bytes here.
#[repr(C, align(8))]
struct Query(bpf_fib_lookup);

#[xdp]
pub fn floor_tables_v4(ctx: XdpContext) -> u32 {
    floor::<V4_HALFWORDS>(&ctx, &V4).unwrap_or(xdp_action::XDP_ABORTED)
}

#[xdp]
pub fn floor_tables_v6(ctx: XdpContext) -> u32 {
    floor::<V6_HALFWORDS>(&ctx, &V6).unwrap_or(xdp_action::XDP_ABORTED)
}

#[inline(always)]
fn floor<const N: usize>(ctx: &XdpContext, places: &Places) -> Option<u32> {
    let mut packet = Frame::<N>::new(ctx)?;
    let (key, is_request) = key_of(&packet, places);
    let flags = packet.get(places.ports + 6);
    let mut live = false;
    if let Some(entry) = TABLES_ESTABLISHED.get_ptr_mut(&key) {
        // SAFETY: a pointer from a look-up stays mapped for the run.
        let over = unsafe { &raw mut (*entry).words[OVER] };
        if flags & (SYN | ACK) == SYN {
            // Another flow under the same ports.
            // SAFETY: as above.
            unsafe { over.write_volatile(1) };
        }
        // SAFETY: as above.
        live = unsafe { over.read_volatile() } == 0;
    }
    if !live {
        handshake(ctx, &packet, places, &key, is_request, flags)?;
    }
    send_on(&mut packet, places, is_request)?;
    count(ctx);
    Some(xdp_action::XDP_TX)
}

/// A packet of a flow that is not established.
#[inline(always)]
fn handshake<const N: usize>(
    ctx: &XdpContext,
    packet: &Frame<N>,
    places: &Places,
    key: &FlowKey,
    is_request: bool,
    flags: u16,
) -> Option<()> {
    let pending = TABLES_PENDING.get_ptr(key).is_some();
    if is_request && flags & (SYN | ACK) == SYN {
        return TABLES_PENDING.insert(key, new_entry(0)?, 0).ok();
    }
    if !pending {
        return None;
    }
    if !is_request {
        return has_way(ctx, packet, places);
    }
    let over = (flags & FIN != 0) as u64;
    TABLES_ESTABLISHED.insert(key, new_entry(over)?, 0).ok()?;
    TABLES_PENDING.remove(key).ok()
}

/// Asks the kernel for the way to the client of a reply.
#[inline(always)]
fn has_way<const N: usize>(ctx: &XdpContext, packet: &Frame<N>, places: &Places) -> Option<()> {
    let mut aligned = MaybeUninit::<Query>::uninit();
    let words = aligned.as_mut_ptr().cast::<u64>();
    let mut at = 0;
    while at < size_of::<Query>() / 8 {
        // SAFETY: inside the struct, which is aligned for words.
        unsafe { words.add(at).write_volatile(0) };
        at += 1;
    }
    // SAFETY: all of the struct's fields are numbers, for which zero bits are a value.
    let Query(query) = unsafe { aligned.assume_init_mut() };
    let word = |end: usize, at: usize| {
        packet.get(end + at) as u32 | (packet.get(end + at + 1) as u32) << 16
    };
    let (from, to) = (places.source, places.destination);
    if places.width == 2 {
        query.family = AF_INET;
        query.__bindgen_anon_3.ipv4_src = word(from, 0);
        query.__bindgen_anon_4.ipv4_dst = word(to, 0);
    } else {
        query.family = AF_INET6;
        query.__bindgen_anon_3.ipv6_src =
            [word(from, 0), word(from, 2), word(from, 4), word(from, 6)];
        query.__bindgen_anon_4.ipv6_dst = [word(to, 0), word(to, 2), word(to, 4), word(to, 6)];
    }
    query.l4_protocol = TCP;
    query.ifindex = ctx.ingress_ifindex() as u32;
    // SAFETY: the context is this run's, and the length is that of the struct.
    let found = unsafe {
        fib_lookup(
            ctx.ctx.cast(),
            &raw mut *query,
            size_of::<bpf_fib_lookup>() as i32,
            0,
        )
    };
    (found == 0).then_some(())
}
