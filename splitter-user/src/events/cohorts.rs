//! Owns the events of cohorts. Who is entered or taken out one by one is not told: that may be many a
//! second.

use std::fmt::{self, Display, Formatter};

use serde::{Deserialize, Serialize};

use super::acts::why;

/// A cohort was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CohortCreated {
    /// Its name.
    pub cohort: String,
    /// Who did it.
    pub by: String,
    /// Why, if they said so.
    pub reason: Option<String>,
}

impl Display for CohortCreated {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let why = why(self.reason.as_ref());
        write!(f, "cohort {} created by {}{why}", self.cohort, self.by)
    }
}

/// A cohort was deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CohortDeleted {
    /// Its name.
    pub cohort: String,
    /// How many members it had.
    pub members: u64,
    /// Who did it.
    pub by: String,
    /// Why, if they said so.
    pub reason: Option<String>,
}

impl Display for CohortDeleted {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self {
            cohort,
            members,
            by,
            ..
        } = self;
        let why = why(self.reason.as_ref());
        write!(
            f,
            "cohort {cohort} deleted with its {members} members by {by}{why}"
        )
    }
}

/// Members were imported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CohortImported {
    /// The cohort.
    pub cohort: String,
    /// Who was not in it before.
    pub added: u64,
    /// Who was, with the new end.
    pub renewed: u64,
    /// Bad lines that were left out.
    pub left_out: u64,
    /// Who did it.
    pub by: String,
    /// Why, if they said so.
    pub reason: Option<String>,
}

impl Display for CohortImported {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self {
            cohort,
            added,
            renewed,
            by,
            ..
        } = self;
        write!(
            f,
            "cohort {cohort}: {added} members added and {renewed} renewed by {by}"
        )?;
        if self.left_out > 0 {
            write!(f, ", {} bad lines left out", self.left_out)?;
        }
        f.write_str(&why(self.reason.as_ref()))
    }
}
