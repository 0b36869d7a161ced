//! Sawlog's own endpoints: search as a person types it, and the export of stored bytes.

use std::io;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tokio::sync::mpsc;

use super::Api;
use super::error::HttpError;
use super::loki::{apart, now};
use super::params::Params;
use super::running::CancelOnDrop;
use crate::engine::log::{self, LogQuery, entry_of};
use crate::engine::plan::Plan;
use crate::engine::{Budget, Entry, QueryError, export};
use crate::lang::{Expr, LogExpr, PlainOptions, compile};
use sawlog_transport::LineFlags;

/// Bytes of an export that are put together before they are sent, and how many such chunks wait for
/// a slow client.
const CHUNK_BYTES: usize = 64 * 1024;
const CHUNKS_WAITING: usize = 4;

/// How entries are written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    /// One JSON object a line.
    JsonLines,
    /// The stored bytes of each line and `\n`.
    Raw,
}

impl Format {
    fn of(params: &Params, default: Format) -> Result<Self, HttpError> {
        match params.get("format") {
            None => Ok(default),
            Some("jsonl") => Ok(Format::JsonLines),
            Some("raw") => Ok(Format::Raw),
            Some(other) => {
                Err(HttpError::bad_request(format!("format={other}: write jsonl or raw")))
            }
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            Format::JsonLines => "application/x-ndjson",
            Format::Raw => "application/octet-stream",
        }
    }
}

/// `GET|POST /api/v1/search`: the newest (or oldest) entries for plain words or LogQL, in order of
/// time. Parameters: `query`, `start`, `end`, `since`, `limit`, `direction`, `ignore_case`,
/// `invert`, `format`.
pub(super) async fn search(State(api): State<Arc<Api>>, params: Params) -> Response {
    let answer = find(&api, &params).await;
    api.counted("search", answer)
}

async fn find(api: &Arc<Api>, params: &Params) -> Result<Response, HttpError> {
    let log = log_expr(params).await?;
    let (from, to) = params.range(now().saturating_add(1))?;
    let (limit, direction) = (params.limit()?, params.direction()?);
    let format = Format::of(params, Format::JsonLines)?;
    let store = api.clone();
    let run = move |budget: &Budget| -> Result<(Vec<u8>, Vec<String>), QueryError> {
        let query = LogQuery { log: &log, from, to, limit, direction };
        store.warn_if_replaying(budget);
        let mut entries = log::run(&store.store, &query, budget)?;
        entries.sort_by_key(|entry| entry.order);
        store.observe("search", budget);
        let mut out = Vec::new();
        for entry in &entries {
            write_entry(&mut out, entry, format);
        }
        Ok((out, budget.warnings()))
    };
    let (body, warnings) = api.queries.run(api.limits.clone(), run).await??;
    let mut response = ([(header::CONTENT_TYPE, format.content_type())], body).into_response();
    for warning in warnings {
        if let Ok(value) = warning.parse() {
            response.headers_mut().append("x-sawlog-warning", value);
        }
    }
    Ok(response)
}

/// The log query of `query`, plain words or LogQL.
pub(super) async fn log_expr(params: &Params) -> Result<LogExpr, HttpError> {
    let options =
        PlainOptions { ignore_case: params.flag("ignore_case")?, invert: params.flag("invert")? };
    let query = params.get("query").unwrap_or_default().to_owned();
    match apart(move || compile(&query, options)).await?? {
        Expr::Log(log) => Ok(log),
        Expr::Metric(_) => Err(HttpError::bad_request(
            "this query answers with numbers: ask /loki/api/v1/query or query_range",
        )),
    }
}

/// `GET|POST /api/v1/export`: all matching lines, stream after stream in the order of their files,
/// without a limit. If something cannot be read the body ends without its end mark, so that a client
/// sees an error.
pub(super) async fn export(State(api): State<Arc<Api>>, params: Params) -> Response {
    let answer = start_export(&api, &params).await;
    api.counted("export", answer)
}

