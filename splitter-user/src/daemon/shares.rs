//! Owns the shares of versions as they are told: by clients, by flows and by bytes.
//!
//! Invariant: what cannot be known is not told, and never as 0.

use std::collections::BTreeMap;

use super::{core::Core, evidence, segments};
use crate::{
    api::types::{ShareOf, Shares},
    judge::{
        share::{Share, share},
        spread::{Spread, interval},
    },
    model::{Service, SplitKey},
    plan::numbers::ServiceNumbers,
};

/// By version.
pub(super) type ByVersion = BTreeMap<String, u64>;

/// Everything that shares are told from.
pub(super) struct Counted {
    clients: Option<ByVersion>,
    flows: Option<(ByVersion, Option<Spread>)>,
    bytes: Option<(ByVersion, Option<Spread>)>,
}

impl Counted {
    /// What was counted of a service since the weights in force.
    pub(super) fn read(core: &Core, service: &Service, given: &ServiceNumbers) -> Self {
        let name = &service.name;
        let since = core.state.since.get(name);
        let clients = given
            .judged
            .as_ref()
            .and_then(|judged| evidence::decided_in_force(core, service, judged));
        let by_hash = since.and_then(|since| since.by_hash.as_ref());
        let flows = by_hash.map(|base| {
            let flows = less(segments::flows(core, given, 0), base);
            let spread = flows_spread(core, service, &flows, clients.as_ref());
            (flows, spread)
        });
        let bytes = since.and_then(|since| Some((&since.at, since.bytes.as_ref()?)));
        let bytes = bytes.map(|(at, base)| {
            let bytes = less(core.bytes(&core.state.numbers, name), base);
            // Whom a segment forced, the weights say nothing of.
            let spread = match service.segments.is_empty() {
                true => core.spreads.of_bytes(name, at),
                false => None,
            };
            (bytes, spread)
        });
        Self {
            clients,
            flows,
            bytes,
        }
    }

    /// The shares of a version.
    pub(super) fn of(&self, version: &str) -> Shares {
        let clients = self.clients.as_ref().and_then(|clients| {
            let (own, of) = part(clients, version)?;
            Some(told(share(own, of)?, of, Some(of as f64)))
        });
        let by_spread = |counted: &Option<(ByVersion, Option<Spread>)>| {
            let (counted, spread) = counted.as_ref()?;
            let (own, of) = part(counted, version)?;
            Some(match spread {
                Some(spread) => told(interval(own, of, *spread)?, of, Some(spread.clients())),
                None => ShareOf {
                    share: own as f64 / of as f64,
                    interval: None,
                    of,
                    as_clients: None,
                },
            })
        };
        Shares {
            clients,
            flows: by_spread(&self.flows),
            bytes: by_spread(&self.bytes),
        }
    }
}

/// How a service's new flows lie on clients: by the flow tables, and by how many clients there were.
fn flows_spread(
    core: &Core,
    service: &Service,
    flows: &ByVersion,
    clients: Option<&ByVersion>,
) -> Option<Spread> {
    let all = flows.values().sum();
    let at_worst = match service.key {
        SplitKey::Flow => Spread::at_worst(all, all),
        SplitKey::Client | SplitKey::Client24 => {
            clients.and_then(|clients| Spread::at_worst(all, clients.values().sum()))
        }
    };
    match core.spreads.of_flows(&service.name) {
        Some(seen) => Some(seen.least(at_worst)),
        None => at_worst,
    }
}

/// What came since; a count that is less than it was begins anew.
fn less(mut counted: ByVersion, base: &ByVersion) -> ByVersion {
    for (version, count) in &mut counted {
        *count = count.saturating_sub(base.get(version).copied().unwrap_or(0));
    }
    counted
}

/// A version's own and all; `None` of nothing.
fn part(counted: &ByVersion, version: &str) -> Option<(u64, u64)> {
    let all = counted.values().sum();
    let own = counted.get(version).copied()?;
    (all > 0).then_some((own, all))
}

fn told(share: Share, of: u64, as_clients: Option<f64>) -> ShareOf {
    ShareOf {
        share: share.share,
        interval: Some([share.low, share.high]),
        of,
        as_clients,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by(stable: u64, canary: u64) -> ByVersion {
        [("stable".to_owned(), stable), ("canary".to_owned(), canary)].into()
    }

    #[test]
    fn what_is_not_known_is_not_told() {
        let nothing = Counted {
            clients: None,
            flows: Some((by(0, 0), None)),
            bytes: None,
        };
        assert_eq!(nothing.of("canary"), Shares::default());
        let spread = Spread::at_worst(1_000, 1_000);
        let counted = Counted {
            clients: Some(by(950, 50)),
            flows: Some((less(by(2_000, 100), &by(1_050, 50)), spread)),
            bytes: Some((by(90, 10), None)),
        };
        let told = counted.of("canary");
        let (clients, flows) = (told.clients.expect("told"), told.flows.expect("told"));
        assert_eq!((clients.share, clients.of), (0.05, 1_000));
        assert_eq!((flows.share, flows.of), (0.05, 1_000));
        for told in [clients, flows] {
            let [low, high] = told.interval.expect("told");
            assert!(
                0.02 < low && low < 0.05 && 0.05 < high && high < 0.1,
                "{told:?}"
            );
        }
        let bytes = told.bytes.expect("told");
        assert_eq!((bytes.share, bytes.interval), (0.1, None));
        assert_eq!(counted.of("gone"), Shares::default());
    }
}
