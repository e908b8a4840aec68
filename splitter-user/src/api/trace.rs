//! Owns the way to read traced packets over the API: as lines that come as packets do.
//!
//! Invariant: a reader that goes away, or does not read, holds up nobody; what it did not take is counted.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::sync::mpsc;

use super::control::{Control, Refusal};
use super::server::Answer;
use super::types::{TraceLine, TraceQuery};

/// A trace that runs. It ends when this is dropped.
#[derive(Debug)]
pub struct Trace(pub mpsc::Receiver<TraceLine>);

pub(super) async fn follow<C: Control>(
    State(control): State<Arc<C>>,
    query: Result<Query<TraceQuery>, QueryRejection>,
) -> Result<Response, Answer> {
    let Query(query) = query.map_err(|error| {
        let hint = "ask with ?client=ADDRESS or PREFIX, and service=NAME and seconds=N if wanted";
        Refusal::invalid(error.body_text()).with_hint(hint)
    })?;
    let Trace(lines) = control.trace(query).await?;
    let lines = stream::unfold(lines, async |mut lines: mpsc::Receiver<TraceLine>| {
        let line = lines.recv().await?;
        Some((Ok::<_, Infallible>(text(&line)), lines))
    });
    let head = [(CONTENT_TYPE, "application/x-ndjson")];
    Ok((head, Body::from_stream(lines)).into_response())
}

fn text(line: &TraceLine) -> Bytes {
    // Text and numbers alone, which always are JSON.
    let mut text = serde_json::to_vec(line).unwrap_or_default();
    text.push(b'\n');
    text.into()
}
