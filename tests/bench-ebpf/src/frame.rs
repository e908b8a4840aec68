//! Owns access to the frame: `N` halfwords whose bounds were checked once.

use aya_ebpf::programs::XdpContext;

/// Where things stand in a frame of one family, in halfwords.
pub(crate) struct Places {
    pub(crate) source: usize,
    pub(crate) destination: usize,
    /// Halfwords of an address.
    pub(crate) width: usize,
    pub(crate) ports: usize,
}

pub(crate) const V4: Places = Places {
    source: 13,
    destination: 15,
    width: 2,
    ports: 17,
};

pub(crate) const V6: Places = Places {
    source: 11,
    destination: 19,
    width: 8,
    ports: 27,
};

/// A frame of at least `N` halfwords.
pub(crate) struct Frame<const N: usize>(*mut [u16; N]);

impl<const N: usize> Frame<N> {
    /// The frame of this run, if it is long enough.
    #[inline(always)]
    pub(crate) fn new(ctx: &XdpContext) -> Option<Self> {
        let (start, end) = (ctx.data(), ctx.data_end());
        if start + 2 * N > end {
            return None;
        }
        Some(Self(start as *mut [u16; N]))
    }

    #[inline(always)]
    pub(crate) fn get(&self, at: usize) -> u16 {
        // SAFETY: `new` checked the bounds, and `at` is a constant below `N` at every call.
        unsafe { (self.0 as *const u16).add(at).read() }
    }

    #[inline(always)]
    pub(crate) fn set(&mut self, at: usize, halfword: u16) {
        // SAFETY: as in `get`; the run owns its packet.
        unsafe { (self.0 as *mut u16).add(at).write(halfword) }
    }

    /// Writes an address of `width` halfwords from its two words.
    #[inline(always)]
    pub(crate) fn set_address(&mut self, at: usize, width: usize, words: [u64; 2]) {
        let mut index = 0;
        while index < width {
            self.set(at + index, (words[index / 4] >> (16 * (index % 4))) as u16);
            index += 1;
        }
    }

    /// An address of `width` halfwords as two words.
    #[inline(always)]
    pub(crate) fn address(&self, at: usize, width: usize) -> [u64; 2] {
        let mut words = [0; 2];
        let mut index = 0;
        while index < width {
            words[index / 4] |= (self.get(at + index) as u64) << (16 * (index % 4));
            index += 1;
        }
        words
    }
}
