//! Owns the routes of the API and the JSON form of every answer.
//!
//! Invariant: every answer but that of [`metrics`] is JSON, refusals and unknown paths too; who asks is told by the kernel
//! (SO_PEERCRED) and never by the request. Bodies are at most [`BODY_MAX`] bytes, but those of imports and
//! simulations.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::connect_info::Connected;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{ConnectInfo, DefaultBodyLimit, Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::IncomingStream;
use axum::{Json, Router};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixListener;

use super::cohorts;
use super::control::{Actor, Control, Refusal};
use super::events;
use super::metrics;
use super::simulate;
use super::trace;
use super::types::{
    ApiError, BackendChange, BackendLine, BackendSet, ClientList, ClientQuery, DeviceList,
    Evidence, EvidenceReset, Explanation, FlowCount, FlowList, FlowQuery, FlowsReset, FlowsToReset,
    History, HistoryQuery, Reload, ReloadRequest, ServiceShown, ServiceSummary, Status, Supervise,
    Supervision, WeightChange, WeightSet, Weights, Whois,
};
use crate::model::Vip;

/// The longest body of a request, in bytes.
pub const BODY_MAX: usize = 64 * 1024;

/// Answers requests on `listener` until `stop` is done; requests under way are finished.
pub async fn serve<C: Control>(
    listener: UnixListener,
    control: Arc<C>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let service = router(control).into_make_service_with_connect_info::<Peer>();
    axum::serve(listener, service)
        .with_graceful_shutdown(stop)
        .await
}

/// The routes.
pub fn router<C: Control>(control: Arc<C>) -> Router {
    Router::new()
        .route("/v1/status", get(status::<C>))
        .route("/v1/reload", post(reload::<C>))
        .route("/v1/lease", post(supervise::<C>))
        .route("/v1/events", get(events::list::<C>))
        .route("/v1/events/follow", get(events::follow::<C>))
        .route("/v1/trace", get(trace::follow::<C>))
        .route("/v1/services", get(services::<C>))
        .route("/v1/services/{name}", get(service::<C>))
        .route("/v1/weights", get(all_weights::<C>))
        .route(
            "/v1/services/{name}/weights",
            get(weights::<C>).post(set_weights::<C>),
        )
        .route(
            "/v1/services/{name}/backends",
            get(backends::<C>).post(change_backend::<C>),
        )
        .route("/v1/services/{name}/flows", get(flows::<C>))
        .route("/v1/services/{name}/flows/count", get(count_flows::<C>))
        .route("/v1/services/{name}/flows/reset", post(reset_flows::<C>))
        .route("/v1/services/{name}/clients", get(clients::<C>))
        .route("/v1/services/{name}/evidence", get(evidence::<C>))
        .route(
            "/v1/services/{name}/evidence/reset",
            post(reset_evidence::<C>),
        )
        .route("/v1/services/{name}/explain", get(explain::<C>))
        .route("/v1/services/{name}/history", get(history::<C>))
        .route("/v1/devices", get(devices::<C>))
        .route("/v1/whois", get(whois::<C>))
        .merge(cohorts::routes::<C>())
        .merge(simulate::routes::<C>())
        .route("/metrics", get(metrics::answer::<C>))
        .fallback(async || Answer(Refusal::not_found("no such path in this API")))
        .method_not_allowed_fallback(async || {
            let error = ApiError {
                error: "this path takes another method".into(),
                hint: None,
            };
            (StatusCode::METHOD_NOT_ALLOWED, Json(error))
        })
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .with_state(control)
}

/// Who is at the other end; `None` when the kernel would not say.
#[derive(Clone, Debug)]
pub struct Peer(Option<Actor>);

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        let credentials = stream.io().peer_cred().ok();
        Self(credentials.map(|credentials| Actor {
            uid: credentials.uid(),
            pid: credentials.pid().and_then(|pid| u32::try_from(pid).ok()),
            name: None,
        }))
    }
}

/// A refusal on its way out.
pub(super) struct Answer(Refusal);

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        Self(refusal)
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.http_status());
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, Json(ApiError::from(self.0))).into_response()
    }
}

async fn status<C: Control>(State(control): State<Arc<C>>) -> Result<Json<Status>, Answer> {
    Ok(Json(control.status().await?))
}

async fn services<C: Control>(
    State(control): State<Arc<C>>,
) -> Result<Json<Vec<ServiceSummary>>, Answer> {
    Ok(Json(control.service_list().await?))
}

