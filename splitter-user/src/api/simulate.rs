//! Owns the route of simulations.
//!
//! Invariant: it changes nothing, so that nobody needs to be known who asks; a body is as long as
//! [`Simulate::MOST`] clients are at most.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::routing::post;
use axum::{Json, Router};

use super::control::{Control, Refusal};
use super::server::{Answer, read_within};
use super::types::{Simulate, Simulated};

/// Bytes of a client in JSON, at most: two IPv6 addresses, two ports, and names of fields.
const CLIENT_BYTES: usize = 192;
/// The longest body, in bytes; other weights fit beside the clients.
const BODY_MAX: usize = Simulate::MOST * CLIENT_BYTES;

/// The route.
pub(super) fn routes<C: Control>() -> Router<Arc<C>> {
    Router::new()
        .route("/v1/services/{name}/simulate", post(simulate::<C>))
        .layer(DefaultBodyLimit::max(BODY_MAX))
}

async fn simulate<C: Control>(
    State(control): State<Arc<C>>,
    name: Result<Path<String>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Simulated>, Answer> {
    let Path(name) = name.map_err(|error| Refusal::invalid(error.body_text()))?;
    let example =
        r#"send {"clients": [{"address": "198.51.100.7"}], "weights": {"canary": "10%"}}"#;
    let wanted: Simulate = read_within(BODY_MAX, body, "simulation", example)?;
    let count = wanted.clients.len();
    if count > Simulate::MOST {
        let most = Simulate::MOST;
        return Err(Refusal::invalid(format!(
            "{count} clients are more than the {most} that are answered at once"
        ))
        .with_hint("ask for them in parts")
        .into());
    }
    Ok(Json(control.simulate(name, wanted).await?))
}
