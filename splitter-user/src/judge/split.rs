//! Owns the sample-ratio check: whether the clients that came are divided as the weights say.
//!
//! An alarm says that the two versions are not compared fairly, whatever the reason: nothing else that
//! is concluded of the release is to be trusted then.

use super::ratio::{Events, Point, log_evidence};

/// How likely a split that is right ever alarms in a release, at either place.
pub const ALPHA: f64 = 0.001;
/// The check is made at two places: at the decision and at the answered handshake.
const PLACES: f64 = 2.0;

/// Ratios of the version's clients to what its weight says.
const GRID: [Point; 10] = [
    (0.25, 0.05),
    (0.5, 0.1),
    (0.75, 0.1),
    (0.9, 0.15),
    (0.95, 0.1),
    (1.0 / 0.95, 0.1),
    (1.0 / 0.9, 0.15),
    (1.0 / 0.75, 0.1),
    (2.0, 0.1),
    (4.0, 0.05),
];

/// What a check has found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Check {
    /// The decimal logarithm of the evidence against the split.
    pub log10_evidence: f64,
    /// Whether the weights cannot explain it.
    pub alarm: bool,
}

/// Decimal logarithm of the evidence from which on there is an alarm.
pub fn alarm_from() -> f64 {
    (PLACES / ALPHA).log10()
}

/// Checks the clients of a release, by set of weights.
pub fn check(clients: &[Events]) -> Check {
    let log10_evidence = log_evidence(clients, &GRID) / std::f64::consts::LN_10;
    Check {
        log10_evidence,
        alarm: log10_evidence >= alarm_from(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::random::Random;

    /// After how many clients a release alarms that is looked at every 200 of them: its weights are 1 %
    /// first, then 5 %, and of both the canary gets `ratio`.
    fn alarms_after(seed: u64, ratio: f64, clients: u64) -> Option<u64> {
        let mut random = Random(seed);
        let mut seen = [0.01, 0.05].map(|rho| Events {
            rho,
            own: 0,
            both: 0,
        });
        for client in 1..=clients {
            let step = usize::from(client > clients / 10);
            let events = &mut seen[step];
            events.both += 1;
            events.own += u64::from(random.unit() < events.rho * ratio);
            if client % 200 == 0 && check(&seen).alarm {
                return Some(client);
            }
        }
        None
    }

    #[test]
    fn a_split_that_is_right_hardly_ever_alarms_however_often_it_is_looked_at() {
        let alarms = (0..500).filter(|seed| alarms_after(*seed, 1.0, 20_000).is_some());
        // 0.25 are to be expected at most.
        assert!(alarms.count() <= 2);
    }

    #[test]
    fn a_canary_that_gets_a_tenth_too_little_is_found() {
        let mut after: Vec<u64> = (1_000..1_060)
            .map(|seed| alarms_after(seed, 0.9, 200_000).unwrap_or(u64::MAX))
            .collect();
        after.sort_unstable();
        let (median, last) = (after[after.len() / 2], after[after.len() - 1]);
        assert!((30_000..80_000).contains(&median), "{median}");
        assert!(last < 200_000, "{last}");
    }

    #[test]
    fn a_canary_that_gets_twice_its_share_is_found_at_once() {
        let after: Vec<u64> = (0..50)
            .filter_map(|seed| alarms_after(seed, 2.0, 20_000))
            .collect();
        assert_eq!(after.len(), 50);
        assert!(after.iter().all(|after| *after < 8_000), "{after:?}");
    }
}
