//! Owns what is said on the socket: one connection a question, limits of time, and what an answer
//! that is none means.

use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{Method, Request, header};
use http_body_util::BodyExt as _;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use super::{Client, ClientError, TIMEOUT};
use crate::api::control::Refusal;
use crate::api::types::ApiError;

type Sender = http1::SendRequest<Body>;

impl Client {
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<T, ClientError> {
        self.ask_within(TIMEOUT, method, path, body).await
    }

    pub(super) async fn ask_within<T: DeserializeOwned>(
        &self,
        limit: Duration,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<T, ClientError> {
        self.send_within(limit, method, path, body.into()).await
    }

    /// The same with a body that is read as it is sent.
    pub(super) async fn send_within<T: DeserializeOwned>(
        &self,
        limit: Duration,
        method: Method,
        path: &str,
        body: Body,
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
        body: Body,
    ) -> Result<(u16, Bytes), ClientError> {
        let talk = async |mut sender: Sender, request| {
            let response = sender.send_request(request).await?;
            let status = response.status().as_u16();
            Ok((status, response.into_body().collect().await?.to_bytes()))
        };
        self.converse(method, path, body, talk).await
    }

    /// One request whose answer goes on; the time until it begins is limited, not what follows.
    pub(super) async fn stream(
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
        self.converse(Method::GET, path, Body::empty(), talk)
            .await?
    }

    /// The same, of lines of JSON.
    pub(super) async fn lines<T: DeserializeOwned>(
        &self,
        path: &str,
        mut take: impl FnMut(T) -> ControlFlow<()>,
    ) -> Result<(), ClientError> {
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
        self.stream(path, lines).await
    }

    /// A connection, and what is said on it.
    async fn converse<T>(
        &self,
        method: Method,
        path: &str,
        body: Body,
        talk: impl AsyncFnOnce(Sender, Request<Body>) -> Result<T, hyper::Error>,
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
            .body(body)
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

    pub(super) fn nonsense(&self, what: impl std::fmt::Display) -> ClientError {
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
