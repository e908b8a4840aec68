//! Owns the JSON of cohorts and their members. A time to live is written `30m`, `12h`, `7days`; without
//! one a member stays for ever.

use serde::{Deserialize, Serialize};

use super::SeenMoves;

/// What `POST /v1/cohorts` asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CohortCreate {
    /// Its name.
    pub name: String,
    /// Why, for whoever reads the events later.
    #[serde(default)]
    pub reason: Option<String>,
    /// Only say what would change.
    #[serde(default)]
    pub dry_run: bool,
}

/// What `POST /v1/cohorts/{name}/delete` asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CohortDelete {
    /// Why, for whoever reads the events later.
    #[serde(default)]
    pub reason: Option<String>,
    /// Only say what would change.
    #[serde(default)]
    pub dry_run: bool,
}

/// What became of that.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CohortDeleted {
    /// The cohort.
    pub cohort: String,
    /// How many members it had.
    pub members: u64,
    /// Whether nothing was done.
    #[serde(default)]
    pub dry_run: bool,
    /// Of a dry run: what it would do to the clients that were seen lately, of each service that asks for
    /// the cohort.
    #[serde(default)]
    pub seen: Vec<CohortMoves>,
}

/// What `POST /v1/cohorts/{name}/members` asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberAdd {
    /// The address.
    pub address: String,
    /// How long it stays: `30m`; for ever without.
    #[serde(default)]
    pub ttl: Option<String>,
    /// Whatever the application calls it by.
    #[serde(default)]
    pub reference: Option<String>,
    /// Only say what would change.
    #[serde(default)]
    pub dry_run: bool,
}

/// What `POST /v1/cohorts/{name}/members/remove` asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberRemove {
    /// The address.
    pub address: String,
    /// Only say what would change.
    #[serde(default)]
    pub dry_run: bool,
}

/// What became of a member.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemberChange {
    /// The cohort.
    pub cohort: String,
    /// The address.
    pub address: String,
    /// `added`, `renewed` (it was in it; the new end and reference hold) or `removed`.
    pub change: String,
    /// For how long it is in it, in seconds; `None`: for ever, or not at all.
    pub left_s: Option<f64>,
    /// Until when, by the wall clock as it goes now.
    pub until: Option<String>,
    /// Whether nothing was done.
    #[serde(default)]
    pub dry_run: bool,
    /// Of a dry run: what it would do to the clients that were seen lately, of each service that asks for
    /// the cohort.
    #[serde(default)]
    pub seen: Vec<CohortMoves>,
}

/// What can stand behind the `?` of `POST /v1/cohorts/{name}/import`, whose body is CSV:
/// `address[,ttl[,reference]]`, a member a line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CohortImport {
    /// How long those stay whose lines do not say: `30m`; for ever without.
    #[serde(default)]
    pub ttl: Option<String>,
    /// Leave bad lines out; without it one of them refuses all.
    #[serde(default)]
    pub skip_bad: bool,
    /// Why, for whoever reads the events later.
    #[serde(default)]
    pub reason: Option<String>,
    /// Only say what would change.
    #[serde(default)]
    pub dry_run: bool,
}

/// What became of an import.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CohortImported {
    /// The cohort.
    pub cohort: String,
    /// Who was not in it before.
    pub added: u64,
    /// Who was; the new end and reference hold.
    pub renewed: u64,
    /// Bad lines that were left out.
    pub left_out: u64,
    /// The first of them.
    pub bad: Vec<BadLine>,
    /// Whether nothing was done.
    #[serde(default)]
    pub dry_run: bool,
    /// Of a dry run: what it would do to the clients that were seen lately, of each service that asks for
    /// the cohort.
    #[serde(default)]
    pub seen: Vec<CohortMoves>,
}

/// What a change of a cohort would do to the clients of one service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CohortMoves {
    /// The service.
    pub service: String,
    /// Those that were seen lately.
    pub seen: SeenMoves,
}

/// A line that is no member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BadLine {
    /// Its number, from 1.
    pub line: u32,
    /// What is wrong.
    pub error: String,
}

/// Every cohort: `GET /v1/cohorts`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CohortList {
    /// By name.
    pub cohorts: Vec<CohortLine>,
    /// Addresses in all of them, each once.
    pub addresses: u64,
    /// Addresses for which there is room.
    pub room: u32,
}

/// One cohort.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CohortLine {
    /// Its name.
    pub name: String,
    /// Whether there is one; else segments ask for it in vain.
    pub exists: bool,
    /// Its members; who left within the last second may be counted.
    pub members: u64,
    /// The segments that ask for it: `shop/testers`.
    pub asked_by: Vec<String>,
    /// Who made it.
    pub by: Option<String>,
    /// When.
    pub at: Option<String>,
    /// Why, if they said so.
    pub reason: Option<String>,
}

/// The cohorts that an address is in: `GET /v1/memberships?address=198.51.100.7`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Memberships {
    /// The address.
    pub address: String,
    /// By name of the cohort.
    pub cohorts: Vec<Membership>,
}

/// That an address is in a cohort.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Membership {
    /// The cohort.
    pub cohort: String,
    /// For how long still, in seconds; `None`: for ever.
    pub left_s: Option<f64>,
    /// Until when, by the wall clock as it goes now.
    pub until: Option<String>,
    /// What the application calls it by, where that is known.
    pub reference: Option<String>,
}
