//! Owns the seam between the HTTP API and whoever carries its requests out.
//!
//! Invariant: a [`Refusal`] is the only way for a request to fail, and its kind alone decides the
//! HTTP status and the exit code of the command line.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use thiserror::Error;

use super::trace::Trace;
use super::types::{
    ApiError, BackendChange, BackendLine, BackendSet, ClientList, ClientQuery, CohortCreate,
    CohortDelete, CohortDeleted, CohortImport, CohortImported, CohortLine, CohortList, DeviceList,
    Evidence, EvidenceReset, Explanation, FlowCount, FlowList, FlowQuery, FlowsReset, FlowsToReset,
    History, HistoryQuery, MemberAdd, MemberChange, MemberRemove, Memberships, Reload,
    ReloadRequest, ServiceShown, ServiceSummary, Simulate, Simulated, Status, Supervise,
    Supervision, TraceQuery, WeightChange, WeightSet, Weights, Whois,
};
use crate::events::EventLog;
use crate::model::Vip;

/// What the API can ask of the daemon.
pub trait Control: Send + Sync + 'static {
    /// Everything that is going on.
    fn status(&self) -> impl Future<Output = Result<Status, Refusal>> + Send;

    /// Every service in brief.
    fn service_list(&self) -> impl Future<Output = Result<Vec<ServiceSummary>, Refusal>> + Send;

    /// One service wholly.
    fn service(&self, name: String) -> impl Future<Output = Result<ServiceShown, Refusal>> + Send;

    /// The weights in force and where they come from: of one service, or of every one.
    fn weights(
        &self,
        service: Option<String>,
    ) -> impl Future<Output = Result<Vec<Weights>, Refusal>> + Send;

    /// Changes weights of a service, or says what a change would do.
    fn set_weights(
        &self,
        service: String,
        change: WeightSet,
        actor: Actor,
    ) -> impl Future<Output = Result<WeightChange, Refusal>> + Send;

    /// The backends of a service and how they fare.
    fn backends(
        &self,
        service: String,
    ) -> impl Future<Output = Result<Vec<BackendLine>, Refusal>> + Send;

    /// Changes one backend of a service, or says what a change would do.
    fn change_backend(
        &self,
        service: String,
        change: BackendSet,
        actor: Actor,
    ) -> impl Future<Output = Result<BackendChange, Refusal>> + Send;

    /// Flows of a service, as many as are asked for.
    fn flows(
        &self,
        service: String,
        wanted: FlowQuery,
    ) -> impl Future<Output = Result<FlowList, Refusal>> + Send;

    /// How many flows a service has.
    fn count_flows(
        &self,
        service: String,
        wanted: FlowQuery,
    ) -> impl Future<Output = Result<FlowCount, Refusal>> + Send;

    /// Ends flows of a service, or says how many that would be.
    fn reset_flows(
        &self,
        service: String,
        wanted: FlowsToReset,
        actor: Actor,
    ) -> impl Future<Output = Result<FlowsReset, Refusal>> + Send;

    /// Clients of a service that were seen lately, as many as are asked for.
    fn clients(
        &self,
        service: String,
        wanted: ClientQuery,
    ) -> impl Future<Output = Result<ClientList, Refusal>> + Send;

    /// Every cohort.
    fn cohorts(&self) -> impl Future<Output = Result<CohortList, Refusal>> + Send;

    /// Makes a cohort.
    fn create_cohort(
        &self,
        wanted: CohortCreate,
        actor: Actor,
    ) -> impl Future<Output = Result<CohortLine, Refusal>> + Send;

    /// Deletes a cohort and its members.
    fn delete_cohort(
        &self,
        name: String,
        wanted: CohortDelete,
        actor: Actor,
    ) -> impl Future<Output = Result<CohortDeleted, Refusal>> + Send;

    /// Puts an address into a cohort, or renews it.
    fn add_member(
        &self,
        name: String,
        wanted: MemberAdd,
        actor: Actor,
    ) -> impl Future<Output = Result<MemberChange, Refusal>> + Send;

    /// Takes an address out of a cohort.
    fn remove_member(
        &self,
        name: String,
        wanted: MemberRemove,
        actor: Actor,
    ) -> impl Future<Output = Result<MemberChange, Refusal>> + Send;

    /// Puts the addresses of a text into a cohort, a line each.
    fn import_members(
        &self,
        name: String,
        wanted: CohortImport,
        text: Vec<u8>,
        actor: Actor,
    ) -> impl Future<Output = Result<CohortImported, Refusal>> + Send;

    /// The cohorts that an address is in.
    fn memberships(
        &self,
        address: String,
    ) -> impl Future<Output = Result<Memberships, Refusal>> + Send;

    /// What was counted of the clients of a service that are judged.
    fn evidence(&self, service: String) -> impl Future<Output = Result<Evidence, Refusal>> + Send;

    /// Forgets that and begins anew.
    fn reset_evidence(
        &self,
        service: String,
        wanted: EvidenceReset,
        actor: Actor,
    ) -> impl Future<Output = Result<Evidence, Refusal>> + Send;

    /// Applies what the configuration file has changed, or says what that would do.
    fn reload(
        &self,
        wanted: ReloadRequest,
        actor: Actor,
    ) -> impl Future<Output = Result<Reload, Refusal>> + Send;

    /// Begins or ends the supervision of releases.
    fn supervise(
        &self,
        wanted: Supervise,
        actor: Actor,
    ) -> impl Future<Output = Result<Vec<Supervision>, Refusal>> + Send;

    /// What came over time, of one service.
    fn history(
        &self,
        service: String,
        query: HistoryQuery,
    ) -> impl Future<Output = Result<History, Refusal>> + Send;

    /// Everything that is counted, for Prometheus: OpenMetrics, or the older text format.
    fn metrics(&self, open_metrics: bool) -> impl Future<Output = Result<String, Refusal>> + Send;

    /// What changed on this host.
    fn events(&self) -> Arc<EventLog>;

    /// Tells of a client's packets as they come.
    fn trace(
        self: Arc<Self>,
        query: TraceQuery,
    ) -> impl Future<Output = Result<Trace, Refusal>> + Send;

    /// Says where a client goes and why. Without `vip` the service's first VIP of the client's
    /// address family is meant; without `port` a flow-keyed choice cannot be named.
    fn explain(
        &self,
        service: String,
        client: IpAddr,
        port: Option<u16>,
        vip: Option<Vip>,
    ) -> impl Future<Output = Result<Explanation, Refusal>> + Send;

    /// Says where many clients would go, by the law in force and under other weights.
    fn simulate(
        &self,
        service: String,
        wanted: Simulate,
    ) -> impl Future<Output = Result<Simulated, Refusal>> + Send;

    /// The rules by which device classes are known.
    fn devices(&self) -> impl Future<Output = DeviceList> + Send;

    /// Says who an address is, by databases of regions and to every service.
    fn whois(&self, address: IpAddr) -> impl Future<Output = Result<Whois, Refusal>> + Send;
}

