//! Owns packet access: each read and write is checked against the end of the linear part, with
//! a size the verifier knows.

use core::marker::PhantomData;

use aya_ebpf::{helpers::generated::bpf_xdp_get_buff_len, programs::XdpContext};
use splitter_common::packet::Packet;

/// The packet of one program run.
pub(crate) struct XdpPacket<'a> {
    start: usize,
    end: usize,
    length: usize,
    context: PhantomData<&'a XdpContext>,
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
            context: PhantomData,
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
            context: PhantomData,
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
}
