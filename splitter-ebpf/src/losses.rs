//! Counts frames that are lost after the verdict: the kernel tells of them by tracepoints of its XDP
//! code, on whose side of the interface nobody else sees them.
//!
//! Invariants: nothing here is on the way of a packet that gets through; only devices of the daemon's
//! own network namespace are counted. Where things stand in the kernel's structures the daemon says,
//! since that differs from one kernel to the next ([`LossPlaces`]).

use core::ffi::c_void;

use aya_ebpf::{
    helpers::bpf_probe_read_kernel, macros::raw_tracepoint, programs::RawTracePointContext,
};
use splitter_common::layout::{Loss, LossPlaces};

use crate::maps;

/// A `struct net_device` of the kernel.
type Device = *const c_void;

/// `dev, prog, target, error, map type, map id, index`: a redirect that was refused at once. Without
/// a map the index is the number of the interface that it was meant for.
#[raw_tracepoint]
pub fn loss_refused(ctx: RawTracePointContext) -> i32 {
    let index: u32 = ctx.arg(6);
    let meant = if ctx.arg::<u32>(4) == 0 { index } else { 0 };
    count(ctx.arg::<Device>(0), 1, meant, Loss::Refused)
}

/// `from, to, sent, drops, error`: redirected frames, of which the driver did not take some.
#[raw_tracepoint]
pub fn loss_unsent(ctx: RawTracePointContext) -> i32 {
    count(ctx.arg::<Device>(1), ctx.arg::<i32>(3), 0, Loss::Unsent)
}

/// `dev, sent, drops, error`: frames to be sent out of their own interface, likewise.
#[raw_tracepoint]
pub fn loss_returned(ctx: RawTracePointContext) -> i32 {
    count(ctx.arg::<Device>(0), ctx.arg::<i32>(2), 0, Loss::Returned)
}

/// `dev, prog, action`: a verdict that the driver could not carry out.
#[raw_tracepoint]
pub fn loss_failed(ctx: RawTracePointContext) -> i32 {
    count(ctx.arg::<Device>(0), 1, 0, Loss::Failed)
}

/// `meant`: the number of the interface that it was meant for; 0 for the device's own. No `Option`: kernels
/// before 6.3 refuse to read what one side of it leaves undefined.
#[inline(always)]
fn count(device: Device, frames: i32, meant: u32, loss: Loss) -> i32 {
    if frames > 0
        && let Some(places) = maps::loss_places()
        && let Some(own) = interface(device, places)
    {
        let ifindex = if meant == 0 { own } else { meant };
        maps::count_loss(ifindex, loss, frames as u64);
    }
    0
}

/// The number of a device of our namespace.
#[inline(always)]
fn interface(device: Device, places: &LossPlaces) -> Option<u32> {
    let namespace: Device = read(device, places.device_namespace)?;
    let number: u32 = read(namespace, places.namespace_number)?;
    if number != places.own_namespace {
        return None;
    }
    read(device, places.device_ifindex)
}

#[inline(always)]
fn read<T>(base: Device, offset: u32) -> Option<T> {
    // SAFETY: the helper reads the kernel's memory at any address, and fails where there is none; what
    // is read are numbers and addresses, of which any bytes are one.
    unsafe { bpf_probe_read_kernel(base.wrapping_byte_add(offset as usize).cast()) }.ok()
}
