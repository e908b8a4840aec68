//! Owns what the command line asks of cohorts.

use std::io;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::Method;
use futures_util::Stream;

use super::paths::escape;
use super::{Client, ClientError};
use crate::api::types::{
    CohortCreate, CohortDelete, CohortDeleted, CohortImport, CohortImported, CohortLine,
    CohortList, MemberAdd, MemberChange, MemberRemove, Memberships,
};

/// How long an import may take, and the end of a cohort of millions.
pub const IMPORT_TIMEOUT: Duration = Duration::from_secs(600);
/// How long one member may take: an import may go before it.
const MEMBER_TIMEOUT: Duration = Duration::from_secs(60);

impl Client {
    /// Every cohort.
    pub async fn cohorts(&self) -> Result<CohortList, ClientError> {
        self.ask(Method::GET, "/v1/cohorts", Bytes::new()).await
    }

    /// Makes a cohort.
    pub async fn create_cohort(&self, wanted: &CohortCreate) -> Result<CohortLine, ClientError> {
        let body = serde_json::to_vec(wanted).map_err(|error| self.nonsense(error))?;
        self.ask_within(MEMBER_TIMEOUT, Method::POST, "/v1/cohorts", body.into())
            .await
    }

    /// Deletes one.
    pub async fn delete_cohort(
        &self,
        name: &str,
        wanted: &CohortDelete,
    ) -> Result<CohortDeleted, ClientError> {
        let body = serde_json::to_vec(wanted).map_err(|error| self.nonsense(error))?;
        let path = format!("/v1/cohorts/{}/delete", escape(name));
        self.ask_within(IMPORT_TIMEOUT, Method::POST, &path, body.into())
            .await
    }

    /// Enters an address.
    pub async fn add_member(
        &self,
        name: &str,
        wanted: &MemberAdd,
    ) -> Result<MemberChange, ClientError> {
        let body = serde_json::to_vec(wanted).map_err(|error| self.nonsense(error))?;
        let path = format!("/v1/cohorts/{}/members", escape(name));
        self.ask_within(MEMBER_TIMEOUT, Method::POST, &path, body.into())
            .await
    }

    /// Takes one out.
    pub async fn remove_member(
        &self,
        name: &str,
        wanted: &MemberRemove,
    ) -> Result<MemberChange, ClientError> {
        let body = serde_json::to_vec(wanted).map_err(|error| self.nonsense(error))?;
        let path = format!("/v1/cohorts/{}/members/remove", escape(name));
        self.ask_within(MEMBER_TIMEOUT, Method::POST, &path, body.into())
            .await
    }

    /// Enters the lines of a text, which is read as it is sent.
    pub async fn import_members(
        &self,
        name: &str,
        wanted: &CohortImport,
        text: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    ) -> Result<CohortImported, ClientError> {
        let CohortImport {
            ttl,
            skip_bad,
            reason,
            dry_run,
        } = wanted;
        let mut path = format!(
            "/v1/cohorts/{}/import?skip_bad={skip_bad}&dry_run={dry_run}",
            escape(name)
        );
        for (key, value) in [("ttl", ttl), ("reason", reason)] {
            if let Some(value) = value {
                path += &format!("&{key}={}", escape(value));
            }
        }
        let text = Body::from_stream(text);
        self.send_within(IMPORT_TIMEOUT, Method::POST, &path, text)
            .await
    }

    /// The cohorts that an address is in.
    pub async fn memberships(&self, address: &str) -> Result<Memberships, ClientError> {
        let path = format!("/v1/memberships?address={}", escape(address));
        self.ask(Method::GET, &path, Bytes::new()).await
    }
}