async fn start_export(api: &Arc<Api>, params: &Params) -> Result<Response, HttpError> {
    let log = log_expr(params).await?;
    let from = params.time("start")?.unwrap_or(i64::MIN);
    let to = params.time("end")?.unwrap_or(i64::MAX);
    let format = Format::of(params, Format::Raw)?;
    if !api.store.is_ready() {
        let text = "not ready: replaying what was not sealed; try again";
        return Err(HttpError::new(StatusCode::SERVICE_UNAVAILABLE, text));
    }
    let place = api.exports.place_now()?;
    let mut limits = api.limits.clone();
    // An export takes as long as its reader; it ends when the reader is gone.
    limits.time_max = std::time::Duration::MAX;
    limits.scan_bytes_max = u64::MAX;
    let (sender, receiver) = mpsc::channel(CHUNKS_WAITING);
    let budget = Budget::new(limits);
    let cancel = CancelOnDrop::new(&budget);
    let api = api.clone();
    tokio::task::spawn_blocking(move || {
        let _place = place;
        let mut chunks = Chunks { sender, chunk: Vec::new() };
        let end = write_export(&api, &log, (from, to), format, &budget, &mut chunks);
        api.observe("export", &budget);
        chunks.finish(end, &budget.warnings());
    });
    let chunks = futures_util::stream::unfold((receiver, cancel), |(mut receiver, cancel)| async {
        Some((receiver.recv().await?, (receiver, cancel)))
    });
    let kind = [(header::CONTENT_TYPE, format.content_type())];
    Ok((StatusCode::OK, kind, Body::from_stream(chunks)).into_response())
}

fn write_export(
    api: &Api,
    log: &LogExpr,
    (from, to): (i64, i64),
    format: Format,
    budget: &Budget,
    chunks: &mut Chunks,
) -> Result<(), QueryError> {
    let plan = Plan::new(&api.store, log, from, to)?;
    export::run(&api.store, &plan, budget, &mut |found| {
        match format {
            Format::Raw => {
                chunks.chunk.extend_from_slice(found.entry.line);
                chunks.chunk.push(b'\n');
            }
            Format::JsonLines => {
                write_entry(&mut chunks.chunk, &entry_of(&plan, found), format);
            }
        }
        if chunks.chunk.len() >= CHUNK_BYTES { chunks.flush() } else { Ok(()) }
    })
}

/// Sends a body in chunks; waits for a slow reader.
struct Chunks {
    sender: mpsc::Sender<io::Result<Bytes>>,
    chunk: Vec<u8>,
}

impl Chunks {
    fn flush(&mut self) -> Result<(), QueryError> {
        let chunk = std::mem::take(&mut self.chunk).into();
        self.sender.blocking_send(Ok(chunk)).map_err(|_| QueryError::Cancelled)
    }

    fn finish(mut self, end: Result<(), QueryError>, warnings: &[String]) {
        let end =
            end.and_then(|()| self.flush()).map_err(io::Error::other).and_then(|()| match warnings
                .first()
            {
                None => Ok(()),
                Some(warning) => Err(io::Error::other(warning.clone())),
            });
        if let Err(err) = end {
            tracing::warn!(%err, "an export is not complete");
            // The reader is gone if this fails.
            self.sender.blocking_send(Err(err)).unwrap_or_default();
        }
    }
}

fn write_entry(out: &mut Vec<u8>, entry: &Entry, format: Format) {
    match format {
        Format::Raw => out.extend_from_slice(&entry.line),
        Format::JsonLines => {
            serde_json::to_writer(&mut *out, &JsonEntry::of(entry))
                .expect("text and numbers can be written as JSON into memory");
        }
    }
    out.push(b'\n');
}

/// An entry as one JSON object.
#[derive(Serialize)]
pub(super) struct JsonEntry {
    ts: String,
    observed_ts: String,
    uid: String,
    labels: std::collections::BTreeMap<String, String>,
    fields: std::collections::BTreeMap<String, String>,
    line: String,
    /// The line holds bytes that are no UTF-8; `format=raw` gives them.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    invalid_utf8: bool,
    /// The container ended before it ended the line.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    partial: bool,
    /// Only the line's beginning was kept.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    cut: bool,
}

impl JsonEntry {
    pub(super) fn of(entry: &Entry) -> Self {
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        Self {
            ts: rfc3339(entry.time),
            observed_ts: rfc3339(entry.read_time),
            uid: entry.uid.to_string(),
            labels: entry.labels.iter().map(|(n, v)| (n.to_owned(), text(v))).collect(),
            fields: entry.metadata.iter().map(|(n, v)| (n.clone(), text(v))).collect(),
            line: text(&entry.line),
            invalid_utf8: std::str::from_utf8(&entry.line).is_err(),
            partial: entry.flags.has(LineFlags::PARTIAL),
            cut: entry.flags.has(LineFlags::CUT),
        }
    }
}

/// A time, nanoseconds since the epoch, as JSON answers give it.
pub(super) fn rfc3339(time: i64) -> String {
    let format = chrono::SecondsFormat::Nanos;
    chrono::DateTime::from_timestamp_nanos(time).to_rfc3339_opts(format, true)
}
