//! Owns why a cohort is not changed, in sentences that say what to do.

use splitter_common::capacity::{COHORTS_OF_MEMBER, MAX_COHORTS};
use thiserror::Error;

use crate::{
    database::DatabaseError,
    model::{NAME_MAX, is_name},
};

/// Why a cohort is not changed.
#[derive(Debug, Error)]
pub enum CohortError {
    /// No name.
    #[error(
        "\"{0}\" cannot be a cohort's name: write 1 to {NAME_MAX} of a-z, 0-9, - and _, beginning with \
         a letter or a digit"
    )]
    Name(String),
    /// There is none of this name.
    #[error("no cohort \"{0}\"")]
    None(String),
    /// There is one.
    #[error("there is a cohort \"{0}\" already")]
    Exists(String),
    /// Their members could not be told apart.
    #[error(
        "\"{name}\" draws the same number as \"{other}\", so that their members could not be told \
         apart: choose another name"
    )]
    SameNumber {
        /// The new name.
        name: String,
        /// The one that has the number.
        other: String,
    },
    /// Too many cohorts.
    #[error("there are {MAX_COHORTS} cohorts already; delete one that is not asked for")]
    TooMany,
    /// The address is in too many.
    #[error(
        "{address} is in {COHORTS_OF_MEMBER} cohorts already ({names}): remove it from one of them"
    )]
    InTooMany {
        /// The address.
        address: String,
        /// The cohorts.
        names: String,
    },
    /// There is no room for the address.
    #[error(
        "there is room for {capacity} addresses in cohorts: raise [limits] cohort_members, which takes \
         `splitter detach` and a start, or remove some"
    )]
    Full {
        /// The limit.
        capacity: u32,
    },
    /// The database fails.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl CohortError {
    /// Whether a text can name a cohort.
    pub fn check_name(name: &str) -> Result<(), Self> {
        match is_name(name) {
            true => Ok(()),
            false => Err(Self::Name(name.to_owned())),
        }
    }
}