/// Who is at the other end of the socket, as the kernel says (SO_PEERCRED).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// User id.
    pub uid: u32,
    /// Process id, where the kernel knows it.
    pub pid: Option<u32>,
    /// Login name, where the host knows it.
    pub name: Option<String>,
}

impl fmt::Display for Actor {
    /// `root (uid 0, pid 4711)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.name {
            write!(f, "{name} (uid {}", self.uid)?;
        } else {
            write!(f, "uid {}", self.uid)?;
        }
        if let Some(pid) = self.pid {
            write!(f, ", pid {pid}")?;
        }
        f.write_str(if self.name.is_some() { ")" } else { "" })
    }
}

/// Why a request was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The thing named does not exist.
    #[error("{what}")]
    NotFound {
        /// What is wrong.
        what: String,
        /// What to do.
        hint: Option<String>,
    },
    /// The request makes no sense, whatever the state.
    #[error("{what}")]
    Invalid {
        /// What is wrong.
        what: String,
        /// What to do.
        hint: Option<String>,
    },
    /// The request makes sense, but not in the present state.
    #[error("{what}")]
    Conflict {
        /// What is wrong.
        what: String,
        /// What to do.
        hint: Option<String>,
    },
    /// The actor may not do this.
    #[error("{what}")]
    Forbidden {
        /// What is wrong.
        what: String,
        /// What to do.
        hint: Option<String>,
    },
    /// The daemon or the kernel failed.
    #[error("{what}")]
    Internal {
        /// What is wrong.
        what: String,
        /// What to do.
        hint: Option<String>,
    },
}

