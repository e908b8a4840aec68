//! Owns what a version or backend did from look to look: rates, and times of lately.
//!
//! Invariant: pure. What cannot be known yet is `None` and never 0; counters that went back (another
//! data plane) begin a new series.

use std::collections::VecDeque;

use super::recent::Recent;
use crate::api::types::{Counters, Quantiles, Times, TimesOf};

/// Looks that are remembered, which a sparkline may show one less of.
const KEPT: usize = 61;
/// Errors are counted over so many looks: a few flows a second say little in one.
const ERROR_LOOKS: usize = 10;

/// A version, or a backend of it, look by look.
#[derive(Debug, Default)]
pub(super) struct Track {
    looks: VecDeque<(f64, Counters)>,
    /// From the first SYN of a flow to the SYN-ACK.
    pub(super) handshake: Recent,
    /// From a request to its answer.
    pub(super) turn: Recent,
}

/// How long something took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Latency {
    /// Lately; `None` where nothing was measured.
    pub(super) recent: Option<Quantiles>,
    /// Of all that was measured since the version has its place.
    pub(super) all: Option<Quantiles>,
}

impl Latency {
    /// Of what came lately, where anything is known of it, and of all.
    pub(super) fn new(lately: Option<&Recent>, of_all: &TimesOf) -> Self {
        Self {
            recent: lately.and_then(Recent::quantiles),
            all: quantiles(of_all),
        }
    }

    /// Of all, or lately.
    pub(super) const fn of(self, all: bool) -> Option<Quantiles> {
        if all { self.all } else { self.recent }
    }
}

/// What goes on, per second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Rates {
    /// New flows.
    pub(super) flows: f64,
    /// Packets, both ways.
    pub(super) packets: f64,
    /// Bits, both ways.
    pub(super) bits: f64,
    /// Resets by the server.
    pub(super) resets: f64,
    /// SYNs that the server left unanswered.
    pub(super) unanswered: f64,
    /// Flows ended here.
    pub(super) cut: f64,
    /// Flows of clients of another version.
    pub(super) diverted: f64,
    /// The part of new flows that the server reset or left unanswered, over the last looks, 0 ..= 1;
    /// `None` without new flows.
    pub(super) error_ratio: Option<f64>,
}

impl Track {
    /// Takes in what all of it is at `at_s`; what came more than `window_s` ago is no longer lately.
    pub(super) fn take(&mut self, at_s: f64, counters: Counters, times: &Times, window_s: f64) {
        let went_back = |last: &Counters| {
            counters.new_flows < last.new_flows || counters.packets_in < last.packets_in
        };
        if self.looks.back().is_some_and(|(_, last)| went_back(last)) {
            self.looks.clear();
        }
        if self.looks.len() == KEPT {
            self.looks.pop_front();
        }
        self.looks.push_back((at_s, counters));
        self.handshake.take(at_s, &times.handshake.cells, window_s);
        self.turn.take(at_s, &times.turn.cells, window_s);
    }

    /// What goes on by the last two looks, and errors by the last few.
    pub(super) fn rates(&self) -> Option<Rates> {
        let looks = &self.looks;
        let newest = looks.len().checked_sub(1)?;
        let before = newest.checked_sub(1)?;
        let long = newest.saturating_sub(ERROR_LOOKS);
        let mut rates = between(looks[before], looks[newest]);
        rates.error_ratio = between(looks[long], looks[newest]).error_ratio;
        Some(rates)
    }

    /// A figure of each step from one look to the next.
    pub(super) fn steps(&self, figure: impl Fn(Rates) -> f64) -> Vec<f64> {
        let pairs = self.looks.iter().zip(self.looks.iter().skip(1));
        pairs
            .map(|(from, to)| figure(between(*from, *to)))
            .collect()
    }
}

/// Of all that was measured since the version has its place.
fn quantiles(times: &TimesOf) -> Option<Quantiles> {
    let s = |us: Option<u64>| us.map(|us| us as f64 / 1e6);
    Some(Quantiles {
        count: times.count,
        p50_s: s(times.p50_us)?,
        p90_s: s(times.p90_us)?,
        p99_s: s(times.p99_us)?,
    })
}

#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
fn between((from_s, from): (f64, Counters), (to_s, to): (f64, Counters)) -> Rates {
    let elapsed_s = (to_s - from_s).max(0.001);
    let more = |of: fn(&Counters) -> u64| of(&to).saturating_sub(of(&from)) as f64;
    let flows = more(|each| each.new_flows);
    let resets = more(|each| each.resets_by_server);
    // Both move on their own, so that one look may see the SYN and the next one its answer.
    let unanswered = (more(|each| each.syns_begun) - more(|each| each.syns_answered)).max(0.0);
    let per_s = |count: f64| count / elapsed_s;
    Rates {
        flows: per_s(flows),
        packets: per_s(more(|each| each.packets_in) + more(|each| each.packets_out)),
        bits: per_s(8.0 * (more(|each| each.bytes_in) + more(|each| each.bytes_out))),
        resets: per_s(resets),
        unanswered: per_s(unanswered),
        cut: per_s(more(|each| each.cut)),
        diverted: per_s(more(|each| each.diverted)),
        error_ratio: (flows > 0.0).then(|| ((resets + unanswered) / flows).min(1.0)),
    }
}
