//! The XDP program of splitter: a thin shell over `splitter_common::engine`. It turns bytes into
//! halfwords, look-ups into map look-ups and an outcome into an XDP action; it decides nothing.
//!
//! Invariants: no policy here; `unsafe` stands in [`packet`] (packet access), [`maps`], [`times`], [`evidence`], [`clients`]
//! (map access), [`losses`] (the kernel's structures) and the entry points below, nowhere else.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]
#![allow(
    missing_docs,
    unreachable_pub,
    reason = "the xdp macro emits public items without docs"
)]

mod clients;
mod evidence;
mod kernel;
mod losses;
mod maps;
mod packet;
mod times;

use aya_ebpf::{
    bindings::xdp_action,
    btf_maps::ProgramArray,
    helpers::{
        bpf_ktime_get_ns,
        generated::{bpf_jiffies64, bpf_redirect},
    },
    macros::xdp,
    programs::XdpContext,
};
use splitter_common::{
    engine::{self, Aside, Outcome},
    layout::{self, Control, Left, PROGRAMS},
    reason::{self, Reason, Verdict},
};

use crate::{kernel::Kernel, packet::XdpPacket};

/// For interfaces whose frames fit one buffer.
#[xdp]
pub fn splitter(ctx: XdpContext) -> u32 {
    go(&ctx, XdpPacket::linear(&ctx), &maps::ASIDE)
}

/// For interfaces whose frames may span several buffers (kernel 5.18 and later).
#[xdp(frags)]
pub fn splitter_frags(ctx: XdpContext) -> u32 {
    go(&ctx, XdpPacket::with_frags(&ctx), &maps::ASIDE_FRAGS)
}

/// What `splitter` leaves to the service: new flows, and whether open ones may go on.
#[xdp]
pub fn splitter_decide(ctx: XdpContext) -> u32 {
    decide(&ctx, XdpPacket::linear(&ctx), &maps::ASIDE)
}

/// What `splitter_frags` leaves to the service.
#[xdp(frags)]
pub fn splitter_decide_frags(ctx: XdpContext) -> u32 {
    decide(&ctx, XdpPacket::with_frags(&ctx), &maps::ASIDE_FRAGS)
}

/// What `splitter` leaves aside: ICMP, and answers to what is too big or was ended.
#[xdp]
pub fn splitter_aside(ctx: XdpContext) -> u32 {
    answer(&ctx, XdpPacket::linear(&ctx), &maps::ASIDE)
}

/// What `splitter_frags` leaves aside.
#[xdp(frags)]
pub fn splitter_aside_frags(ctx: XdpContext) -> u32 {
    answer(&ctx, XdpPacket::with_frags(&ctx), &maps::ASIDE_FRAGS)
}

/// What a packet tells that `splitter` has sent on.
#[xdp]
pub fn splitter_measure(ctx: XdpContext) -> u32 {
    measure(&ctx, &XdpPacket::linear(&ctx), &maps::ASIDE)
}

/// What a packet tells that `splitter_frags` has sent on.
#[xdp(frags)]
pub fn splitter_measure_frags(ctx: XdpContext) -> u32 {
    measure(&ctx, &XdpPacket::with_frags(&ctx), &maps::ASIDE_FRAGS)
}

/// What whoever traces is told of a packet that ended in `splitter` or one that it called.
#[xdp]
pub fn splitter_trace(ctx: XdpContext) -> u32 {
    trace(&ctx)
}

/// The same for `splitter_frags`.
#[xdp(frags)]
pub fn splitter_trace_frags(ctx: XdpContext) -> u32 {
    trace(&ctx)
}

/// Run by the daemon through BPF_PROG_TEST_RUN to read the kernel's clocks; never attached.
#[xdp]
pub fn clock(_ctx: XdpContext) -> u32 {
    // SAFETY: both helpers take nothing and only read clocks.
    let (jiffies, now_ns) = unsafe { (bpf_jiffies64(), bpf_ktime_get_ns()) };
    if let Some(words) = maps::control_words() {
        words.store(Control::Jiffies, jiffies);
        words.store(Control::MonotonicNs, now_ns);
    }
    xdp_action::XDP_PASS
}

#[inline(always)]
fn go(ctx: &XdpContext, mut packet: XdpPacket<'_>, aside: &ProgramArray<PROGRAMS>) -> u32 {
    let Some(kernel) = Kernel::new(ctx) else {
        return xdp_action::XDP_ABORTED;
    };
    let outcome = engine::process(&mut packet, &kernel);
    if matches!(outcome.aside, Aside::Decide) {
        // SAFETY: nothing here needs to be dropped. When the program is not there, this one goes
        // on, and the outcome stands.
        unsafe { aside.tail_call(ctx, layout::DECIDES) };
    } else {
        leave_aside(ctx, aside, &outcome);
    }
    measured(ctx, &kernel, aside, &outcome)
}