impl Refusal {
    /// The thing named does not exist.
    pub fn not_found(what: impl fmt::Display) -> Self {
        Self::NotFound {
            what: what.to_string(),
            hint: None,
        }
    }

    /// The request makes no sense, whatever the state.
    pub fn invalid(what: impl fmt::Display) -> Self {
        Self::Invalid {
            what: what.to_string(),
            hint: None,
        }
    }

    /// The request makes sense, but not in the present state.
    pub fn conflict(what: impl fmt::Display) -> Self {
        Self::Conflict {
            what: what.to_string(),
            hint: None,
        }
    }

    /// The actor may not do this.
    pub fn forbidden(what: impl fmt::Display) -> Self {
        Self::Forbidden {
            what: what.to_string(),
            hint: None,
        }
    }

    /// The daemon or the kernel failed.
    pub fn internal(what: impl fmt::Display) -> Self {
        Self::Internal {
            what: what.to_string(),
            hint: None,
        }
    }

    /// The same with a word on what to do.
    #[must_use]
    pub fn with_hint(mut self, text: impl fmt::Display) -> Self {
        match &mut self {
            Self::NotFound { hint, .. }
            | Self::Invalid { hint, .. }
            | Self::Conflict { hint, .. }
            | Self::Forbidden { hint, .. }
            | Self::Internal { hint, .. } => *hint = Some(text.to_string()),
        }
        self
    }

    /// What it says and what to do about it, in a line.
    pub fn in_a_line(&self) -> String {
        let hint = self.hint().map(|hint| format!("; {hint}"));
        format!("{self}{}", hint.unwrap_or_default())
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::NotFound { hint, .. }
            | Self::Invalid { hint, .. }
            | Self::Conflict { hint, .. }
            | Self::Forbidden { hint, .. }
            | Self::Internal { hint, .. } => hint.as_deref(),
        }
    }

    /// The HTTP status that says so.
    pub const fn http_status(&self) -> u16 {
        match self {
            Self::NotFound { .. } => 404,
            Self::Invalid { .. } => 400,
            Self::Conflict { .. } => 409,
            Self::Forbidden { .. } => 403,
            Self::Internal { .. } => 500,
        }
    }

    /// The refusal that an answer with this HTTP status carries; the inverse of
    /// [`Self::http_status`].
    pub fn from_answer(status: u16, answer: ApiError) -> Self {
        let ApiError { error: what, hint } = answer;
        match status {
            404 => Self::NotFound { what, hint },
            409 => Self::Conflict { what, hint },
            403 => Self::Forbidden { what, hint },
            400..=499 => Self::Invalid { what, hint },
            // Anything that is no answer of ours is a failure of the daemon.
            _ => Self::Internal { what, hint },
        }
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotFound { what, hint }
            | Refusal::Invalid { what, hint }
            | Refusal::Conflict { what, hint }
            | Refusal::Forbidden { what, hint }
            | Refusal::Internal { what, hint } => Self { error: what, hint },
        }
    }
}
