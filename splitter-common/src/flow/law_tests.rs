use super::*;

const HZ: u32 = 250;

fn at(seconds: u32) -> Now {
    Now {
        jiffies: Jiffies32(1_000_000 + seconds * HZ),
        hz: HZ,
    }
}

fn entry(state: u16) -> Entry {
    Entry {
        generation: 1,
        backend: 1,
        service: 0,
        version: 0,
        mark: crate::evidence::Mark::default(),
        state,
        checked: 1,
        seen: at(0).jiffies,
        began: at(0).jiffies,
        client_seq: 1_000,
        server_seq: 5_000,
        syn_us: 0,
        once: 0,
        traits: crate::traits::Traits::NONE,
    }
}

fn segment(flags: u8) -> Segment {
    Segment {
        flags,
        seq: 1_000,
        ack: 5_001,
        payload: 0,
    }
}

fn data() -> Segment {
    Segment {
        payload: 10,
        ..segment(ACK)
    }
}

#[test]
fn a_pure_ack_writes_nothing_until_a_refresh_is_due() {
    let Established::Use { write, .. } = established(entry(0), &segment(ACK), at(0)) else {
        panic!("a live flow is used");
    };
    assert!(!write);
    let Established::Use { write, entry } = established(entry(0), &segment(ACK), at(1)) else {
        panic!("a live flow is used");
    };
    assert!(write && entry.seen == at(1).jiffies);
}

#[test]
fn idle_time_does_not_end_a_tcp_flow() {
    assert!(matches!(
        established(entry(0), &data(), at(100_000)),
        Established::Use { .. }
    ));
}

#[test]
fn a_rst_shortens_the_life_and_only_its_sender_clears_it() {
    let Established::Use {
        entry: reset,
        write: true,
    } = established(entry(0), &segment(RST), at(0))
    else {
        panic!("a RST is forwarded and marked");
    };
    assert_eq!(reset.state, state::RST_CLIENT);
    for goes_on in [data(), segment(ACK)] {
        assert!(
            matches!(established(reset, &goes_on, at(10)), Established::Use { entry, .. } if entry.state == 0)
        );
        assert_eq!(established(reset, &goes_on, at(11)), Established::Miss);
    }
    // What the backend had under way says nothing, does not prolong, and counts nothing again.
    let under_way = reply_established(reset, &data(), at(9));
    assert!(!under_way.write && under_way.entry.state == state::RST_CLIENT);
    let again = established(under_way.entry, &segment(RST), at(9));
    assert!(matches!(again, Established::Use { write: false, .. }));
    let both = reply_established(reset, &segment(RST), at(1));
    assert!(both.reset && both.entry.state == state::RST);
}

#[test]
fn a_fin_gives_240_seconds_after_the_last_packet() {
    let fin = entry(state::FIN_SERVER);
    let Established::Use { entry: used, .. } = established(fin, &segment(ACK), at(240)) else {
        panic!("half-closed flows go on");
    };
    assert!(matches!(
        established(used, &segment(ACK), at(480)),
        Established::Use { .. }
    ));
    assert_eq!(established(fin, &segment(ACK), at(241)), Established::Miss);
}

#[test]
fn a_syn_on_a_live_flow_goes_beside_and_on_a_closing_one_begins_anew() {
    assert!(matches!(
        established(entry(0), &segment(SYN), at(1)),
        Established::Beside(_)
    ));
    for closing in [
        state::RST_CLIENT,
        state::RST_SERVER,
        state::FIN_CLIENT,
        state::FIN_SERVER,
    ] {
        assert_eq!(
            established(entry(closing), &segment(SYN), at(1)),
            Established::Miss
        );
    }
}

#[test]
fn only_the_right_ack_completes_a_handshake() {
    let answered = entry(state::ANSWERED);
    assert!(matches!(
        pending(answered, &segment(ACK), at(1)),
        Pending::Complete(_)
    ));
    let wrong = Segment {
        ack: 5_002,
        ..segment(ACK)
    };
    assert!(matches!(pending(answered, &wrong, at(1)), Pending::Use(_)));
    assert!(matches!(
        pending(entry(0), &segment(ACK), at(1)),
        Pending::Use(_)
    ));
    let reset = entry(state::ANSWERED | state::RST_CLIENT);
    assert!(matches!(
        pending(reset, &segment(ACK), at(1)),
        Pending::Use(_)
    ));
}

#[test]
fn a_syn_with_the_same_number_is_a_retransmission_another_begins_anew() {
    assert!(matches!(
        pending(entry(0), &segment(SYN), at(3)),
        Pending::Use(_)
    ));
    let other = Segment {
        seq: 1_001,
        ..segment(SYN)
    };
    assert_eq!(pending(entry(0), &other, at(3)), Pending::Miss);
    assert_eq!(
        pending(entry(state::ADOPTED), &segment(SYN), at(3)),
        Pending::Miss
    );
}

#[test]
fn the_unknown_is_forwarded_and_only_a_syn_is_new() {
    assert_eq!(unknown(&segment(SYN)), Unknown::New);
    assert_eq!(unknown(&segment(ACK)), Unknown::Adopt);
    assert_eq!(unknown(&segment(SYN | ACK)), Unknown::Adopt);
    assert_eq!(unknown(&segment(RST | ACK)), Unknown::AdoptOnce);
}

#[test]
fn replies_answer_promote_and_reset_once() {
    let syn_ack = Segment {
        seq: 7_000,
        ..segment(SYN | ACK)
    };
    let first = reply_pending(entry(0), &syn_ack, at(1));
    assert!(first.answered && !first.promote && first.entry.server_seq == 7_000);
    assert!(!reply_pending(first.entry, &syn_ack, at(1)).answered);

    assert!(reply_pending(entry(state::ADOPTED), &data(), at(1)).promote);
    let refused = reply_pending(entry(state::ADOPTED), &segment(RST), at(1));
    assert!(refused.reset && !refused.promote);
    assert!(!reply_pending(refused.entry, &segment(RST), at(1)).reset);

    let reset = reply_established(entry(0), &segment(RST), at(1));
    assert!(reset.reset && reset.write);
    assert!(!reply_established(reset.entry, &segment(RST), at(1)).reset);
}

#[test]
fn datagrams_outlive_their_life_only_by_traffic() {
    assert!(datagram(entry(0), UDP_PENDING_S, at(30)).is_some());
    assert!(datagram(entry(0), UDP_PENDING_S, at(31)).is_none());
    assert_eq!(
        datagram(entry(0), UDP_ESTABLISHED_S, at(0)).map(|(_, write)| write),
        Some(false)
    );
}

#[test]
fn data_of_the_client_clears_a_reset_of_its_handshake() {
    let reset = entry(state::ANSWERED | state::RST_CLIENT);
    let Pending::Complete(entry) = pending(reset, &data(), at(1)) else {
        panic!("who goes on speaking did not reset it");
    };
    assert_eq!(entry.state, state::ANSWERED);
}

#[test]
fn only_data_of_a_server_that_answered_completes_a_handshake() {
    let reply = reply_pending(entry(state::ANSWERED), &data(), at(1));
    assert!(reply.promote && reply.completed);
    let ack = reply_pending(entry(state::ANSWERED), &segment(ACK), at(1));
    assert!(!ack.promote && !ack.completed);
    let early = reply_pending(entry(0), &data(), at(1));
    assert!(!early.promote && !early.completed);
    let adopted = reply_pending(entry(state::ADOPTED), &data(), at(1));
    assert!(adopted.promote && !adopted.completed);
}
