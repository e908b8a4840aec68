//! Owns packet access: each read and write is checked against the end of the linear part, with
//! a size the verifier knows.

use aya_ebpf::{
    helpers::generated::{bpf_xdp_adjust_head, bpf_xdp_adjust_tail, bpf_xdp_get_buff_len},
    programs::XdpContext,
};
use splitter_common::packet::Packet;

/// The packet of one program run.
pub(crate) struct XdpPacket<'a> {
    ctx: &'a XdpContext,
    start: usize,
    end: usize,
    length: usize,
}

impl<'a> XdpPacket<'a> {
    /// A packet in one buffer.
    #[inline(always)]
    pub(crate) fn linear(ctx: &'a XdpContext) -> Self {
        let (start, end) = (ctx.data(), ctx.data_end());
        Self {
            start,
            end,
            length: end - start,
            ctx,
        }
    }

    /// A packet that may span several buffers; headers are read from the first.
    #[inline(always)]
    pub(crate) fn with_frags(ctx: &'a XdpContext) -> Self {
        let (start, end) = (ctx.data(), ctx.data_end());
        // SAFETY: the context is the one this run was given.
        let length = unsafe { bpf_xdp_get_buff_len(ctx.ctx) } as usize;
        Self {
            start,
            end,
            length,
            ctx,
        }
    }

    /// Where `N` halfwords stand, if they are there.
    #[inline(always)]
    fn at<const N: usize>(&self, offset: usize) -> Option<*mut [u16; N]> {
        let start = self.start + offset;
        if start + size_of::<[u16; N]>() > self.end {
            return None;
        }
        Some(start as *mut [u16; N])
    }
}

impl Packet for XdpPacket<'_> {
    #[inline(always)]
    fn length(&self) -> usize {
        self.length
    }

    #[inline(always)]
    fn read<const N: usize>(&self, offset: usize) -> Option<[u16; N]> {
        // SAFETY: `at` checked the bounds; drivers start frames at even addresses and headers
        // stand at even offsets; any bits are a u16.
        self.at::<N>(offset).map(|at| unsafe { at.read() })
    }

    #[inline(always)]
    fn write<const N: usize>(&mut self, offset: usize, halfwords: [u16; N]) -> Option<()> {
        // SAFETY: as in `read`; the run owns its packet.
        self.at::<N>(offset)
            .map(|at| unsafe { at.write(halfwords) })
    }

    #[inline(always)]
    fn reshape(&mut self, front: usize, length: usize) -> Option<()> {
        let tail = length as i64 - (self.length + front) as i64;
        // SAFETY: both helpers take this run's context and a number; what was known of the
        // packet's place is read anew below.
        let changed = unsafe {
            bpf_xdp_adjust_tail(self.ctx.ctx, tail as i32) == 0
                && bpf_xdp_adjust_head(self.ctx.ctx, -(front as i32)) == 0
        };
        (self.start, self.end) = (self.ctx.data(), self.ctx.data_end());
        self.length = length;
        changed.then_some(())
    }
}
