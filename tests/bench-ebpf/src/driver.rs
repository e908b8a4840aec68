//! Owns the driver: it restores the frame from a template, puts the next flow into it, and hands
//! it to the program under test.
//!
//! A plain repeat of a program that rewrites its packet would measure the packets that it has
//! rewritten already.

use aya_ebpf::{
    bindings::xdp_action,
    btf_maps::{Array, ProgramArray},
    helpers::generated::bpf_get_smp_processor_id,
    macros::{btf_map, xdp},
    programs::XdpContext,
};

use crate::{
    frame::{self, Places, V4, V6},
    layout::{
        FLOW_BACKEND, FLOW_CLIENT, FLOW_PORTS, FRAME_SENDER, Flow, Frame, MAX_CPUS, MAX_FLOWS,
        MAX_FRAMES, RUN_FLOW, RUN_FRAMES, RUN_MASK, RUN_STEP, RUN_STEPS, RUN_VARY, Run,
        V4_HALFWORDS, V6_HALFWORDS,
    },
};

#[btf_map]
static RUNS: Array<Run, { MAX_CPUS as usize }> = Array::new();
#[btf_map]
static FRAMES: Array<Frame, { MAX_FRAMES as usize }> = Array::new();
#[btf_map]
static FLOWS: Array<Flow, { MAX_FLOWS as usize }> = Array::new();
#[btf_map]
static PROGRAMS: ProgramArray<1> = ProgramArray::new();

/// Drives IPv4 frames.
#[xdp]
pub fn driver_v4(ctx: XdpContext) -> u32 {
    drive::<V4_HALFWORDS>(&ctx, &V4)
}

/// Drives IPv6 frames.
#[xdp]
pub fn driver_v6(ctx: XdpContext) -> u32 {
    drive::<V6_HALFWORDS>(&ctx, &V6)
}

#[inline(always)]
fn drive<const N: usize>(ctx: &XdpContext, places: &Places) -> u32 {
    if next::<N>(ctx, places).is_some() {
        // SAFETY: nothing of this program is needed after the call.
        unsafe { PROGRAMS.tail_call(ctx, 0) }
    }
    xdp_action::XDP_ABORTED
}

/// Makes the next packet of this CPU's run.
#[inline(always)]
fn next<const N: usize>(ctx: &XdpContext, places: &Places) -> Option<()> {
    // SAFETY: the helper takes nothing.
    let cpu = unsafe { bpf_get_smp_processor_id() };
    let run = RUNS.get_ptr_mut(cpu)?;
    // SAFETY: a pointer from an array look-up is valid and aligned; the row is this CPU's own.
    let run = unsafe { &mut *run };
    let (begun, step) = (run[RUN_FLOW], run[RUN_STEP]);
    if step + 1 >= run[RUN_STEPS] {
        run[RUN_STEP] = 0;
        run[RUN_FLOW] = begun + 1;
    } else {
        run[RUN_STEP] = step + 1;
    }
    let template = FRAMES.get_ptr(run[RUN_FRAMES + (step & 3) as usize] as u32)?;
    let flow = FLOWS.get_ptr((begun & run[RUN_MASK]) as u32)?;
    // SAFETY: as above; user space writes neither while a run goes on.
    let (template, flow) = unsafe { (&*template, &*flow) };
    let mut packet = frame::Frame::<N>::new(ctx)?;
    let mut index = 0;
    while index < N {
        packet.set(index, template[index]);
        index += 1;
    }
    let varied = (begun as u32 & run[RUN_VARY] as u32).swap_bytes();
    let client = [flow[FLOW_CLIENT] ^ varied as u64, flow[FLOW_CLIENT + 1]];
    let (client_port, backend_port) = (flow[FLOW_PORTS] as u16, (flow[FLOW_PORTS] >> 16) as u16);
    // The checksums must stay right: a host's stack, in whose place programs are put, looks.
    let (mut addresses, mut rest) = (0, 0);
    if template[FRAME_SENDER] == 0 {
        addresses += packet.put_address(places.source, places.width, client);
        rest += packet.put(places.ports, client_port);
        rest += packet.put(places.ports + 2, begun as u16);
        rest += packet.put(places.ports + 3, (begun >> 16) as u16);
    } else {
        let backend = [flow[FLOW_BACKEND], flow[FLOW_BACKEND + 1]];
        addresses += packet.put_address(places.source, places.width, backend);
        addresses += packet.put_address(places.destination, places.width, client);
        rest += packet.put(places.ports, backend_port);
        rest += packet.put(places.ports + 1, client_port);
    }
    packet.update_checksums(places, addresses, rest);
    Some(())
}
