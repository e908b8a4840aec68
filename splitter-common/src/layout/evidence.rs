//! Owns the layout of evidence: what the judge of releases reads, see [`crate::evidence`].

use bytemuck::{Pod, Zeroable};

use crate::{
    capacity::MAX_VERSIONS,
    evidence::{EVENTS, ONCE, SCOPES, SLOTS, Sample},
    histogram::CELLS,
};

/// One service's evidence: since when it counts. Written by the daemon, each field whole.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable)]
pub struct LedgerRow {
    /// By slot: the commit that gave it its meaning; flows that an older one decided do not count.
    pub slots_born: [u32; SLOTS],
    /// The commit that began the release; read by the daemon alone.
    pub born: u32,
    /// The slice that is counted, from 1; 0: none.
    pub slice: u32,
    /// When it began, the low half of jiffies: flows that began before do not count in it.
    pub slice_began: u32,
    /// Bits of each array of clients, less one.
    pub mask: u32,
    /// From how many microseconds on a turn is slow: by what the baseline had before, and by what the
    /// service promises; 0: never.
    pub slow_us: [u32; 2],
    /// Zero.
    pub zero: [u32; 2],
}

/// What was counted of one version in one slot and scope. Shared by all CPUs; modulo 2^32.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable)]
pub struct EvidenceRow {
    /// By [`crate::evidence::Event`].
    pub counts: [u32; EVENTS],
    /// First samples of clients, by [`Sample`] and cell of [`crate::histogram`].
    pub cells: [[u32; CELLS]; Sample::COUNT],
}

impl LedgerRow {
    /// Nothing counts yet.
    pub const NEW: Self = Self {
        slots_born: [u32::MAX; SLOTS],
        born: 0,
        slice: 0,
        slice_began: 0,
        mask: 0,
        slow_us: [0; 2],
        zero: [0; 2],
    };
}

/// The first of the two rows of a slot and version, those of the release; that of the slice lies
/// [`SLICE_ROWS`] behind it. In range where its parts are.
#[inline(always)]
pub const fn evidence_row(ledger: u32, slot: u32, version: u32) -> u32 {
    (ledger * SCOPES as u32 * SLOTS as u32 + slot) * MAX_VERSIONS as u32 + version
}

/// Rows between that of the release and that of the slice.
pub const SLICE_ROWS: u32 = (SLOTS * MAX_VERSIONS) as u32;
/// Rows of one ledger.
pub const EVIDENCE_ROWS: u32 = SCOPES as u32 * SLICE_ROWS;
/// Clients whose bits stand in one word.
const CLIENTS_A_WORD: u32 = 8;

/// Words of bits of one ledger that tells so many clients apart, a power of two from 8 on.
#[inline(always)]
pub const fn once_words(clients: u32) -> u32 {
    clients / CLIENTS_A_WORD * SCOPES as u32
}

/// How many clients a ledger of so many words tells apart.
#[inline(always)]
pub const fn once_clients(words: u32) -> u32 {
    words / SCOPES as u32 * CLIENTS_A_WORD
}

/// The word of a client's bits of the release, among those of its ledger, and the flag of one of them. What a
/// client is remembered for stands in one byte for each scope, and the words of the two beside each other, so
/// that all of it is in one cache line.
#[inline(always)]
pub const fn once_place(client: u32, once: u32) -> (u32, u64) {
    let byte = client % CLIENTS_A_WORD * 8;
    (client / CLIENTS_A_WORD * SCOPES as u32, 1 << (byte + once))
}

/// Words between that of the release and that of the slice.
pub const SLICE_WORDS: u32 = 1;

const _: () = assert!(ONCE <= 8 && SCOPES == 2);

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_bit_has_a_place_of_its_own_and_a_client_one_line() {
        let clients = 64;
        let mut places = BTreeSet::new();
        for client in 0..clients {
            let mut lines = BTreeSet::new();
            for (scope, once) in [0, SLICE_WORDS]
                .into_iter()
                .flat_map(|of| (0..ONCE as u32).map(move |once| (of, once)))
            {
                let (word, flag) = once_place(client, once);
                let word = word + scope;
                assert_eq!(once_clients(once_words(clients)), clients);
                assert!(word < once_words(clients) && flag.is_power_of_two());
                assert!(places.insert((word, flag)), "{client} {scope} {once}");
                assert_eq!(word % SCOPES as u32, scope, "a scope is cleared by itself");
                lines.insert(word / 8);
            }
            assert_eq!(lines.len(), 1);
        }
    }
}
