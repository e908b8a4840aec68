//! Owns the way from the command line to the daemon.
//!
//! Invariant: every failure is one sentence that says what to do; a daemon that hangs is given up
//! after [`TIMEOUT`].

mod cohorts;
mod paths;
mod talk;

use std::io;
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::Method;
use thiserror::Error;

pub use self::cohorts::IMPORT_TIMEOUT;
use self::paths::{clients_path, escape, events_path, flows_path, trace_path};
use super::control::Refusal;
use super::types::{
    BackendChange, BackendLine, BackendSet, ClientList, ClientQuery, DeviceList, Evidence,
    EvidenceReset, Explanation, FlowCount, FlowList, FlowQuery, FlowsReset, FlowsToReset, History,
    HistoryQuery, Reload, ReloadRequest, ServiceShown, ServiceSummary, Simulate, Simulated, Status,
    Supervise, Supervision, TraceLine, TraceQuery, WeightChange, WeightSet, Weights, Whois,
};
use crate::events::{EventLine, EventList, EventQuery};
use crate::model::Vip;

/// How long a request may take, all together.
pub const TIMEOUT: Duration = Duration::from_secs(5);
/// How long a reload may take: a new configuration may be all new tables.
pub const RELOAD_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a walk of the flow tables may take, with those that wait before it, and a look into
/// history.
pub const WALK_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a change may take: a dry run looks at who was seen lately.
const fn time(dry_run: bool) -> Duration {
    if dry_run { WALK_TIMEOUT } else { TIMEOUT }
}

/// Why there is no answer, or not the one hoped for.
#[derive(Debug, Error)]
pub enum ClientError {
    /// Nobody has made a socket.
    #[error(
        "the daemon is not running (no socket at {path}): start it with `splitter serve`, or name \
         its socket with --socket", path = .0.display()
    )]
    NoSocket(PathBuf),
    /// Nobody listens on the socket any more.
    #[error(
        "the daemon is not running (nobody listens on {path}): start it with `splitter serve`; \
         traffic goes on as it was last told", path = .0.display()
    )]
    NotListening(PathBuf),
    /// We may not use the socket.
    #[error(
        "no permission to talk to the daemon on {path}: run as root or as a member of the \
         socket's group", path = .0.display()
    )]
    Permission(PathBuf),
    /// The daemon does not answer in time.
    #[error(
        "the daemon on {path} does not answer within {seconds} s: it hangs or the host is \
         overloaded; traffic goes on as it was last told",
        path = .0.display(), seconds = .1.as_secs()
    )]
    Timeout(PathBuf, Duration),
    /// The socket fails otherwise.
    #[error("cannot reach the daemon on {path}: {error}", path = .path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// What came back is no answer of ours.
    #[error(
        "the answer on {path} makes no sense ({what}): is it another program, or another version \
         of splitter?", path = .path.display()
    )]
    Nonsense {
        /// The socket.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The daemon said no.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// Asks one daemon.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
}

