//! Owns the meaning of a flow entry's nine words.
//!
//! Elements are recycled under readers, so an entry carries a tag of its key in the word that is
//! written first (by the kernel, of established flows) and that a reader reads last: a mismatch is a miss.
//! Single words are read and written whole; concurrent writers of one word may lose a mark, never tear it. Words that
//! say whose flow it is and where it goes (0, 1) are never written after the insert: an element
//! that was recycled meanwhile is another flow's. The hop (4 to 6) can be, and tells by its stamp. The
//! last two are sequence numbers, the time of the SYN and the bit of the client while the flow is pending, and
//! turns once it is established (see [`super::turns`]).

use super::turns;
use crate::{clock::Jiffies32, evidence::Mark, layout::FlowEntry, traits::Traits};

/// The two tables of flows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Table {
    /// Handshakes that are not complete, datagrams that were not answered.
    Pending,
    /// Completed handshakes, answered datagrams.
    Established,
}

/// A live element of a flow table, word by word.
pub trait Cell {
    /// Reads a word (0 ..= 8).
    fn word(&self, index: usize) -> u64;
    /// Writes a word (0 ..= 8).
    fn set_word(&self, index: usize, word: u64);
    /// Writes 0 into the first word, if it is still that one.
    fn clear(&self, head: u64);
}

/// An element in memory, for executors that have no map.
impl Cell for core::cell::Cell<[u64; 9]> {
    fn word(&self, index: usize) -> u64 {
        self.get()[index]
    }

    fn set_word(&self, index: usize, word: u64) {
        let mut words = self.get();
        words[index] = word;
        self.set(words);
    }

    fn clear(&self, head: u64) {
        if self.word(0) == head {
            self.set_word(0, 0);
        }
    }
}

/// State bits of an entry.
pub mod state {
    /// TCP: the backend's SYN-ACK was seen, its sequence number is known.
    pub const ANSWERED: u16 = 0x01;
    /// Entered for a packet without SYN.
    pub const ADOPTED: u16 = 0x02;
    /// The backend's own connection to the one who would be the client: no flow of a VIP.
    pub const OWN: u16 = 0x04;
    /// The client sent RST.
    pub const RST_CLIENT: u16 = 0x08;
    /// The backend sent RST.
    pub const RST_SERVER: u16 = 0x10;
    /// The client sent FIN.
    pub const FIN_CLIENT: u16 = 0x20;
    /// The backend sent FIN.
    pub const FIN_SERVER: u16 = 0x40;
    /// A pending handshake stands beside this established flow.
    pub const BESIDE: u16 = 0x80;
    /// The service decides otherwise by now; the flow goes on until its time is up.
    pub const LEAVING: u16 = 0x100;
    /// The flow was ended here: who still speaks is told so.
    pub const CUT: u16 = 0x200;
    /// The first flow of its client in the release, see [`crate::evidence`].
    pub const FIRST: u16 = 0x400;
    /// The first flow of its client in its slice.
    pub const FIRST_OF_SLICE: u16 = 0x800;
    /// Either FIN.
    pub const FIN: u16 = FIN_CLIENT | FIN_SERVER;
    /// Either RST.
    pub const RST: u16 = RST_CLIENT | RST_SERVER;
}

/// A flow, without the way back to its client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The generation of the service row that decided.
    pub generation: u32,
    /// Backend number.
    pub backend: u32,
    /// Service number.
    pub service: u16,
    /// Version index.
    pub version: u8,
    /// Whether and where the flow is judged.
    pub mark: Mark,
    /// [`state`] bits.
    pub state: u16,
    /// The newest generation that this flow is known to follow; see [`super::recheck`].
    pub checked: u32,
    /// When a packet last refreshed the entry.
    pub seen: Jiffies32,
    /// When the entry was made.
    pub began: Jiffies32,
    /// The client's initial sequence number.
    pub client_seq: u32,
    /// The backend's initial sequence number, once `ANSWERED`.
    pub server_seq: u32,
    /// When the SYN came, as [`turns::us`] says it; 0 when that is not known. Of a pending flow.
    pub syn_us: u32,
    /// The bit that remembers what its client was counted for, see [`crate::evidence`]; 0 when that is not
    /// known. Of a pending flow.
    pub once: u32,
    /// The traits of its client that it was decided by.
    pub traits: Traits,
}

impl FlowEntry {
    /// The same flow, ended: see [`state::CUT`].
    pub const fn cut(mut self) -> Self {
        self.words[3] |= state::CUT as u64;
        self
    }
}

impl Entry {
    /// 1 when it is to be told that the flow is an established one now: it is judged, or its client is to be
    /// remembered.
    #[inline(always)]
    pub const fn tells_entry(&self) -> u64 {
        self.mark.is_judged() | self.traits.is_asked()
    }

    /// As it goes into a table.
    #[inline(always)]
    pub const fn pack(&self, table: Table, tag: u32, hop: [u64; 3]) -> FlowEntry {
        let last = match table {
            Table::Pending => [
                self.seqs_word(),
                self.syn_us as u64 | (self.once as u64) << 32,
            ],
            Table::Established => turns::begin(self.client_seq, self.server_seq),
        };
        FlowEntry {
            words: [
                self.head_word(tag),
                self.identity_word(),
                self.time_word(),
                self.state_word(),
                hop[0],
                hop[1],
                hop[2],
                last[0],
                last[1],
            ],
        }
    }

