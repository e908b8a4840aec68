//! Owns the mixture over ratios that the sequential tests share: of so many events of two versions, were
//! those of one as many as its weight says?
//!
//! Conditioned on both versions' events, each belongs to the one with probability `rho`, its part of the
//! two weights; were its rate `r` times the other's, with `rho r / (1 - rho + rho r)`. The likelihood
//! ratio of `r` against 1, averaged over a grid of ratios, is a martingale with mean 1 where both rates
//! are the same, so that it ever exceeds `1 / alpha` with probability `alpha` at most (Ville 1939; Lindon
//! and Malek 2022, arXiv 2011.03567).

/// Events under one set of weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Events {
    /// The part that the version's weight is of both, 0 ..= 1.
    pub rho: f64,
    /// Events of the version.
    pub own: u64,
    /// Events of both.
    pub both: u64,
}

/// A ratio of rates and its part of the prior; parts add up to 1.
pub(super) type Point = (f64, f64);

/// The natural logarithm of the evidence against "the same rate".
pub(super) fn log_evidence(events: &[Events], grid: &[Point]) -> f64 {
    let logs: Vec<f64> = grid
        .iter()
        .map(|(ratio, prior)| {
            let sum: f64 = events.iter().map(|events| log_ratio(*events, *ratio)).sum();
            prior.ln() + sum
        })
        .collect();
    let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if most.is_infinite() {
        return most;
    }
    most + logs.iter().map(|log| (log - most).exp()).sum::<f64>().ln()
}

/// The same of one ratio. Events of a version that has no weight cannot be: they are evidence beyond
/// every bound.
fn log_ratio(events: Events, ratio: f64) -> f64 {
    let Events { rho, own, both } = events;
    let own = own.min(both);
    let is_impossible = (rho <= 0.0 && own > 0) || (rho >= 1.0 && own < both);
    if is_impossible {
        return f64::INFINITY;
    }
    if rho <= 0.0 || rho >= 1.0 {
        return 0.0;
    }
    own as f64 * ratio.ln() - both as f64 * (rho * (ratio - 1.0)).ln_1p()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRID: [Point; 2] = [(0.5, 0.5), (2.0, 0.5)];

    #[test]
    fn evidence_is_the_averaged_likelihood_ratio() {
        let events = Events {
            rho: 0.1,
            own: 3,
            both: 10,
        };
        // By hand: 0.5^3 / 0.95^10 and 2^3 / 1.1^10.
        let wanted = 0.5 * (0.125 / 0.95_f64.powi(10)) + 0.5 * (8.0 / 1.1_f64.powi(10));
        assert!((log_evidence(&[events], &GRID) - wanted.ln()).abs() < 1e-9);
        assert_eq!(log_evidence(&[], &GRID), 0.0);
        // What several sets of weights saw adds up.
        let halves = [(1, 4), (2, 6)].map(|(own, both)| Events {
            rho: 0.1,
            own,
            both,
        });
        let [whole, parts] = [&[events][..], &halves].map(|all| log_evidence(all, &GRID));
        assert!((whole - parts).abs() < 1e-9);
    }

    #[test]
    fn a_version_without_weight_has_no_events_and_tells_nothing() {
        let of = |rho, own, both| log_evidence(&[Events { rho, own, both }], &GRID);
        assert_eq!(of(0.0, 0, 50), 0.0);
        assert_eq!(of(1.0, 50, 50), 0.0);
        assert_eq!(of(0.0, 1, 50), f64::INFINITY);
        assert_eq!(of(1.0, 49, 50), f64::INFINITY);
    }
}
