extern crate std;
use super::*;
use core::mem::offset_of;
use std::{format, string::String};

/// Sizes and offsets of all that the kernel shares with user space.
fn fingerprint() -> u64 {
    let mut text = String::new();
    macro_rules! row {
        ($type:ident { $($field:ident),* }) => {
            text += &format!("{} {}", stringify!($type), size_of::<$type>());
            $(text += &format!(" {}@{}", stringify!($field), offset_of!($type, $field));)*
            text += "\n";
        };
    }
    row!(Endpoint {
        address,
        port,
        protocol,
        kind,
        frontend,
        number,
        born
    });
    row!(Bucket { entries });
    row!(DirectoryRow { multiplier });
    row!(FrontendRow {
        address,
        port,
        service,
        protocol,
        born
    });
    row!(BackendRow {
        address,
        port,
        service,
        version,
        born,
        retired
    });
    row!(NextHop { words });
    row!(TableRef { page, cells });
    row!(VersionRow { tables, born });
    row!(ServiceRow {
        salt,
        backend_key,
        cuts,
        versions,
        generation,
        born,
        key,
        affinity_tcp,
        affinity_udp,
        baseline,
        direct
    });
    row!(PrefixKey { list, address });
    row!(Page { cells });
    row!(FlowKey {
        client,
        client_port,
        frontend,
        port
    });
    row!(FragmentKey {
        source,
        destination,
        id,
        protocol
    });
    row!(FragmentRow {
        address,
        backend,
        seen,
        inbound
    });
    row!(FlowEntry { words });
    row!(BackendCounters { cells });
    text += "flow words: tag+generation owner time seqs hop hop hop state\n";
    text += &format!(
        "own {} icmp {} lengths {}",
        crate::flow::entry::state::OWN,
        Counter::IcmpErrors as u32,
        Control::WireLengths as u32
    );
    crate::hash::siphash13(HashKey::default(), text.as_bytes())
}

/// When this fails the layout has changed: raise `LAYOUT_VERSION`, then record the new pair.
#[test]
fn the_layout_moves_only_with_its_number() {
    assert_eq!(
        (LAYOUT_VERSION, fingerprint()),
        (3, 17_221_672_743_243_563_844),
        "record the fingerprint"
    );
}

#[test]
fn a_word_survives_packing() {
    let word = Word {
        generation: u32::MAX,
        side: 1,
    };
    assert_eq!(Word::unpack(word.pack()), word);
    assert_eq!(Word::unpack(0), Word::default());
}
