//! Owns the routes of cohorts.
//!
//! Invariant: an import is read to its end whatever is wrong with it, so that whoever sends it gets to
//! read the answer, and is kept up to [`COHORT_IMPORT_BYTES`].

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{ConnectInfo, Path, Query, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::StreamExt as _;
use serde::Deserialize;
use splitter_common::capacity::COHORT_IMPORT_BYTES;

use super::control::{Control, Refusal};
use super::server::{Answer, Peer, known, read};
use super::types::{
    CohortCreate, CohortDelete, CohortDeleted, CohortImport, CohortImported, CohortLine,
    CohortList, MemberAdd, MemberChange, MemberRemove, Memberships,
};

/// The routes.
pub(super) fn routes<C: Control>() -> Router<Arc<C>> {
    Router::new()
        .route("/v1/cohorts", get(list::<C>).post(create::<C>))
        .route("/v1/cohorts/{name}/delete", post(delete::<C>))
        .route("/v1/cohorts/{name}/members", post(add::<C>))
        .route("/v1/cohorts/{name}/members/remove", post(remove::<C>))
        .route("/v1/cohorts/{name}/import", post(import::<C>))
        .route("/v1/memberships", get(test::<C>))
}

fn named(name: Result<Path<String>, PathRejection>) -> Result<String, Refusal> {
    let Path(name) = name.map_err(|error| Refusal::invalid(error.body_text()))?;
    Ok(name)
}

async fn list<C: Control>(State(control): State<Arc<C>>) -> Result<Json<CohortList>, Answer> {
    Ok(Json(control.cohorts().await?))
}

async fn create<C: Control>(
    State(control): State<Arc<C>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<CohortLine>, Answer> {
    let wanted: CohortCreate = read(body, "cohort", r#"send {"name": "beta"}"#)?;
    let actor = known(peer).await?;
    Ok(Json(control.create_cohort(wanted, actor).await?))
}

async fn delete<C: Control>(
    State(control): State<Arc<C>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    name: Result<Path<String>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<CohortDeleted>, Answer> {
    let name = named(name)?;
    let wanted: CohortDelete = read(body, "end of a cohort", r#"send {} or {"reason": "done"}"#)?;
    let actor = known(peer).await?;
    Ok(Json(control.delete_cohort(name, wanted, actor).await?))
}

async fn add<C: Control>(
    State(control): State<Arc<C>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    name: Result<Path<String>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<MemberChange>, Answer> {
    let name = named(name)?;
    let example = r#"send {"address": "198.51.100.7", "ttl": "30m", "reference": "user 4711"}"#;
    let wanted: MemberAdd = read(body, "member", example)?;
    let actor = known(peer).await?;
    Ok(Json(control.add_member(name, wanted, actor).await?))
}

async fn remove<C: Control>(
    State(control): State<Arc<C>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    name: Result<Path<String>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<MemberChange>, Answer> {
    let name = named(name)?;
    let wanted: MemberRemove = read(body, "member", r#"send {"address": "198.51.100.7"}"#)?;
    let actor = known(peer).await?;
    Ok(Json(control.remove_member(name, wanted, actor).await?))
}

async fn import<C: Control>(
    State(control): State<Arc<C>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    name: Result<Path<String>, PathRejection>,
    query: Result<Query<CohortImport>, QueryRejection>,
    body: Body,
) -> Result<Json<CohortImported>, Answer> {
    let text = whole(body).await;
    let name = named(name)?;
    let Query(wanted) = query.map_err(|error| {
        Refusal::invalid(error.body_text()).with_hint(
            "ask with ?ttl=30m, skip_bad=true, dry_run=true and reason=TEXT, each if wanted",
        )
    })?;
    let actor = known(peer).await?;
    Ok(Json(
        control.import_members(name, wanted, text?, actor).await?,
    ))
}

/// The text of an import.
async fn whole(body: Body) -> Result<Vec<u8>, Refusal> {
    let mut parts = body.into_data_stream();
    let mut text = Vec::new();
    let mut too_long = false;
    while let Some(part) = parts.next().await {
        let part =
            part.map_err(|error| Refusal::invalid(format!("the import broke off: {error}")))?;
        too_long |= text.len() + part.len() > COHORT_IMPORT_BYTES;
        if too_long {
            text = Vec::new();
        } else {
            text.extend_from_slice(&part);
        }
    }
    if too_long {
        let most = COHORT_IMPORT_BYTES >> 20;
        return Err(Refusal::invalid(format!(
            "an import has at most {most} MiB, and nothing was changed"
        ))
        .with_hint("import it in parts"));
    }
    Ok(text)
}

/// What can stand behind the `?` of `memberships`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    address: String,
}

async fn test<C: Control>(
    State(control): State<Arc<C>>,
    query: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<Memberships>, Answer> {
    let Query(asked) = query.map_err(|error| {
        Refusal::invalid(error.body_text()).with_hint("ask with ?address=198.51.100.7")
    })?;
    Ok(Json(control.memberships(asked.address).await?))
}
