//! `POST /loki/api/v1/push`: Loki's JSON, plain or gzipped, or its protobuf. 204 means durable.

mod json;
mod protobuf;

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::error::HttpError;
use super::origin::check_origin;
use super::{Api, PUSH_BYTES_MAX};
use crate::push::PushedStream;

/// How long the body of a push may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// Streams of one request: each costs a look-up of its own.
const STREAMS_MAX: usize = 1 << 14;
/// Streams, entries and pairs of one request: a few bytes of the wire can become a hundred in memory,
/// so that they are counted before they are decoded, or while.
const MESSAGES_MAX: usize = 1 << 20;

/// `POST /loki/api/v1/push`
pub(super) async fn push(State(api): State<Arc<Api>>, request: Request) -> Response {
    let answer = take(&api, request).await;
    api.counted("push", answer)
}

async fn take(api: &Arc<Api>, request: Request) -> Result<Response, HttpError> {
    check_origin(request.headers())?;
    let kind = Kind::of(&header_text(request.headers(), header::CONTENT_TYPE))?;
    let encoding = header_text(request.headers(), header::CONTENT_ENCODING);
    // The place first: bodies are in memory only for those who have one.
    let place = api.pushes.place().await?;
    let reading = axum::body::to_bytes(request.into_body(), PUSH_BYTES_MAX);
    let body = tokio::time::timeout(BODY_TIMEOUT, reading)
        .await
        .map_err(|_| {
            HttpError::new(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time")
        })?
        .map_err(|err| {
            let text = format!("cannot read the body (at most {PUSH_BYTES_MAX} bytes): {err}");
            HttpError::new(StatusCode::PAYLOAD_TOO_LARGE, text)
        })?;
    let receiver = api.receiver.clone();
    let metrics = (api.metrics.pushed_entries.clone(), api.metrics.push_retries.clone());
    let task = tokio::task::spawn_blocking(move || -> Result<(), HttpError> {
        let _place = place;
        let streams = decode(&body, kind, &encoding)?;
        let given: usize = streams.iter().map(|stream| stream.entries.len()).sum();
        let retries = receiver.push(streams)?;
        metrics.0.inc_by((given - retries) as u64);
        metrics.1.inc_by(retries as u64);
        Ok(())
    });
    task.await.map_err(|err| {
        tracing::error!(%err, "a push failed");
        HttpError::new(StatusCode::INTERNAL_SERVER_ERROR, "the push failed: see the log")
    })??;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn header_text(headers: &HeaderMap, name: header::HeaderName) -> String {
    let value = headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()));
    value.unwrap_or_default().trim().to_ascii_lowercase()
}

/// The form of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Json,
    Protobuf,
}

impl Kind {
    /// By its `Content-Type`, in small letters; without one it is JSON.
    fn of(header: &str) -> Result<Self, HttpError> {
        match header.split(';').next().unwrap_or_default().trim() {
            "" | "application/json" => Ok(Kind::Json),
            "application/x-protobuf" => Ok(Kind::Protobuf),
            other => {
                let text = format!(
                    "Content-Type '{other}' is not supported: send JSON with the header \
                     'Content-Type: application/json', or protobuf with application/x-protobuf"
                );
                Err(HttpError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, text))
            }
        }
    }
}

/// What a body is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    streams: usize,
    /// Streams, entries and pairs.
    messages: usize,
}

/// Refuses more than a request may have.
fn too_many(counts: Counts) -> Result<(), HttpError> {
    let Counts { streams, messages } = counts;
    if messages > MESSAGES_MAX {
        let text = format!(
            "the request has {messages} streams, entries and pairs, at most {MESSAGES_MAX} are \
             allowed: send less at once"
        );
        return Err(HttpError::new(StatusCode::PAYLOAD_TOO_LARGE, text));
    }
    if streams > STREAMS_MAX {
        return Err(HttpError::bad_request(format!(
            "the request has {streams} or more streams, at most {STREAMS_MAX} are allowed: split \
             the push"
        )));
    }
    Ok(())
}

/// The streams of a body.
fn decode(body: &[u8], kind: Kind, encoding: &str) -> Result<Vec<PushedStream>, HttpError> {
    let inflated;
    let body = match encoding {
        "" | "identity" => body,
        // The form that protobuf always has; some agents also say so.
        "snappy" if kind == Kind::Protobuf => body,
        "gzip" => {
            inflated = gunzip(body)?;
            &inflated
        }
        other => {
            let text = format!("Content-Encoding '{other}' is not supported: use gzip or none");
            return Err(HttpError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
        }
    };
    match kind {
        Kind::Json => json::decode(body),
        Kind::Protobuf => protobuf::decode(body),
    }
}

fn gunzip(body: &[u8]) -> Result<Vec<u8>, HttpError> {
    let mut inflated = Vec::new();
    flate2::read::MultiGzDecoder::new(body)
        .take(PUSH_BYTES_MAX as u64 + 1)
        .read_to_end(&mut inflated)
        .map_err(|err| HttpError::bad_request(format!("the body is no gzip: {err}")))?;
    if inflated.len() > PUSH_BYTES_MAX {
        let text =
            format!("the body inflates to more than {PUSH_BYTES_MAX} bytes: send less at once");
        return Err(HttpError::new(StatusCode::PAYLOAD_TOO_LARGE, text));
    }
    Ok(inflated)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_json_and_protobuf_are_taken() {
        let kind = |header: &str| Kind::of(header).ok();
        assert_eq!(kind("application/json; charset=utf-8"), Some(Kind::Json));
        assert_eq!(kind(""), Some(Kind::Json));
        assert_eq!(kind("application/x-protobuf"), Some(Kind::Protobuf));
        for other in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx"] {
            assert_eq!(kind(other), None, "{other}");
        }
    }
}
