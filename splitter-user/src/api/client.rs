//! Owns the way from the command line to the daemon.
//!
//! Invariant: every failure is one sentence that says what to do; a daemon that hangs is given up
//! after [`TIMEOUT`].

use std::io;
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{Method, Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::net::UnixStream;

use super::control::Refusal;
use super::types::{
    ApiError, BackendChange, BackendLine, BackendSet, Explanation, FlowCount, FlowList, FlowQuery,
    FlowsReset, FlowsToReset, History, HistoryQuery, Reload, ReloadRequest, ServiceShown,
    ServiceSummary, Status, Supervise, Supervision, WeightChange, WeightSet, Weights,
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

type Sender = http1::SendRequest<Full<Bytes>>;

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
        self.ask(Method::POST, &path, body.into()).await
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
        self.ask(Method::POST, &path, body.into()).await
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
        mut take: impl FnMut(EventLine) -> ControlFlow<()>,
    ) -> Result<(), ClientError> {
        let path = events_path("/follow", wanted);
        let mut left = Vec::new();
        let lines = |bytes: Bytes| {
            left.extend_from_slice(&bytes);
            while let Some(end) = left.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = left.drain(..=end).collect();
                let line = serde_json::from_slice(&line).map_err(|error| self.nonsense(error))?;
                if take(line).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            Ok(ControlFlow::Continue(()))
        };
        self.stream(&path, lines).await
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

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<T, ClientError> {
        self.ask_within(TIMEOUT, method, path, body).await
    }

    async fn ask_within<T: DeserializeOwned>(
        &self,
        limit: Duration,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<T, ClientError> {
        let answer = tokio::time::timeout(limit, self.exchange(method, path, body)).await;
        let (status, body) =
            answer.map_err(|_| ClientError::Timeout(self.socket.clone(), limit))??;
        if (200..300).contains(&status) {
            return serde_json::from_slice(&body).map_err(|error| self.nonsense(error));
        }
        Err(self.failed(status, &body))
    }

    /// What an answer that is no success says.
    fn failed(&self, status: u16, body: &[u8]) -> ClientError {
        match serde_json::from_slice::<ApiError>(body) {
            Ok(error) => Refusal::from_answer(status, error).into(),
            Err(_) => self.nonsense(format_args!("HTTP status {status} without a reason")),
        }
    }

    /// One request on a connection of its own.
    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<(u16, Bytes), ClientError> {
        let talk = async |mut sender: Sender, request| {
            let response = sender.send_request(request).await?;
            let status = response.status().as_u16();
            Ok((status, response.into_body().collect().await?.to_bytes()))
        };
        self.converse(method, path, body, talk).await
    }

    /// One request whose answer goes on; the time until it begins is limited, not what follows.
    async fn stream(
        &self,
        path: &str,
        mut take: impl FnMut(Bytes) -> Result<ControlFlow<()>, ClientError>,
    ) -> Result<(), ClientError> {
        let talk = async |mut sender: Sender, request| {
            let response = tokio::time::timeout(TIMEOUT, sender.send_request(request)).await;
            let Ok(response) = response else {
                return Ok(Err(ClientError::Timeout(self.socket.clone(), TIMEOUT)));
            };
            let response = response?;
            let status = response.status().as_u16();
            let mut body = response.into_body();
            if status != 200 {
                let text = body.collect().await?.to_bytes();
                return Ok(Err(self.failed(status, &text)));
            }
            while let Some(frame) = body.frame().await {
                // A daemon that is killed ends what it says like one that stops.
                let Ok(frame) = frame else {
                    break;
                };
                let Ok(bytes) = frame.into_data() else {
                    continue;
                };
                match take(bytes) {
                    Ok(ControlFlow::Continue(())) => {}
                    Ok(ControlFlow::Break(())) => break,
                    Err(error) => return Ok(Err(error)),
                }
            }
            Ok(Ok(()))
        };
        self.converse(Method::GET, path, Bytes::new(), talk).await?
    }

    /// A connection, and what is said on it.
    async fn converse<T>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        talk: impl AsyncFnOnce(Sender, Request<Full<Bytes>>) -> Result<T, hyper::Error>,
    ) -> Result<T, ClientError> {
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|error| connect_error(&self.socket, error))?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.nonsense(error))?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "splitter")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|error| self.nonsense(error))?;
        // The connection is driven by whoever waits for the answer; its own end is no news.
        let drive = async {
            let _ = connection.await;
            std::future::pending().await
        };
        tokio::select! {
            answer = talk(sender, request) => answer.map_err(|error| self.nonsense(error)),
            never = drive => never,
        }
    }

    fn nonsense(&self, what: impl std::fmt::Display) -> ClientError {
        ClientError::Nonsense {
            path: self.socket.clone(),
            what: what.to_string(),
        }
    }
}

fn connect_error(path: &Path, error: io::Error) -> ClientError {
    let path = path.to_owned();
    match error.kind() {
        io::ErrorKind::NotFound => ClientError::NoSocket(path),
        io::ErrorKind::ConnectionRefused => ClientError::NotListening(path),
        io::ErrorKind::PermissionDenied => ClientError::Permission(path),
        // io::ErrorKind is open-ended; the error speaks for itself.
        _ => ClientError::Io { path, error },
    }
}

/// The path of a question about events.
fn events_path(verb: &str, wanted: &EventQuery) -> String {
    let EventQuery {
        service,
        since,
        after,
        limit,
    } = wanted;
    let (after, limit) = (
        after.map(|after| after.to_string()),
        limit.map(|limit| limit.to_string()),
    );
    let all = [
        ("service", service),
        ("since", since),
        ("after", &after),
        ("limit", &limit),
    ];
    let asked = all
        .iter()
        .filter_map(|(name, value)| Some((name, value.as_ref()?)));
    let asked: Vec<String> = asked
        .map(|(name, value)| format!("{name}={}", escape(value)))
        .collect();
    format!("/v1/events{verb}?{}", asked.join("&"))
}

/// The path of a question about flows.
fn flows_path(service: &str, verb: &str, wanted: &FlowQuery) -> String {
    let FlowQuery {
        version,
        client,
        pending,
        limit,
    } = wanted;
    let mut path = format!(
        "/v1/services/{}/flows{verb}?pending={pending}&limit={limit}",
        escape(service)
    );
    for (name, value) in [("version", version), ("client", client)] {
        if let Some(value) = value {
            path += &format!("&{name}={}", escape(value));
        }
    }
    path
}

/// Percent-encodes whatever could mean something in a URI (RFC 3986, section 2.3).
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out += &format!("%{byte:02X}");
        }
    }
    out
}
