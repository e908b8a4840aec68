//! Owns what is kept of backends that are out, so that a restart does not bring them back.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Book, Health, book::Entry, passive::Watch};
use crate::model::Config;

/// What is kept of a backend that is out, so that a restart does not bring it back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its checks failed.
    pub unhealthy: bool,
    /// The kernel's counters spoke against it.
    pub ejected: bool,
    /// Since when.
    pub since: String,
    /// What was wrong.
    pub error: Option<String>,
}

/// Records by service and backend.
pub type Records = BTreeMap<String, BTreeMap<String, Record>>;

impl Book {
    /// What the daemon before this one left. `now`: when this one began.
    pub fn restored(records: &Records, config: &Config, now: Duration) -> Self {
        let mut book = Self::default();
        for service in &config.services {
            let (Some(health), Some(records)) = (&service.health, records.get(&service.name))
            else {
                continue;
            };
            for (backend, record) in records {
                let passive = health.passive.as_ref().filter(|_| record.ejected);
                let entry = Entry {
                    health: if record.unhealthy {
                        Health::Unhealthy
                    } else {
                        Health::Unknown
                    },
                    since: Some(record.since.clone()),
                    error: record.error.clone(),
                    watch: passive
                        .map(|passive| Watch::ejected(now, passive))
                        .unwrap_or_default(),
                    ..Entry::default()
                };
                book.entries
                    .entry(service.name.clone())
                    .or_default()
                    .insert(backend.clone(), entry);
            }
        }
        book
    }

    /// What is to be kept: those that are out.
    pub fn records(&self) -> Records {
        let record = |(backend, entry): (&String, &Entry)| {
            let unhealthy = entry.health == Health::Unhealthy;
            let ejected = entry.is_ejected();
            (unhealthy || ejected).then(|| {
                let record = Record {
                    unhealthy,
                    ejected,
                    since: entry.since.clone().unwrap_or_default(),
                    error: entry.error.clone(),
                };
                (backend.clone(), record)
            })
        };
        self.entries
            .iter()
            .map(|(service, entries)| {
                (service.clone(), entries.iter().filter_map(record).collect())
            })
            .filter(|(_, records): &(String, BTreeMap<_, _>)| !records.is_empty())
            .collect()
    }
}
