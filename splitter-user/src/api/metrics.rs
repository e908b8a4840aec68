//! Owns the answer to `GET /metrics`, over the API's socket and over a TCP listener that answers
//! nothing else.
//!
//! Invariant: the listener takes loopback addresses only, which the configuration sees to: there is
//! neither TLS nor a token.

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use super::control::{Control, Refusal};
use super::server::Answer;
use crate::observe::metrics::{OPEN_METRICS, TEXT, takes_open_metrics};

/// Answers requests for metrics on `listener` until `stop` is done.
pub async fn serve<C: Control>(
    listener: TcpListener,
    control: Arc<C>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let router = Router::new()
        .route("/metrics", get(answer::<C>))
        .fallback(async || {
            let refusal = Refusal::not_found("only GET /metrics is answered here");
            Answer::from(refusal)
        })
        .with_state(control);
    axum::serve(listener, router)
        .with_graceful_shutdown(stop)
        .await
}

/// All metrics, in the format that is asked for.
pub(super) async fn answer<C: Control>(
    State(control): State<Arc<C>>,
    headers: HeaderMap,
) -> Result<Response, Answer> {
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok());
    let open_metrics = accept.is_some_and(takes_open_metrics);
    let text = control.metrics(open_metrics).await?;
    let kind = if open_metrics { OPEN_METRICS } else { TEXT };
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}
