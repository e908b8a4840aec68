//! Owns who there is to be measured: services, versions and backends with their numbers, as of one
//! commit, and what of them is no count.

use splitter_common::{layout::BackendCounters, weight::Weight};

use crate::{dataplane::Ranges, model::ForwardMethod, plan::base::Base};

/// Everybody.
#[derive(Clone, Debug, Default)]
pub struct Roster {
    /// Hosts that show the same decide alike.
    pub config_digest: String,
    /// In the order of the configuration.
    pub services: Vec<ServiceEntry>,
}

/// A service.
#[derive(Clone, Debug)]
pub struct ServiceEntry {
    /// Its name.
    pub name: String,
    /// Its number.
    pub number: u16,
    /// How packets reach its backends.
    pub forward: ForwardMethod,
    /// The HTTP status of answers is read.
    pub http1: bool,
    /// In the order of the split law.
    pub versions: Vec<VersionEntry>,
}

/// A version.
#[derive(Clone, Debug)]
pub struct VersionEntry {
    /// Its name.
    pub name: String,
    /// Its index in the service.
    pub index: u8,
    /// The commits that gave service and version their numbers: a version of the same name that was
    /// born otherwise is another one, and counts from 0.
    pub born: (u32, u32),
    /// What backends that are gone have counted.
    pub retired: BackendCounters,
    /// The weight in force.
    pub weight: Weight,
    /// Backends that are active and healthy.
    pub healthy: usize,
    /// No backend is left for clients of one address family or of both.
    pub empty: bool,
    /// Open flows, as estimated.
    pub open_flows: Option<u64>,
    /// Its backends.
    pub backends: Vec<BackendEntry>,
}

/// A backend.
#[derive(Clone, Debug)]
pub struct BackendEntry {
    /// `10.0.1.11:8443`.
    pub name: String,
    /// Its number.
    pub number: u32,
    /// What the kernel's cells held when the number was given.
    pub base: Base,
    /// Whether it gets new flows.
    pub serves: bool,
}

/// What is known of this host beside what is counted.
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// When the daemon began, in seconds since 1970.
    pub began_s: f64,
    /// The newest commit in the kernel.
    pub generation: u32,
    /// Lists that have changed and are not in force.
    pub lists_stale: bool,
    /// The interfaces of the configuration.
    pub interfaces: Vec<InterfaceEntry>,
    /// The tables of flows; empty until they were first looked at.
    pub tables: Vec<TableEntry>,
    /// The cohorts that segments of the configuration ask for, and how many members they have.
    pub cohorts: Vec<(String, u64)>,
}

/// An interface.
#[derive(Clone, Debug)]
pub struct InterfaceEntry {
    /// Its name.
    pub name: String,
    /// Whether it carries the program.
    pub attached: bool,
    /// Whether its driver runs it.
    pub native: bool,
    /// Administratively up.
    pub up: bool,
}

/// A table of flows.
#[derive(Clone, Debug)]
pub struct TableEntry {
    /// Whether it is that of established flows; else that of pending ones.
    pub established: bool,
    /// Entries for which there is room.
    pub capacity: u32,
    /// Entries, as estimated.
    pub entries: u64,
}

impl Roster {
    /// The numbers of all backends.
    pub fn backend_numbers(&self) -> Ranges {
        let versions = self.services.iter().flat_map(|service| &service.versions);
        let backends = versions.flat_map(|version| &version.backends);
        Ranges::over(backends.map(|backend| backend.number))
    }

    /// One more than the highest number of a service.
    pub fn service_numbers(&self) -> u32 {
        let numbers = self.services.iter();
        numbers
            .map(|service| u32::from(service.number) + 1)
            .max()
            .unwrap_or(0)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use splitter_common::layout::Counter;

    use super::*;

    /// A service of number 3 whose one version of index 1 has these backends: numbers, and the flows
    /// that their cells held when they got them.
    pub(in crate::observe) fn roster(backends: &[(u32, u64)]) -> Roster {
        let entry = |(number, flows): &(u32, u64)| {
            let mut base = BackendCounters::default().cells;
            base[Counter::NewFlows as usize] = *flows;
            BackendEntry {
                name: format!("10.0.0.{number}:80"),
                number: *number,
                base: base.into(),
                serves: true,
            }
        };
        Roster {
            config_digest: "5e6f".into(),
            services: vec![ServiceEntry {
                name: "shop".into(),
                number: 3,
                forward: ForwardMethod::Nat,
                http1: true,
                versions: vec![VersionEntry {
                    name: "stable".into(),
                    index: 1,
                    born: (1, 1),
                    retired: BackendCounters::default(),
                    weight: Weight::WHOLE,
                    healthy: backends.len(),
                    empty: false,
                    open_flows: Some(17),
                    backends: backends.iter().map(entry).collect(),
                }],
            }],
        }
    }

    #[test]
    fn numbers_of_services_are_read_up_to_the_highest() {
        assert_eq!(roster(&[]).service_numbers(), 4);
        assert_eq!(Roster::default().service_numbers(), 0);
    }
}
