//! Owns the two ways to read events over the API: as a list, and as lines that go on.
//!
//! Invariant: a reader that does not read holds up nobody but its own connection; a stream ends when
//! the log is closed, so that the daemon's end waits for no reader.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use futures_util::stream;

use super::control::{Control, Refusal};
use super::server::Answer;
use crate::events::{EventLine, EventList, EventQuery, Follower};

pub(super) async fn list<C: Control>(
    State(control): State<Arc<C>>,
    query: Result<Query<EventQuery>, QueryRejection>,
) -> Result<Json<EventList>, Answer> {
    Ok(Json(control.events().list(&asked(query)?)))
}

pub(super) async fn follow<C: Control>(
    State(control): State<Arc<C>>,
    query: Result<Query<EventQuery>, QueryRejection>,
) -> Result<Response, Answer> {
    let follower = control.events().follow(asked(query)?);
    let lines = stream::unfold(follower, async |mut follower: Follower| {
        let lines = follower.next().await?;
        Some((Ok::<_, Infallible>(text(&lines)), follower))
    });
    let head = [(CONTENT_TYPE, "application/x-ndjson")];
    Ok((head, Body::from_stream(lines)).into_response())
}

/// Each line as JSON.
fn text(lines: &[EventLine]) -> Bytes {
    let mut text = Vec::new();
    for line in lines {
        // Text and numbers alone, which always are JSON.
        if let Ok(line) = serde_json::to_vec(line) {
            text.extend(line);
            text.push(b'\n');
        }
    }
    text.into()
}

fn asked(query: Result<Query<EventQuery>, QueryRejection>) -> Result<EventQuery, Refusal> {
    let hint = "ask with ?service=NAME, since=2026-01-02T03:04:05Z, after=NUMBER and limit=N, each \
                if wanted";
    let Query(mut query) =
        query.map_err(|error| Refusal::invalid(error.body_text()).with_hint(hint))?;
    if let Some(since) = &mut query.since {
        let time = humantime::parse_rfc3339(since)
            .map_err(|error| Refusal::invalid(format!("since={since}: {error}")).with_hint(hint))?;
        // The form that events have, which their times are compared in.
        *since = humantime::format_rfc3339_millis(time).to_string();
    }
    Ok(query)
}
