//! Turns of scripted flows.

use core::cell::Cell as Memory;

use super::*;

/// A flow as its packets see it.
struct Flow {
    element: Memory<[u64; 9]>,
    client: u32,
    server: u32,
}

impl Flow {
    /// Both ends near the end of their sequence numbers.
    fn new() -> Self {
        let (client, server) = (u32::MAX - 2, u32::MAX - 5);
        let mut words = [0; 9];
        [words[ANSWERED], words[ASKED]] = begin(client, server);
        Self {
            element: Memory::new(words),
            client: client.wrapping_add(1),
            server: server.wrapping_add(1),
        }
    }

    fn asks_again(&self, seq: u32, payload: u32, now_us: u32) -> bool {
        let asked = Asked::load(&self.element).after(seq, payload, Some(b'G'), now_us);
        if let Some(asked) = asked {
            asked.store(&self.element);
        }
        asked.is_some()
    }

    fn asks(&mut self, payload: u32, now_us: u32) {
        assert!(self.asks_again(self.client, payload, now_us));
        self.client = self.client.wrapping_add(payload);
    }

    fn begins_tls(&mut self, now_us: u32) {
        let asked = Asked::load(&self.element).after(self.client, 100, Some(0x16), now_us);
        asked.expect("new").store(&self.element);
        self.client = self.client.wrapping_add(100);
    }

    fn answers(&mut self, payload: u32, now_us: u32) -> Option<(Kind, u32)> {
        self.answers_with(payload, false, now_us)
    }

    fn answers_with(
        &mut self,
        payload: u32,
        leaves_open: bool,
        now_us: u32,
    ) -> Option<(Kind, u32)> {
        let seq = self.server;
        self.server = seq.wrapping_add(payload);
        self.says(seq, payload, leaves_open, now_us)
    }

    fn says(&self, seq: u32, payload: u32, leaves_open: bool, now_us: u32) -> Option<(Kind, u32)> {
        let asked = Asked::load(&self.element);
        let answered = Answered::load(&self.element);
        match answered.says(&asked, seq, payload) {
            Speech::Again => None,
            Speech::GoesOn(after) => {
                after.store(&self.element);
                None
            }
            Speech::Ends => {
                let (after, sample) = answered.after(&asked, seq, payload, leaves_open, now_us);
                after.store(&self.element);
                sample
            }
        }
    }
}

#[test]
fn a_turn_goes_from_the_last_of_the_question_to_the_first_of_the_answer() {
    let mut flow = Flow::new();
    flow.asks(1_000, 10);
    flow.asks(1_000, 50);
    assert_eq!(flow.answers(1_448, 80), Some((Kind::Turn, 30)));
    assert_eq!(flow.answers(1_448, 90), None);
    flow.asks(1, 100);
    assert_eq!(flow.answers(1, 300), Some((Kind::Turn, 200)));
}

#[test]
fn a_server_that_speaks_first_ends_nothing() {
    let mut flow = Flow::new();
    assert!(!Answered::load(&flow.element).spoke);
    assert_eq!(flow.answers(40, 5), None);
    assert!(Answered::load(&flow.element).spoke);
    flow.asks(10, 20);
    assert_eq!(flow.answers(10, 21), Some((Kind::Turn, 1)));
    // Pushed unasked.
    assert_eq!(flow.answers(10, 99), None);
}

#[test]
fn what_was_said_before_neither_begins_nor_ends_a_turn() {
    let mut flow = Flow::new();
    flow.asks(100, 10);
    let (client, server) = (flow.client, flow.server);
    assert!(!flow.asks_again(client.wrapping_sub(100), 100, 15));
    assert_eq!(flow.answers(500, 20), Some((Kind::Turn, 10)));
    // A keep-alive probe: one byte before what comes next.
    assert!(!flow.asks_again(client.wrapping_sub(1), 1, 30));
    flow.asks(100, 40);
    // The first answer once more, then the second.
    assert_eq!(flow.says(server, 500, false, 50), None);
    assert_eq!(flow.answers(500, 60), Some((Kind::Turn, 20)));
}

#[test]
fn an_interim_answer_leaves_its_turn_open() {
    let mut flow = Flow::new();
    flow.asks(100, 10);
    assert_eq!(flow.answers_with(25, true, 20), None);
    flow.asks(10_000, 500);
    assert_eq!(flow.answers(100, 600), Some((Kind::Turn, 100)));
}

#[test]
fn a_flow_that_left_http_says_so_for_good_and_its_turns_go_on() {
    let mut flow = Flow::new();
    flow.asks(100, 10);
    assert_eq!(flow.answers(100, 20), Some((Kind::Turn, 10)));
    let stays = Answered::load(&flow.element).switched(false);
    assert!(!stays.has_switched());
    stays.switched(true).store(&flow.element);
    for at in [100, 200, 300] {
        assert!(Answered::load(&flow.element).has_switched());
        flow.asks(10, at);
        assert_eq!(flow.answers(10, at + 7), Some((Kind::Turn, 7)));
    }
}

#[test]
fn the_first_two_turns_of_tls_are_its_setup() {
    let mut flow = Flow::new();
    flow.begins_tls(10);
    assert_eq!(flow.answers(3_000, 20), Some((Kind::TlsSetup, 10)));
    flow.asks(300, 30);
    assert_eq!(flow.answers(255, 31), Some((Kind::TlsSetup, 1)));
    for at in [100, 200] {
        flow.asks(300, at);
        assert_eq!(flow.answers(255, at + 50), Some((Kind::Turn, 50)));
    }
}

#[test]
fn that_a_client_of_tls_ends_asks_nothing() {
    let mut flow = Flow::new();
    flow.begins_tls(10);
    let asked = Asked::load(&flow.element);
    let asks = |payload, first| asked.after(flow.client, payload, first, 20).is_some();
    assert!(!asks(24, Some(0x17)), "close_notify of TLS 1.3");
    assert!(!asks(31, Some(0x15)), "that of TLS 1.2");
    assert!(asks(25, Some(0x17)) && asks(24, Some(0x16)) && asks(24, None));
    let plain = Asked {
        tls: false,
        ..asked
    };
    assert!(plain.after(flow.client, 24, Some(0x17), 20).is_some());
}

#[test]
fn a_byte_like_that_of_tls_counts_at_the_beginning_alone() {
    let mut flow = Flow::new();
    flow.asks(5, 10);
    let _answer = flow.answers(5, 20);
    flow.begins_tls(30);
    assert_eq!(flow.answers(5, 40), Some((Kind::Turn, 10)));
}

#[test]
fn times_wrap_and_are_never_none() {
    assert_eq!(us(0), 1);
    assert_eq!(us((TIME as u64 + 1) * 1_000), 1);
    assert_eq!(since(us(5_000), us(2_000)), 3);
    assert_eq!(since(3, TIME), 4);
}
