//! Owns the watch over frames that are lost after the verdict: what is told of them, and whether there
//! are more than before.

use std::time::{Duration, Instant};

use super::core::Core;
use crate::{api::types::LossCount, dataplane::KernelTypes, net::hops::HopState};

/// How long losses are warned of after the last one.
const RECENT: Duration = Duration::from_secs(60);

/// What is known of losses.
#[derive(Default)]
pub(super) struct Losses {
    /// What cannot be counted on this kernel, each a sentence.
    not_counted: Vec<String>,
    /// By interface number, when last looked at.
    seen: Vec<(u32, u64)>,
    /// Interfaces that lost frames lately, and when they last did.
    recent: Vec<(u32, Instant)>,
}

impl Losses {
    /// What an operator must know.
    pub(super) fn warnings(&self, core: &Core) -> Vec<String> {
        let recent = self.recent.iter().map(|(ifindex, _)| {
            format!(
                "{} loses frames that the program sends to it: see `frames lost after the verdict`",
                name(core, *ifindex)
            )
        });
        recent.chain(self.not_counted.iter().cloned()).collect()
    }

    /// Takes note of sums by interface. Returns the interfaces that begin to lose frames.
    fn look(&mut self, sums: Vec<(u32, u64)>, now: Instant) -> Vec<u32> {
        self.recent
            .retain(|(_, last)| now.saturating_duration_since(*last) < RECENT);
        let mut begun = Vec::new();
        for (ifindex, sum) in &sums {
            let before = self.seen.iter().find(|(seen, _)| seen == ifindex);
            if before.map_or(0, |(_, frames)| *frames) >= *sum {
                continue;
            }
            match self.recent.iter_mut().find(|(seen, _)| seen == ifindex) {
                Some((_, last)) => *last = now,
                None => {
                    self.recent.push((*ifindex, now));
                    begun.push(*ifindex);
                }
            }
        }
        self.seen = sums;
        begun
    }
}

/// What was lost since the tables were made.
pub(super) fn told(core: &Core) -> Vec<LossCount> {
    let losses = core.plane.maps().losses().into_iter();
    losses
        .map(|(ifindex, loss, frames)| LossCount {
            interface: name(core, ifindex),
            ifindex,
            loss: loss.name().to_owned(),
            frames,
        })
        .collect()
}

/// The name of an interface that is configured or leads to a backend.
pub(super) fn name(core: &Core, ifindex: u32) -> String {
    let configured = core.interfaces.iter().find(|each| each.ifindex == ifindex);
    let of_hop = |hop: &HopState| match hop {
        HopState::Resolved {
            ifindex: own,
            ifname,
            ..
        }
        | HopState::Unresolved {
            ifindex: own,
            ifname,
            ..
        } if *own == ifindex => Some(ifname.clone()),
        HopState::Resolved { .. }
        | HopState::Unresolved { .. }
        | HopState::Local
        | HopState::NoRoute => None,
    };
    configured
        .map(|each| each.name.clone())
        .or_else(|| core.hops.values().find_map(of_hop))
        .unwrap_or_else(|| format!("interface {ifindex}"))
}

impl Core {
    /// Begins to count; what was lost before this start is not news.
    pub(super) fn begin_losses(&mut self, types: &KernelTypes) {
        self.losses.not_counted = self.plane.count_losses(types);
        for line in &self.losses.not_counted {
            log::warn!("{line}");
        }
        self.losses.seen = self.loss_sums();
    }

    /// Looks whether there are more than before.
    pub(super) fn watch_losses(&mut self) {
        let sums = self.loss_sums();
        for ifindex in self.losses.look(sums, Instant::now()) {
            log::warn!(
                "{} loses frames that the program sends to it",
                name(self, ifindex)
            );
        }
    }

    /// By interface, all kinds together.
    fn loss_sums(&self) -> Vec<(u32, u64)> {
        let mut sums: Vec<(u32, u64)> = Vec::new();
        for (ifindex, _, frames) in self.plane.maps().losses() {
            match sums.iter_mut().find(|(seen, _)| *seen == ifindex) {
                Some((_, sum)) => *sum += frames,
                None => sums.push((ifindex, frames)),
            }
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_news_while_they_grow_and_for_a_minute_after() {
        let (mut losses, start) = (Losses::default(), Instant::now());
        losses.seen = vec![(7, 5)];
        assert!(
            losses.look(vec![(7, 5)], start).is_empty(),
            "no more than before"
        );
        assert!(losses.recent.is_empty());
        assert_eq!(losses.look(vec![(7, 6), (9, 1)], start), [7, 9]);
        let later = start + RECENT / 2;
        assert!(losses.look(vec![(7, 8), (9, 1)], later).is_empty(), "told");
        let end = start + RECENT;
        assert!(losses.look(vec![(7, 8), (9, 1)], end).is_empty());
        assert_eq!(losses.recent, [(7, later)]);
        assert_eq!(losses.look(vec![(9, 2)], end + RECENT), [9]);
    }
}
