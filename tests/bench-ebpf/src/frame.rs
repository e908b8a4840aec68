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

    /// Writes a halfword: by how much checksums change (RFC 1624).
    #[inline(always)]
    pub(crate) fn put(&mut self, at: usize, halfword: u16) -> u32 {
        let change = !self.get(at) as u32 + halfword as u32;
        self.set(at, halfword);
        change
    }

    /// Writes an address of `width` halfwords from its two words: by how much checksums change.
    #[inline(always)]
    pub(crate) fn put_address(&mut self, at: usize, width: usize, words: [u64; 2]) -> u32 {
        let (mut change, mut index) = (0, 0);
        while index < width {
            change += self.put(at + index, (words[index / 4] >> (16 * (index % 4))) as u16);
            index += 1;
        }
        change
    }

    /// Brings the checksums of IPv4 and TCP up to date: both cover addresses, TCP's the rest too.
    #[inline(always)]
    pub(crate) fn update_checksums(&mut self, places: &Places, addresses: u32, rest: u32) {
        if places.width == 2 {
            self.set(12, updated(self.get(12), addresses));
        }
        let at = places.ports + 8;
        self.set(at, updated(self.get(at), addresses + rest));
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

/// A checksum after halfwords have changed by `change`.
#[inline(always)]
pub(crate) fn updated(checksum: u16, change: u32) -> u16 {
    let mut total = !checksum as u32 + change;
    total = (total & 0xffff) + (total >> 16);
    total = (total & 0xffff) + (total >> 16);
    !(total as u16)
}
