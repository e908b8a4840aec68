//! Owns the way from what is configured and known to what is served: the configuration whose
//! backend weights are those of the tables.
//!
//! Invariant: `config` is what operators want; what is served of it stands in the numbers
//! (`applied`), on disk before it is in the kernel, like everything that a commit puts in force.

use std::time::Duration;

use super::core::Core;
use crate::{
    health::{Served, leaves_as_configured, mark_leaving, serve},
    model::{Backend, Config, Service, Shared, Version},
    state::State,
};

impl Core {
    /// The time, as the health of backends is kept.
    pub(super) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// What is to be served of `config`; slow starts begin here.
    pub(super) fn plan_serving(&mut self, config: &Config, state: &State) -> Config {
        let now = self.now();
        let services = config
            .services
            .iter()
            .map(|service| self.serve_planned(service, state, now));
        // One after the other: each changes the book.
        let services = services.collect();
        Config {
            services,
            interfaces: config.interfaces.clone(),
            limits: config.limits,
            metrics: config.metrics,
            databases: config.databases.clone(),
            devices: config.devices.clone(),
        }
    }

    /// What is to be served of one service: the very same where that is as it is configured, so that
    /// whoever compares it with what was served sees at a glance that nothing changes.
    fn serve_planned(
        &mut self,
        service: &Shared<Service>,
        state: &State,
        now: Duration,
    ) -> Shared<Service> {
        let served = if is_plain(service, state) {
            if leaves_as_configured(service) {
                return service.clone();
            }
            let mut plain = Service::clone(service);
            mark_leaving(&mut plain, |_, _| false);
            plain
        } else {
            let given = state.numbers.services.get(&service.name);
            if let Some(given) = given {
                let admin = |backend: &Backend| state.admin(service, backend);
                self.book
                    .begin_slow_starts(service, &given.applied, admin, now);
            }
            self.serve_now(service, state).service
        };
        if served == **service {
            service.clone()
        } else {
            served.into()
        }
    }

    /// What is to be served of one service by what is known now.
    pub(super) fn serve_now(&self, service: &Service, state: &State) -> Served {
        let before = state.numbers.services.get(&service.name);
        let now = self.now();
        serve(
            service,
            before.map(|given| &*given.applied),
            |_: &Version, backend: &Backend| {
                let admin = state.admin(service, backend);
                self.book.standing(service, backend, admin, now)
            },
        )
    }

    /// The services that are to be served otherwise than they are.
    pub(super) fn served_otherwise(&self) -> Vec<String> {
        let unsettled = self.book.unsettled();
        let services = self.config.services.iter();
        services
            .filter(|service| unsettled.contains(&service.name))
            .filter(|service| {
                let given = self.state.numbers.services.get(&service.name);
                let wanted = self.serve_now(service, &self.state).service;
                given.is_some_and(|given| *given.applied != wanted)
            })
            .map(|service| service.name.clone())
            .collect()
    }

    /// What is served by the newest commit, in the kernel or on its way.
    pub(super) fn served(&self) -> Config {
        let service = |service: &Shared<Service>| {
            let given = self.state.numbers.services.get(&service.name);
            given.map_or_else(|| service.clone(), |given| given.applied.clone())
        };
        Config {
            interfaces: self.config.interfaces.clone(),
            limits: self.config.limits,
            metrics: self.config.metrics,
            databases: self.config.databases.clone(),
            devices: self.config.devices.clone(),
            services: self.config.services.iter().map(service).collect(),
        }
    }
}

/// Whether nothing can stand between what is configured and what is served.
fn is_plain(service: &Service, state: &State) -> bool {
    service.health.is_none() && !state.backends.contains_key(&service.name)
}