#[inline(always)]
fn measure(ctx: &XdpContext, packet: &XdpPacket<'_>, aside: &ProgramArray<PROGRAMS>) -> u32 {
    let Some(kernel) = Kernel::new(ctx) else {
        return xdp_action::XDP_ABORTED;
    };
    engine::measure(packet, &kernel);
    if engine::is_anyone_tracing(&kernel) {
        // SAFETY: as in `go`; without the program nobody is told.
        unsafe { aside.tail_call(ctx, layout::TRACES) };
    }
    maps::left().map_or(xdp_action::XDP_ABORTED, |left| left.action)
}

#[inline(always)]
fn trace(ctx: &XdpContext) -> u32 {
    if let Some(kernel) = Kernel::new(ctx) {
        engine::trace(&kernel);
    }
    maps::left().map_or(xdp_action::XDP_ABORTED, |left| left.action)
}

/// What XDP shall do with a packet that has ended, once whoever traces has been told.
#[inline(always)]
fn told(
    ctx: &XdpContext,
    kernel: &Kernel<'_>,
    aside: &ProgramArray<PROGRAMS>,
    outcome: &Outcome,
    action: u32,
) -> u32 {
    if engine::is_traced(kernel, outcome) {
        maps::leave_end(action, reason::cell(outcome.reason, outcome.verdict));
        // SAFETY: as in `go`; without the program nobody is told.
        unsafe { aside.tail_call(ctx, layout::TRACES) };
    }
    action
}

#[inline(always)]
fn decide(ctx: &XdpContext, mut packet: XdpPacket<'_>, aside: &ProgramArray<PROGRAMS>) -> u32 {
    let Some(kernel) = Kernel::new(ctx) else {
        return xdp_action::XDP_ABORTED;
    };
    let outcome = engine::decide(&mut packet, &kernel);
    leave_aside(ctx, aside, &outcome);
    measured(ctx, &kernel, aside, &outcome)
}

/// What XDP shall do with a packet that was not left aside: it goes there once what it tells is measured.
#[inline(always)]
fn measured(
    ctx: &XdpContext,
    kernel: &Kernel<'_>,
    aside: &ProgramArray<PROGRAMS>,
    outcome: &Outcome,
) -> u32 {
    let action = conclude(kernel, outcome);
    if engine::is_measured(kernel, outcome) {
        maps::leave_end(action, reason::cell(outcome.reason, outcome.verdict));
        // SAFETY: as in `go`; without the program nothing is measured. Where the packet goes is noted
        // by the kernel for this CPU.
        unsafe { aside.tail_call(ctx, layout::MEASURES) };
    }
    told(ctx, kernel, aside, outcome, action)
}

/// Leaves the packet to the program that answers, if it is one to be answered.
#[inline(always)]
fn leave_aside(ctx: &XdpContext, aside: &ProgramArray<PROGRAMS>, outcome: &Outcome) {
    if !matches!(outcome.aside, Aside::Nothing) {
        maps::leave(Left {
            aside: outcome.aside as u32,
            number: outcome.number,
            ..Left::default()
        });
        // SAFETY: as in `go`.
        unsafe { aside.tail_call(ctx, layout::ANSWERS) };
    }
}

#[inline(always)]
fn answer(ctx: &XdpContext, mut packet: XdpPacket<'_>, aside: &ProgramArray<PROGRAMS>) -> u32 {
    let Some(kernel) = Kernel::new(ctx) else {
        return xdp_action::XDP_ABORTED;
    };
    let outcome = engine::answer(&mut packet, &kernel);
    let action = conclude(&kernel, &outcome);
    told(ctx, &kernel, aside, &outcome, action)
}

#[inline(always)]
fn conclude(kernel: &Kernel<'_>, outcome: &Outcome) -> u32 {
    maps::count_reason(reason::cell(outcome.reason, outcome.verdict));
    if matches!(outcome.reason, Reason::Inconsistent) {
        kernel.diagnose(outcome.number);
    }
    match outcome.verdict {
        Verdict::Pass | Verdict::Resolve => xdp_action::XDP_PASS,
        Verdict::Drop => xdp_action::XDP_DROP,
        Verdict::Tx => xdp_action::XDP_TX,
        // SAFETY: the helper takes two numbers; an unknown interface makes it return XDP_ABORTED.
        Verdict::Redirect => unsafe { bpf_redirect(outcome.number, 0) as u32 },
    }
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
