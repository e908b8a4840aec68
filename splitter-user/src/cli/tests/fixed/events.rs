//! What happened to the fixed daemon.

use super::{AT, BY};
use crate::events::acts::{ReloadRefused, WeightsSet};
use crate::events::noticed::{Fare, Health, Interface};
use crate::events::{Event, EventLog, What};

pub(super) fn log() -> EventLog {
    let weights = |canary: &str, stable: &str| {
        [("canary", canary), ("stable", stable)]
            .map(|(name, weight)| (name.to_owned(), weight.to_owned()))
            .into()
    };
    let all = [
        What::Weights(WeightsSet {
            service: "shop".into(),
            by: BY.into(),
            before: weights("1%", "99%"),
            after: weights("5%", "95%"),
            flows: "keep".into(),
            reason: Some("try".into()),
        }),
        What::ReloadRefused(ReloadRefused {
            by: "SIGHUP".into(),
            error: "the file has errors".into(),
        }),
        What::Health(Health {
            service: "shop".into(),
            backend: "10.0.2.11:8443".into(),
            health: Fare::Unhealthy,
            error: Some("refused".into()),
        }),
        What::Interface(Interface {
            interface: "eth1".into(),
            before: Some("native".into()),
            after: Some("none".into()),
            up: false,
            note: Some("the interface is gone".into()),
        }),
    ];
    let numbered = all.into_iter().zip(1..);
    let events = numbered.map(|(what, seq)| Event {
        seq,
        at: AT.into(),
        text: what.to_string(),
        what,
    });
    EventLog::in_memory(events.collect())
}
