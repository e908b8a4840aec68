extern crate std;
use super::*;
use crate::{
    cohort::MemberRow,
    device::{DeviceRule, DeviceRules, Signature},
    engine::Parsed,
    flow::{KeptKey, law::Now, limit::Limit, recheck::RecheckRow},
    hash::HashKey,
    members::MemberLine,
    packet::{Network, Segment, Transport},
    prefix::{PrefixKey, PrefixRow},
    segment::{Segments, Term},
    trace::{TraceRow, Traced},
    traits::{ClientRow, TraitsRow},
};
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
    row!(ControlRow { words });
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
        leaving,
        born,
        retired
    });
    row!(NextHop { words });
    row!(TableRef { page, cells });
    row!(VersionRow {
        tables,
        born,
        empty
    });
    row!(ServiceRow {
        salt,
        backend_key,
        cuts,
        segments,
        versions,
        generation,
        born,
        key,
        affinity_tcp,
        affinity_udp,
        baseline,
        direct,
        fail_safe,
        deny,
        allow,
        options,
        limits,
        ledger,
        slot,
        judged_until
    });
    row!(LedgerRow {
        slots_born,
        born,
        slice,
        slice_began,
        mask,
        slow_us,
        zero
    });
    row!(EvidenceRow { counts, cells });
    row!(Segments {
        owners,
        terms,
        places,
        used,
        list,
        cohorts,
        traits
    });
    row!(Term { mask, want });
    row!(MemberRow { words });
    row!(MemberLine {
        head,
        address,
        words,
        owner
    });
    row!(Limit {
        interval_ns,
        burst_ns
    });
    row!(RecheckRow { newest, from, at });
    row!(ClientKey { client, service });
    row!(ClientRow { latched, counted });
    row!(TraitsRow {
        devices,
        activities,
        latch_s,
        half_window_s,
        normal_from,
        heavy_from
    });
    row!(DeviceRule { mask, want, class });
    row!(DeviceRules { rules });
    row!(Signature { words });
    row!(Left {
        aside,
        number,
        service,
        backend,
        established,
        action,
        ended,
        traits
    });
    row!(TraceRow {
        until,
        client,
        mask,
        service
    });
    row!(Traced {
        at_ns,
        source,
        destination,
        untold,
        source_port,
        destination_port,
        service,
        protocol,
        flags,
        ended,
        hash,
        backend,
        generation,
        length,
        ifindex,
        rows,
        known,
        version,
        place,
        assigned,
        reply,
        has
    });
    row!(BackendTimes { sums_us, cells });
    row!(VersionTimes { sums_us, cells });
    row!(Parsed {
        network,
        transport,
        now,
        to_known,
        key,
        told
    });
    row!(KeptKey { key, tag, place });
    row!(Network {
        family,
        source,
        destination,
        protocol,
        ttl,
        l4,
        length,
        dont_fragment,
        fragment_id,
        form
    });
    row!(Transport {
        source_port,
        destination_port,
        checksum,
        segment
    });
    row!(Segment {
        flags,
        seq,
        ack,
        payload
    });
    row!(Now { jiffies, hz });
    row!(PrefixKey {
        address,
        list,
        bits
    });
    row!(PrefixRow {
        steps,
        said,
        listed
    });
    row!(LossKey { ifindex, loss });
    row!(LossPlaces {
        device_ifindex,
        device_namespace,
        namespace_number,
        own_namespace
    });
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
    row!(PendingSet { heads });
    row!(PendingFlow { key, entry });
    row!(FlowEntry { words });
    row!(BackendCounters { cells });
    text += "flow words: tag+generation owner+mark time state+checked hop hop hop seqs syn+once\n";
    let (word, flag) = once_place(11, 3);
    text += &format!("counted once {:?}\n", (word + SLICE_WORDS, flag));
    text += &format!(
        "cut {} cut flows {} lengths {} untold {} aside {}",
        crate::flow::entry::state::CUT,
        Counter::Cut as u32,
        Control::WireLengths as u32,
        Control::Untold as u32,
        crate::engine::Aside::Refuse as u32
    );
    crate::hash::siphash13(HashKey::default(), text.as_bytes())
}

/// When this fails the layout has changed: raise `LAYOUT_VERSION`, then record the new pair.
#[test]
fn the_layout_moves_only_with_its_number() {
    assert_eq!(
        (LAYOUT_VERSION, fingerprint()),
        (13, 15_811_465_215_299_571_086),
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

/// They are on disk, in history and among retired counts: a new one goes behind the last.
#[test]
fn the_numbers_of_counters_stay() {
    use Counter::*;
    let all = [
        PacketsIn,
        BytesIn,
        PacketsOut,
        BytesOut,
        NewFlows,
        Handshakes,
        SynsBegun,
        SynsAnswered,
        ResetsByClient,
        ResetsByServer,
        Adopted,
        InsertsRefused,
        SynRetransmits,
        IcmpErrors,
        Diverted,
        Cut,
        ResetsByClientEarly,
        ResetsByServerEarly,
        Http2xx,
        Http3xx,
        Http4xx,
        Http5xx,
        HttpOther,
    ];
    assert_eq!(all.len(), COUNTERS);
    assert!((0..).zip(all).all(|(number, each)| each as u32 == number));
}