impl Client {
    /// A client of the daemon that listens on `socket`.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self {
            socket: socket.into(),
        }
    }

    /// Everything that is going on.
    pub async fn status(&self) -> Result<Status, ClientError> {
        self.ask(Method::GET, "/v1/status", Bytes::new()).await
    }

    /// Every service in brief.
    pub async fn service_list(&self) -> Result<Vec<ServiceSummary>, ClientError> {
        self.ask(Method::GET, "/v1/services", Bytes::new()).await
    }

    /// One service wholly.
    pub async fn service(&self, name: &str) -> Result<ServiceShown, ClientError> {
        let path = format!("/v1/services/{}", escape(name));
        self.ask(Method::GET, &path, Bytes::new()).await
    }

    /// The weights in force and where they come from: of one service, or of every one.
    pub async fn weights(&self, service: Option<&str>) -> Result<Vec<Weights>, ClientError> {
        let path = service.map_or_else(
            || "/v1/weights".to_owned(),
            |service| format!("/v1/services/{}/weights", escape(service)),
        );
        self.ask(Method::GET, &path, Bytes::new()).await
    }

    /// Changes weights, or says what a change would do.
    pub async fn set_weights(
        &self,
        service: &str,
        change: &WeightSet,
    ) -> Result<WeightChange, ClientError> {
        let body = serde_json::to_vec(change).map_err(|error| self.nonsense(error))?;
        let path = format!("/v1/services/{}/weights", escape(service));
        self.ask_within(time(change.dry_run), Method::POST, &path, body.into())
            .await
    }

    /// The backends of a service and how they fare.
    pub async fn backends(&self, service: &str) -> Result<Vec<BackendLine>, ClientError> {
        let path = format!("/v1/services/{}/backends", escape(service));
        self.ask(Method::GET, &path, Bytes::new()).await
    }

    /// Changes one backend, or says what a change would do.
    pub async fn change_backend(
        &self,
        service: &str,
        change: &BackendSet,
    ) -> Result<BackendChange, ClientError> {
        let body = serde_json::to_vec(change).map_err(|error| self.nonsense(error))?;
        let path = format!("/v1/services/{}/backends", escape(service));
        self.ask_within(time(change.dry_run), Method::POST, &path, body.into())
            .await
    }

    /// Flows of a service, as many as are asked for.
    pub async fn flows(&self, service: &str, wanted: &FlowQuery) -> Result<FlowList, ClientError> {
        let path = flows_path(service, "", wanted);
        self.ask_within(WALK_TIMEOUT, Method::GET, &path, Bytes::new())
            .await
    }

    /// Ends flows of a service, or says how many that would be.
    pub async fn reset_flows(
        &self,
        service: &str,
        wanted: &FlowsToReset,
    ) -> Result<FlowsReset, ClientError> {
        let body = serde_json::to_vec(wanted).map_err(|error| self.nonsense(error))?;
        let path = format!("/v1/services/{}/flows/reset", escape(service));
        self.ask_within(WALK_TIMEOUT, Method::POST, &path, body.into())
            .await
    }

    /// How many flows a service has.
    pub async fn count_flows(
        &self,
        service: &str,
        wanted: &FlowQuery,
    ) -> Result<FlowCount, ClientError> {
        let path = flows_path(service, "/count", wanted);
        self.ask_within(WALK_TIMEOUT, Method::GET, &path, Bytes::new())
            .await
    }

    /// Clients of a service that were seen lately, as many as are asked for.
    pub async fn clients(
        &self,
        service: &str,
        wanted: &ClientQuery,
    ) -> Result<ClientList, ClientError> {
        let path = clients_path(service, wanted);
        self.ask_within(WALK_TIMEOUT, Method::GET, &path, Bytes::new())
            .await
    }

    /// What was counted of the clients of a service that are judged.
    pub async fn evidence(&self, service: &str) -> Result<Evidence, ClientError> {
        let path = format!("/v1/services/{}/evidence", escape(service));
        self.ask(Method::GET, &path, Bytes::new()).await
    }

    /// Forgets that and begins anew.
    pub async fn reset_evidence(
        &self,
        service: &str,
        wanted: &EvidenceReset,
    ) -> Result<Evidence, ClientError> {
        let body = serde_json::to_vec(wanted).map_err(|error| self.nonsense(error))?;
        let path = format!("/v1/services/{}/evidence/reset", escape(service));
        self.ask(Method::POST, &path, body.into()).await
    }

    /// What came over time.
    pub async fn history(
        &self,
        service: &str,
        wanted: &HistoryQuery,
    ) -> Result<History, ClientError> {
        let HistoryQuery {
            since,
            until,
            version,
            step,
        } = wanted;
        let keys = [
            ("since", since),
            ("until", until),
            ("version", version),
            ("step", step),
        ];
        let given = keys.iter().filter_map(|(key, value)| {
            let value = value.as_ref()?;
            Some(format!("{key}={}", escape(value)))
        });
        let given: Vec<String> = given.collect();
        let path = format!(
            "/v1/services/{}/history?{}",
            escape(service),
            given.join("&")
        );
        self.ask_within(WALK_TIMEOUT, Method::GET, &path, Bytes::new())
            .await
    }

    /// Applies what the configuration file has changed, or says what that would do.
    pub async fn reload(&self, wanted: ReloadRequest) -> Result<Reload, ClientError> {
        let body = serde_json::to_vec(&wanted).map_err(|error| self.nonsense(error))?;
        self.ask_within(RELOAD_TIMEOUT, Method::POST, "/v1/reload", body.into())
            .await
    }

    /// Begins or ends the supervision of releases.
    pub async fn supervise(&self, wanted: &Supervise) -> Result<Vec<Supervision>, ClientError> {
        let body = serde_json::to_vec(wanted).map_err(|error| self.nonsense(error))?;
        self.ask(Method::POST, "/v1/lease", body.into()).await
    }

    /// What changed on this host.
    pub async fn events(&self, wanted: &EventQuery) -> Result<EventList, ClientError> {
        let path = events_path("", wanted);
        self.ask(Method::GET, &path, Bytes::new()).await
    }

    /// The same, and what comes: hands each line on until the daemon ends, or `take` wants no more.
    pub async fn follow_events(
        &self,
        wanted: &EventQuery,
        take: impl FnMut(EventLine) -> ControlFlow<()>,
    ) -> Result<(), ClientError> {
        self.lines(&events_path("/follow", wanted), take).await
    }

    /// A client's packets as they come: hands each line on until the trace ends, or `take` wants no more.
    pub async fn trace(
        &self,
        wanted: &TraceQuery,
        take: impl FnMut(TraceLine) -> ControlFlow<()>,
    ) -> Result<(), ClientError> {
        self.lines(&trace_path(wanted), take).await
    }

    /// Says where a client goes and why.
    pub async fn explain(
        &self,
        service: &str,
        client: IpAddr,
        port: Option<u16>,
        vip: Option<Vip>,
    ) -> Result<Explanation, ClientError> {
        let client = escape(&client.to_string());
        let mut path = format!("/v1/services/{}/explain?client={client}", escape(service));
        if let Some(port) = port {
            path += &format!("&port={port}");
        }
        if let Some(vip) = vip {
            path += &format!("&vip={}", escape(&vip.to_string()));
        }
        self.ask(Method::GET, &path, Bytes::new()).await
    }

    /// Says where many clients would go, at most [`Simulate::MOST`] at once.
    pub async fn simulate(
        &self,
        service: &str,
        wanted: &Simulate,
    ) -> Result<Simulated, ClientError> {
        let body = serde_json::to_vec(wanted).map_err(|error| self.nonsense(error))?;
        let path = format!("/v1/services/{}/simulate", escape(service));
        self.ask(Method::POST, &path, body.into()).await
    }

    /// The rules by which device classes are known.
    pub async fn devices(&self) -> Result<DeviceList, ClientError> {
        self.ask(Method::GET, "/v1/devices", Bytes::new()).await
    }

    /// Says who an address is.
    pub async fn whois(&self, address: IpAddr) -> Result<Whois, ClientError> {
        let path = format!("/v1/whois?address={}", escape(&address.to_string()));
        self.ask(Method::GET, &path, Bytes::new()).await
    }
}
