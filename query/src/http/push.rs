//! `POST /loki/api/v1/push`: Loki's JSON, plain or gzipped, or its protobuf. 204 means durable.

mod protobuf;

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sawlog_transport::Labels;
use sawlog_transport::lines::encode_metadata;
use serde::Deserialize;
use serde::de::{Error as _, SeqAccess, Visitor};

use super::error::HttpError;
use super::{Api, PUSH_BYTES_MAX};
use crate::push::{PushedEntry, PushedStream};

/// How long the body of a push may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// `POST /loki/api/v1/push`
pub(super) async fn push(State(api): State<Arc<Api>>, request: Request) -> Response {
    let answer = take(&api, request).await;
    api.counted("push", answer)
}

async fn take(api: &Arc<Api>, request: Request) -> Result<Response, HttpError> {
    let kind = header_text(request.headers(), header::CONTENT_TYPE);
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
        let streams = decode(&body, &kind, &encoding)?;
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

/// The streams of a body.
fn decode(body: &[u8], kind: &str, encoding: &str) -> Result<Vec<PushedStream>, HttpError> {
    let protobuf = kind.starts_with("application/x-protobuf");
    let inflated;
    let body = match encoding {
        "" | "identity" => body,
        // The form that protobuf always has; some agents also say so.
        "snappy" if protobuf => body,
        "gzip" => {
            inflated = gunzip(body)?;
            &inflated
        }
        other => {
            let text = format!("Content-Encoding '{other}' is not supported: use gzip or none");
            return Err(HttpError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
        }
    };
    if protobuf {
        return protobuf::decode(body);
    }
    let request: PushRequest = serde_json::from_slice(body)
        .map_err(|err| HttpError::bad_request(format!("the body is no push request: {err}")))?;
    request.streams.into_iter().map(PushStream::into_pushed).collect()
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

#[derive(Deserialize)]
struct PushRequest {
    streams: Vec<PushStream>,
}

#[derive(Deserialize)]
struct PushStream {
    stream: BTreeMap<String, String>,
    values: Vec<PushValue>,
}

/// `["<nanoseconds>", "line"]` or `["<nanoseconds>", "line", {"name": "value"}]`.
struct PushValue(PushedEntry);

impl PushStream {
    fn into_pushed(self) -> Result<PushedStream, HttpError> {
        let labels = Labels::from_pairs(self.stream)
            .map_err(|err| HttpError::bad_request(format!("a stream's labels: {err}")))?;
        if labels.is_empty() {
            return Err(HttpError::bad_request("a stream has no label: it needs at least one"));
        }
        let entries = self.values.into_iter().map(|value| value.0).collect();
        Ok(PushedStream { labels, entries })
    }
}

impl<'de> Deserialize<'de> for PushValue {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = PushValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an entry: [\"<nanoseconds as text>\", \"line\", {optional metadata}]")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<PushValue, A::Error> {
        let missing = |n: usize| A::Error::invalid_length(n, &self);
        let time: String = seq.next_element()?.ok_or_else(|| missing(0))?;
        let time = time.parse().map_err(|_| {
            A::Error::custom(format!("'{time}' is no time: write nanoseconds since 1970 as text"))
        })?;
        let line: String = seq.next_element()?.ok_or_else(|| missing(1))?;
        let metadata: Option<BTreeMap<String, String>> = seq.next_element()?;
        if seq.next_element::<serde::de::IgnoredAny>()?.is_some() {
            return Err(missing(4));
        }
        let metadata = metadata.unwrap_or_default();
        let metadata =
            encode_metadata(metadata.iter().map(|(name, value)| (name.as_str(), value.as_bytes())));
        Ok(PushValue(PushedEntry { time, line: line.into_bytes(), metadata }))
    }
}
