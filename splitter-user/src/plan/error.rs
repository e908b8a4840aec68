//! Owns what keeps a configuration from becoming tables.

use thiserror::Error;

use crate::model::Need;

/// Why a configuration cannot become tables.
#[derive(Debug, Error)]
pub enum PlanError {
    /// More of something than the capacity.
    #[error("{0}")]
    Capacity(Need),
    /// No multiplier spreads the endpoints.
    #[error("{endpoints} addresses and ports of VIPs and backends do not fit the directory")]
    DirectoryFull {
        /// How many.
        endpoints: usize,
    },
    /// The salt would change while clients are in the canary.
    #[error(
        "service \"{service}\": {what} has changed, which would draw new clients for every \
         version, but \"{version}\" has weight {weight}; put it back and start or reload again, set every \
         weight but the baseline's to 0% (splitter weight set {service} {version}=0%{option}), then change \
         it"
    )]
    SaltInUse {
        /// The service.
        service: String,
        /// What changed: the release, the salt group, the cluster secret or the key.
        what: &'static str,
        /// A version with weight.
        version: String,
        /// Its weight.
        weight: String,
        /// What the command needs beside, where it is a segment's.
        option: String,
    },
    /// A version would get another part of the hash space while clients are in it.
    #[error(
        "service \"{service}\": {what}, which would move clients between versions, but \
         \"{version}\" has weight {weight}; leave the versions in their order (one that is no \
         longer wanted stays, at weight 0%), or put them back and start or reload again, and set every \
         weight but the baseline's to 0% first (splitter weight set {service} {version}=0%{option})"
    )]
    PlaceInUse {
        /// The service.
        service: String,
        /// What changed.
        what: String,
        /// A version with weight.
        version: String,
        /// Its weight.
        weight: String,
        /// What the command needs beside, where it is a segment's.
        option: String,
    },
    /// Every number of a kind has an owner, here or in the kernel's tables in force.
    #[error(
        "every {0} number is taken: the tables in force keep theirs until new ones stand; remove \
         some first, or start anew with `splitter detach` (flows are then decided anew)"
    )]
    NumbersTaken(&'static str),
    /// The state was lost, and the file does not fit what runs.
    #[error(
        "service \"{service}\": the state file was lost or is old, and the tables that run have \
         other services, versions, baseline or order than the file: clients would change version; \
         put them back as they were, or start anew with `splitter detach` (flows are then decided \
         anew)"
    )]
    Unrecoverable {
        /// The service.
        service: String,
    },
    /// A fault of the program: something was asked for that was never numbered.
    #[error("internal: no {0}")]
    Missing(String),
}
