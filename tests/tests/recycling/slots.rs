//! Slots of evidence, which come to mean other weights while clients are counted in them.

use std::{
    net::Ipv4Addr,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use aya::{TestRun as _, TestRunOptions, programs::Xdp};
use splitter_common::evidence::{Event, SLOTS};
use splitter_user::model::Config;

use crate::lab::{Lab, READERS, config, frame};

/// Sets of weights in turn, of which the first ones lose their slots to the last ones.
const SETS: usize = SLOTS + 8;
/// Clients under each of them, at the least.
const CLIENTS: u64 = 1_500;
/// Between two clients of a thread, so that those of a commit are fewer than those of a slot.
const APART: Duration = Duration::from_micros(50);
/// Generous: it takes seconds.
const LIMIT: Duration = Duration::from_secs(120);

fn weights(set: usize) -> Config {
    config(&format!(
        "[service.shop]\nvips = [\"203.0.113.1:80/tcp\"]\n\
         version.stable = {{ baseline = true, backends = [\"10.2.0.1:80\"] }}\n\
         version.canary = {{ weight = \"{}%\", backends = [\"10.2.0.2:80\"] }}\n",
        set + 1
    ))
}

/// Sends the SYN of a client of its own each time, until it is told to stop.
fn new_clients(program: &Xdp, thread: usize, sent: &AtomicU64, stop: &AtomicBool) {
    let mut syn = frame("10.100.0.1:40000 > 203.0.113.1:80 tcp SYN");
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        // Of 11.0.0.0/8 on, each another; the sums that this makes wrong are not looked at.
        let client = 0x0b00_0000 + number * READERS as u32 + thread as u32;
        syn[26..30].copy_from_slice(&Ipv4Addr::from(client).octets());
        let options = TestRunOptions {
            data_in: Some(&syn),
            ..TestRunOptions::default()
        };
        program.test_run(options).expect("ran");
        sent.fetch_add(1, Ordering::SeqCst);
        thread::sleep(APART);
    }
}

#[test]
fn a_slot_that_means_other_weights_counts_nobody_of_before() {
    let mut lab = Lab::new("slots", 262_144);
    lab.commit(&weights(0));
    let sent = &AtomicU64::new(0);
    let count = || sent.load(Ordering::SeqCst);
    // Clients sent before a commit began and after it had ended.
    let mut commits = vec![[0, 0]];
    let clients = |program: &Xdp, thread: usize, stop: &AtomicBool| {
        new_clients(program, thread, sent, stop);
    };
    lab.beside(clients, |lab| {
        let begin = Instant::now();
        for set in 1..=SETS {
            let [_, from] = commits[set - 1];
            while count() < from + CLIENTS {
                assert!(begin.elapsed() < LIMIT, "clients come too slowly");
                thread::sleep(Duration::from_millis(1));
            }
            let before = count();
            // The last of them only ends the one before.
            lab.commit(&weights(set));
            commits.push([before, count()]);
        }
    });
    let judged = lab.numbers.services["shop"].judged.as_ref();
    let judged = judged.expect("it is judged");
    assert_eq!(judged.slots.len(), SLOTS);
    let ledger = u32::from(judged.ledger);
    let under_way = READERS as u64;
    for slot in &judged.slots[..SLOTS - 1] {
        let ppm = slot.weights["canary"].ppm as usize;
        let set = ppm / 10_000 - 1;
        let of_version = |version: u8| -> u64 {
            let [release, _] = lab.plane.evidence(ledger, slot.slot, version);
            u64::from(release.counts[Event::Decided as usize])
        };
        let counted: u64 = (0..2).map(of_version).sum();
        let ([began, in_force], [before_next, next]) = (commits[set], commits[set + 1]);
        let most = next - began + under_way;
        // Of two clients who share a bit one is not counted: 20 bits are for each.
        let least = (before_next - in_force).saturating_sub(under_way) * 9 / 10;
        assert!(
            (least..=most).contains(&counted),
            "weights {set}: {counted} clients counted of {least} to {most}"
        );
    }
}
