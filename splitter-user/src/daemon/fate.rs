//! Owns what a change says of flows that are open.

use std::collections::BTreeMap;

use crate::{
    model::{Config, FlowFate},
    plan::Numbers,
};

/// What a change says of flows that are open.
#[derive(Clone, Copy)]
pub(super) enum Fate<'a> {
    /// Nothing: nobody has asked for their end.
    Keep,
    /// What the services say that it changes.
    OfServices,
    /// This, of one service.
    Of(&'a str, FlowFate),
}

impl Fate<'_> {
    /// After how many seconds flows end, by service; those that are not named keep theirs.
    pub(super) fn ends_after_s(
        self,
        config: &Config,
        before: &Numbers,
        after: &Numbers,
    ) -> BTreeMap<String, u32> {
        let changes = |name: &str| {
            let generation = |numbers: &Numbers| Some(numbers.services.get(name)?.generation);
            generation(before) != generation(after)
        };
        let fates = config.services.iter().filter_map(|service| {
            let fate = match self {
                Self::Keep => FlowFate::Keep,
                Self::OfServices if changes(&service.name) => service.flows,
                Self::OfServices => FlowFate::Keep,
                Self::Of(name, fate) if name == service.name => fate,
                Self::Of(..) => FlowFate::Keep,
            };
            Some((service.name.clone(), fate.ends_after_s()?))
        });
        fates.collect()
    }
}