async fn service<C: Control>(
    State(control): State<Arc<C>>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Json<ServiceShown>, Answer> {
    let Path(name) = name.map_err(|error| Refusal::invalid(error.body_text()))?;
    Ok(Json(control.service(name).await?))
}

async fn all_weights<C: Control>(
    State(control): State<Arc<C>>,
) -> Result<Json<Vec<Weights>>, Answer> {
    Ok(Json(control.weights(None).await?))
}

async fn weights<C: Control>(
    State(control): State<Arc<C>>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Json<Vec<Weights>>, Answer> {
    let Path(name) = name.map_err(|error| Refusal::invalid(error.body_text()))?;
    Ok(Json(control.weights(Some(name)).await?))
}

async fn set_weights<C: Control>(
    State(control): State<Arc<C>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    name: Result<Path<String>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<WeightChange>, Answer> {
    let Path(name) = name.map_err(|error| Refusal::invalid(error.body_text()))?;
    let example = "send {\"weights\": {\"canary\": \"5%\"}}";
    let change: WeightSet = read(body, "weight change", example)?;
    let actor = known(peer).await?;
    Ok(Json(control.set_weights(name, change, actor).await?))
}

async fn reload<C: Control>(
    State(control): State<Arc<C>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Reload>, Answer> {
    let wanted: ReloadRequest = read(body, "reload", "send {} or {\"dry_run\": true}")?;
    let actor = known(peer).await?;
    Ok(Json(control.reload(wanted, actor).await?))
}

async fn supervise<C: Control>(
    State(control): State<Arc<C>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Vec<Supervision>>, Answer> {
    let example = "send {\"on\": true} or {\"on\": true, \"service\": \"shop\"}";
    let wanted: Supervise = read(body, "supervision", example)?;
    let actor = known(peer).await?;
    Ok(Json(control.supervise(wanted, actor).await?))
}

/// The body as what it should be.
pub(super) fn read<T: DeserializeOwned>(
    body: Result<Bytes, BytesRejection>,
    what: &str,
    example: &str,
) -> Result<T, Refusal> {
    read_within(BODY_MAX, body, what, example)
}

/// The same of a body that may have so many bytes.
pub(super) fn read_within<T: DeserializeOwned>(
    most: usize,
    body: Result<Bytes, BytesRejection>,
    what: &str,
    example: &str,
) -> Result<T, Refusal> {
    let body = body.map_err(|error| {
        Refusal::invalid(error.body_text()).with_hint(format!("a body has at most {most} bytes"))
    })?;
    serde_json::from_slice(&body).map_err(|error| {
        Refusal::invalid(format!("the body is no {what}: {error}")).with_hint(example)
    })
}

/// Who asks, with the login name; nobody changes anything unnamed.
pub(super) async fn known(Peer(actor): Peer) -> Result<Actor, Refusal> {
    let mut actor =
        actor.ok_or_else(|| Refusal::forbidden("the kernel does not say who is asking"))?;
    actor.name = login_name(actor.uid).await;
    Ok(actor)
}

async fn backends<C: Control>(
    State(control): State<Arc<C>>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Json<Vec<BackendLine>>, Answer> {
    let Path(name) = name.map_err(|error| Refusal::invalid(error.body_text()))?;
    Ok(Json(control.backends(name).await?))
}

async fn change_backend<C: Control>(
    State(control): State<Arc<C>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    name: Result<Path<String>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<BackendChange>, Answer> {
    let Path(name) = name.map_err(|error| Refusal::invalid(error.body_text()))?;
    let example = "send {\"verb\": \"drain\", \"backend\": \"10.0.1.11:8443\"}";
    let change: BackendSet = read(body, "change of a backend", example)?;
    let actor = known(peer).await?;
    Ok(Json(control.change_backend(name, change, actor).await?))
}

async fn flows<C: Control>(
    State(control): State<Arc<C>>,
    name: Result<Path<String>, PathRejection>,
    query: Result<Query<FlowQuery>, QueryRejection>,
) -> Result<Json<FlowList>, Answer> {
    let (name, query) = about_flows(name, query)?;
    Ok(Json(control.flows(name, query).await?))
}

async fn count_flows<C: Control>(
    State(control): State<Arc<C>>,
    name: Result<Path<String>, PathRejection>,
    query: Result<Query<FlowQuery>, QueryRejection>,
) -> Result<Json<FlowCount>, Answer> {
    let (name, query) = about_flows(name, query)?;
    Ok(Json(control.count_flows(name, query).await?))
}

async fn reset_flows<C: Control>(
    State(control): State<Arc<C>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    name: Result<Path<String>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<FlowsReset>, Answer> {
    let Path(name) = name.map_err(|error| Refusal::invalid(error.body_text()))?;
    let example = r#"send {"version": "canary", "dry_run": true}"#;
    let wanted: FlowsToReset = read(body, "reset of flows", example)?;
    let actor = known(peer).await?;
    Ok(Json(control.reset_flows(name, wanted, actor).await?))
}

async fn clients<C: Control>(
    State(control): State<Arc<C>>,
    name: Result<Path<String>, PathRejection>,
    query: Result<Query<ClientQuery>, QueryRejection>,
) -> Result<Json<ClientList>, Answer> {
    let Path(name) = name.map_err(|error| Refusal::invalid(error.body_text()))?;
    let Query(query) = query.map_err(|error| {
        Refusal::invalid(error.body_text())
            .with_hint("ask with ?version=NAME and limit=N, each if wanted")
    })?;
    Ok(Json(control.clients(name, query).await?))
}

async fn evidence<C: Control>(
    State(control): State<Arc<C>>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Json<Evidence>, Answer> {
    let Path(name) = name.map_err(|error| Refusal::invalid(error.body_text()))?;
    Ok(Json(control.evidence(name).await?))
}

async fn reset_evidence<C: Control>(
    State(control): State<Arc<C>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    name: Result<Path<String>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Evidence>, Answer> {
    let Path(name) = name.map_err(|error| Refusal::invalid(error.body_text()))?;
    let example = r#"send {} or {"reason": "a new build"}"#;
    let wanted: EvidenceReset = read(body, "reset of evidence", example)?;
    let actor = known(peer).await?;
    Ok(Json(control.reset_evidence(name, wanted, actor).await?))
}

/// The service and the question about its flows.
fn about_flows(
    name: Result<Path<String>, PathRejection>,
    query: Result<Query<FlowQuery>, QueryRejection>,
) -> Result<(String, FlowQuery), Refusal> {
    let Path(name) = name.map_err(|error| Refusal::invalid(error.body_text()))?;
    let Query(query) = query.map_err(|error| {
        Refusal::invalid(error.body_text()).with_hint(
            "ask with ?version=NAME, client=ADDRESS or PREFIX, pending=true and limit=N, each if \
             wanted",
        )
    })?;
    Ok((name, query))
}

async fn history<C: Control>(
    State(control): State<Arc<C>>,
    name: Result<Path<String>, PathRejection>,
    query: Result<Query<HistoryQuery>, QueryRejection>,
) -> Result<Json<History>, Answer> {
    let Path(name) = name.map_err(|error| Refusal::invalid(error.body_text()))?;
    let Query(query) = query.map_err(|error| {
        Refusal::invalid(error.body_text())
            .with_hint("ask with ?since=10m, until=5m, version=NAME and step=1s, each if wanted")
    })?;
    Ok(Json(control.history(name, query).await?))
}

/// What can stand behind the `?` of `explain`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExplainQuery {
    client: IpAddr,
    port: Option<u16>,
    vip: Option<Vip>,
}

async fn explain<C: Control>(
    State(control): State<Arc<C>>,
    name: Result<Path<String>, PathRejection>,
    query: Result<Query<ExplainQuery>, QueryRejection>,
) -> Result<Json<Explanation>, Answer> {
    let Path(name) = name.map_err(|error| Refusal::invalid(error.body_text()))?;
    let Query(query) = query.map_err(|error| {
        Refusal::invalid(error.body_text())
            .with_hint("ask with ?client=ADDRESS, and &port=PORT and &vip=ADDRESS:PORT/PROTOCOL")
    })?;
    Ok(Json(
        control
            .explain(name, query.client, query.port, query.vip)
            .await?,
    ))
}

async fn devices<C: Control>(State(control): State<Arc<C>>) -> Json<DeviceList> {
    Json(control.devices().await)
}

/// What can stand behind the `?` of `whois`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WhoisQuery {
    address: IpAddr,
}

async fn whois<C: Control>(
    State(control): State<Arc<C>>,
    query: Result<Query<WhoisQuery>, QueryRejection>,
) -> Result<Json<Whois>, Answer> {
    let Query(query) = query.map_err(|error| {
        Refusal::invalid(error.body_text()).with_hint("ask with ?address=ADDRESS")
    })?;
    Ok(Json(control.whois(query.address).await?))
}

/// The name that /etc/passwd has for a user. Other directories are not asked: the number is what
/// counts, the name only helps whoever reads it.
async fn login_name(uid: u32) -> Option<String> {
    let passwd = tokio::fs::read_to_string("/etc/passwd").await.ok()?;
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let number: u32 = fields.nth(1)?.parse().ok()?;
        (number == uid).then(|| name.to_owned())
    })
}
