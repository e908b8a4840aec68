//! Owns one probe: a question to a backend, and whether the answer is good.
//!
//! Invariant: a probe ends within its timeout, connecting included, and reads at most [`BODY_MAX`]
//! bytes of a body. It goes from this host straight to the backend, not through a VIP.

use std::io;
use std::net::SocketAddr;

use axum::body::Bytes;
use axum::http::{Method, Request, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::net::TcpStream;

use crate::model::{Check, HttpMethod, HttpQuestion, Question};

/// How far into a body a text is looked for, in bytes.
pub const BODY_MAX: usize = 64 * 1024;

/// Why an answer is not good.
#[derive(Debug, Error)]
pub enum ProbeError {
    /// None came in time.
    #[error("no answer from {address} within {timeout}")]
    Timeout {
        /// Who was asked.
        address: SocketAddr,
        /// How long it was waited for.
        timeout: humantime::FormattedDuration,
    },
    /// There is no connection.
    #[error("cannot connect to {address}: {error}")]
    Connect {
        /// Who was asked.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// The answer is no HTTP, or was cut off.
    #[error("{address} does not answer in HTTP: {why}")]
    Http {
        /// Who was asked.
        address: SocketAddr,
        /// What is wrong.
        why: String,
    },
    /// Another status than expected.
    #[error("{address} answers with status {status}, not {expected}")]
    Status {
        /// Who was asked.
        address: SocketAddr,
        /// The status.
        status: u16,
        /// `200-299, 304`.
        expected: String,
    },
    /// The text is not in the body.
    #[error("\"{wanted}\" is not in the body from {address}")]
    Body {
        /// Who was asked.
        address: SocketAddr,
        /// The text.
        wanted: String,
    },
}

/// Asks once.
pub async fn ask(address: SocketAddr, check: &Check) -> Result<(), ProbeError> {
    let asked = async {
        let stream = TcpStream::connect(address)
            .await
            .map_err(|error| ProbeError::Connect { address, error })?;
        match &check.question {
            Question::Tcp => Ok(()),
            Question::Http(question) => request(stream, address, question).await,
        }
    };
    let answer = tokio::time::timeout(check.timeout, asked).await;
    answer.unwrap_or_else(|_| {
        Err(ProbeError::Timeout {
            address,
            timeout: humantime::format_duration(check.timeout),
        })
    })
}

async fn request(
    stream: TcpStream,
    address: SocketAddr,
    question: &HttpQuestion,
) -> Result<(), ProbeError> {
    let fault = |error: &dyn std::fmt::Display| ProbeError::Http {
        address,
        why: error.to_string(),
    };
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| fault(&error))?;
    let host = question.host.clone();
    let request = Request::builder()
        .method(match question.method {
            HttpMethod::Get => Method::GET,
            HttpMethod::Head => Method::HEAD,
        })
        .uri(&question.path)
        .header(header::HOST, host.unwrap_or_else(|| address.to_string()))
        .header(header::USER_AGENT, "splitter-health")
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| fault(&error))?;
    let talk = async {
        let response = sender
            .send_request(request)
            .await
            .map_err(|error| fault(&error))?;
        expect_status(response.status().as_u16(), address, question)?;
        match &question.expect_body {
            None => Ok(()),
            Some(wanted) => expect_body(response.into_body(), address, wanted).await,
        }
    };
    // The connection is driven by whoever waits for the answer; its own end is no news.
    let drive = async {
        let _ended = connection.await;
        std::future::pending().await
    };
    tokio::select! {
        answer = talk => answer,
        never = drive => never,
    }
}

fn expect_status(
    status: u16,
    address: SocketAddr,
    question: &HttpQuestion,
) -> Result<(), ProbeError> {
    let expected = &question.expect_status;
    if expected
        .iter()
        .any(|(first, last)| (*first..=*last).contains(&status))
    {
        return Ok(());
    }
    let shown: Vec<String> = expected
        .iter()
        .map(|(first, last)| {
            if first == last {
                first.to_string()
            } else {
                format!("{first}-{last}")
            }
        })
        .collect();
    Err(ProbeError::Status {
        address,
        status,
        expected: shown.join(", "),
    })
}

async fn expect_body(
    body: hyper::body::Incoming,
    address: SocketAddr,
    wanted: &str,
) -> Result<(), ProbeError> {
    let mut body = Limited::new(body, BODY_MAX);
    let mut seen = Vec::new();
    while let Some(frame) = body.frame().await {
        // An overlong body ends here too: what was wanted should have come by now.
        let Ok(frame) = frame else { break };
        seen.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
        if seen
            .windows(wanted.len().max(1))
            .any(|window| window.starts_with(wanted.as_bytes()))
        {
            return Ok(());
        }
    }
    if wanted.is_empty() {
        return Ok(());
    }
    Err(ProbeError::Body {
        address,
        wanted: wanted.to_owned(),
    })
}

#[cfg(test)]
#[path = "probe_tests.rs"]
mod tests;