    /// From a live element of a table; `None` when it belongs to another key by now, or to none. What
    /// is of pending flows alone is 0 when it is established.
    #[inline(always)]
    pub fn load<C: Cell>(cell: &C, table: Table, tag: u32) -> Option<Self> {
        // The tag is read last: see the module.
        let (identity, time, state) = (cell.word(1), cell.word(2), cell.word(3));
        // An established flow is judged without its first sequence numbers, which stand in a cache
        // line of their own.
        let (seqs, last) = match table {
            Table::Pending => (cell.word(7), cell.word(8)),
            Table::Established => (0, 0),
        };
        Self::from_words([cell.word(0), identity, time, state, seqs, last], tag)
    }

    /// From a copy of an element; `None` when it belongs to another key, or to none. What is of pending flows alone means
    /// nothing when it is established.
    pub fn unpack(entry: &FlowEntry, tag: u32) -> Option<Self> {
        let [head, identity, time, state, .., seqs, last] = entry.words;
        Self::from_words([head, identity, time, state, seqs, last], tag)
    }

    #[inline(always)]
    fn from_words([head, identity, time, state, seqs, last]: [u64; 6], tag: u32) -> Option<Self> {
        (head as u32 == tag).then_some(Self {
            generation: (head >> 32) as u32,
            backend: identity as u32,
            service: (identity >> 32) as u16,
            version: (identity >> 48) as u8,
            mark: Mark((identity >> 56) as u8),
            state: state as u16,
            traits: Traits((state >> 16) as u16),
            checked: (state >> 32) as u32,
            seen: Jiffies32(time as u32),
            began: Jiffies32((time >> 32) as u32),
            client_seq: seqs as u32,
            server_seq: (seqs >> 32) as u32,
            syn_us: last as u32,
            once: (last >> 32) as u32,
        })
    }

    /// Writes state and time back.
    #[inline(always)]
    pub fn store_state<C: Cell>(&self, cell: &C) {
        cell.set_word(3, self.state_word());
        cell.set_word(2, self.time_word());
    }

    /// Makes its element nobody's, unless it is another flow's by now. No late writer undoes it: nobody writes that
    /// word but who enters a flow.
    #[inline(always)]
    pub fn end<C: Cell>(&self, cell: &C, tag: u32) {
        cell.clear(self.head_word(tag));
    }

    /// Writes the backend's sequence number back.
    #[inline(always)]
    pub fn store_seqs<C: Cell>(&self, cell: &C) {
        cell.set_word(7, self.seqs_word());
    }

    #[inline(always)]
    const fn head_word(&self, tag: u32) -> u64 {
        tag as u64 | (self.generation as u64) << 32
    }

    #[inline(always)]
    const fn identity_word(&self) -> u64 {
        self.backend as u64
            | (self.service as u64) << 32
            | (self.version as u64) << 48
            | (self.mark.0 as u64) << 56
    }

    #[inline(always)]
    const fn seqs_word(&self) -> u64 {
        self.client_seq as u64 | (self.server_seq as u64) << 32
    }

    #[inline(always)]
    const fn state_word(&self) -> u64 {
        self.state as u64 | (self.traits.0 as u64) << 16 | (self.checked as u64) << 32
    }

    #[inline(always)]
    const fn time_word(&self) -> u64 {
        self.seen.0 as u64 | (self.began.0 as u64) << 32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{flow::hop::load_hop, layout::FlowKey};

    #[test]
    fn an_entry_survives_its_words_and_a_recycled_element_is_a_miss() {
        let entry = Entry {
            generation: 0x0102_0304,
            backend: 70_000,
            service: 0xfffe,
            version: 7,
            mark: Mark::judged(19),
            state: state::BESIDE | state::LEAVING,
            checked: 0x0506_0708,
            seen: Jiffies32(u32::MAX),
            began: Jiffies32(5),
            client_seq: 0xdead_beef,
            server_seq: 0x0bad_cafe,
            syn_us: 0,
            once: 0,
            traits: Traits::NONE,
        };
        let key = FlowKey {
            client_port: 1,
            ..FlowKey::default()
        };
        let element = core::cell::Cell::new(entry.pack(Table::Pending, key.tag(), [1, 2, 3]).words);
        assert_eq!(
            Entry::load(&element, Table::Pending, key.tag()),
            Some(entry)
        );
        assert_eq!(load_hop(&element), [1, 2, 3]);
        let cut = Entry {
            state: entry.state | state::CUT,
            ..entry
        };
        let packed = entry.pack(Table::Pending, key.tag(), [1, 2, 3]).cut();
        assert_eq!(Entry::unpack(&packed, key.tag()), Some(cut));
        // What a late writer can still reach is never where the flow goes.
        let late = Entry {
            backend: 9,
            generation: 9,
            ..entry
        };
        late.store_state(&element);
        late.store_seqs(&element);
        assert_eq!(
            Entry::load(&element, Table::Pending, key.tag()),
            Some(entry)
        );
        let other = FlowKey {
            client_port: 2,
            ..FlowKey::default()
        };
        assert_eq!(Entry::load(&element, Table::Pending, other.tag()), None);
        // One that has ended stays so, whoever comes late; one that is another's does not end.
        late.end(&element, key.tag());
        assert!(Entry::load(&element, Table::Pending, key.tag()).is_some());
        entry.end(&element, key.tag());
        entry.store_state(&element);
        assert_eq!(Entry::load(&element, Table::Pending, key.tag()), None);
    }
}
