//! Sawlog's own endpoints: search as a person types it, and the export of stored bytes.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use parking_lot::Mutex;
use serde::Serialize;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::SendTimeoutError;

use super::error::HttpError;
use super::loki::{apart, now};
use super::params::Params;
use super::running::CancelOnDrop;
use super::{Api, READER_SILENCE_MAX, waiting};
use crate::engine::log::{self, LogQuery, entry_of};
use crate::engine::plan::Plan;
use crate::engine::{Budget, Entry, QueryError, export};
use crate::lang::{Expr, LogExpr, PlainOptions, compile};
use sawlog_aggregator::{Source, Whole};
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
        let mut entries = store.warned(budget, || log::run(&store.store, &query, budget))?;
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
    warn_by_header(&mut response, warnings);
    Ok(response)
}

fn warn_by_header(response: &mut Response, warnings: impl IntoIterator<Item = String>) {
    for warning in warnings {
        if let Ok(value) = warning.parse() {
            response.headers_mut().append("x-sawlog-warning", value);
        }
    }
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
/// without a limit. If something cannot be read, or waits to be, the body ends without its end mark, so that a client
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
    let Some(whole) = api.store.whole() else {
        let text = "not ready: replaying what was not sealed; try again";
        return Err(HttpError::new(StatusCode::SERVICE_UNAVAILABLE, text));
    };
    let place = api.exports.place_now()?;
    // Of what the body lacks for this reason; it ends as one that is not complete.
    let told = waiting::told(&api.store.waiting_partitions());
    let mut limits = api.limits.clone();
    // An export takes as long as its reader; it ends when the reader is gone.
    limits.time_max = Duration::MAX;
    limits.scan_bytes_max = u64::MAX;
    let (sender, receiver) = mpsc::channel(CHUNKS_WAITING);
    let stalled: Stalled = Arc::default();
    let left = stalled.clone();
    let budget = Budget::new(limits);
    let cancel = CancelOnDrop::new(&budget);
    let api = api.clone();
    tokio::task::spawn_blocking(move || {
        let _place = place;
        let mut chunks =
            Chunks { sender, stalled: left, chunk: Vec::new(), patience: READER_SILENCE_MAX };
        let end = plan_export(&api, &log, (from, to), whole, &budget)
            .and_then(|(plan, sources)| write_export(&plan, sources, format, &budget, &mut chunks));
        api.observe("export", &budget);
        chunks.finish(end, &budget.warnings());
    });
    let chunks = futures_util::stream::unfold((receiver, cancel), move |(mut chunks, cancel)| {
        let stalled = stalled.clone();
        async move { Some((next_chunk(&mut chunks, &stalled).await?, (chunks, cancel))) }
    });
    let kind = [(header::CONTENT_TYPE, format.content_type())];
    let mut response = (StatusCode::OK, kind, Body::from_stream(chunks)).into_response();
    warn_by_header(&mut response, told);
    Ok(response)
}

/// What an export reads, all of it from the store while it was `whole`.
fn plan_export(
    api: &Api,
    log: &LogExpr,
    (from, to): (i64, i64),
    whole: Whole,
    budget: &Budget,
) -> Result<(Plan, Vec<Source>), QueryError> {
    api.warn_of_waiting(budget);
    let plan = Plan::new(&api.store, log, from, to)?;
    let sources = plan.sources(&api.store, budget)?;
    if api.store.whole() != Some(whole) {
        return Err(QueryError::Recovered);
    }
    Ok((plan, sources))
}

fn write_export(
    plan: &Plan,
    sources: Vec<Source>,
    format: Format,
    budget: &Budget,
    chunks: &mut Chunks,
) -> Result<(), QueryError> {
    export::run(plan, sources, budget, &mut |found| {
        match format {
            Format::Raw => {
                chunks.chunk.extend_from_slice(found.entry.line);
                chunks.chunk.push(b'\n');
            }
            Format::JsonLines => {
                write_entry(&mut chunks.chunk, &entry_of(plan, found), format);
            }
        }
        if chunks.chunk.len() >= CHUNK_BYTES { chunks.flush() } else { Ok(()) }
    })
}

/// Says why a body ends early, where there is no room left to send that.
type Stalled = Arc<Mutex<Option<io::Error>>>;

/// The next part of a body; what stalled it stands behind all that was sent.
async fn next_chunk(
    chunks: &mut mpsc::Receiver<io::Result<Bytes>>,
    stalled: &Stalled,
) -> Option<io::Result<Bytes>> {
    match chunks.recv().await {
        Some(chunk) => Some(chunk),
        None => stalled.lock().take().map(Err),
    }
}

/// Sends a body in chunks; waits for a slow reader, but not for ever.
struct Chunks {
    sender: mpsc::Sender<io::Result<Bytes>>,
    stalled: Stalled,
    chunk: Vec<u8>,
    /// How long the reader may take nothing.
    patience: Duration,
}

impl Chunks {
    fn flush(&mut self) -> Result<(), QueryError> {
        let chunk = std::mem::take(&mut self.chunk).into();
        self.send(Ok(chunk))
    }

    fn send(&self, chunk: io::Result<Bytes>) -> Result<(), QueryError> {
        let sending = self.sender.send_timeout(chunk, self.patience);
        Handle::current().block_on(sending).map_err(|err| match err {
            SendTimeoutError::Closed(_) => QueryError::Cancelled,
            SendTimeoutError::Timeout(_) => {
                let err = QueryError::ClientStopped(self.patience);
                *self.stalled.lock() = Some(io::Error::other(err.to_string()));
                err
            }
        })
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
            if self.sender.is_closed() {
                tracing::debug!(%err, "the client of an export went away");
            } else {
                tracing::warn!(%err, "an export is not complete");
            }
            // Whoever stopped reading is told by other means, and need not be waited for again.
            if self.stalled.lock().is_none() {
                self.send(Err(err)).unwrap_or_default();
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn chunks(patience: Duration) -> (Chunks, mpsc::Receiver<io::Result<Bytes>>, Stalled) {
        let (sender, receiver) = mpsc::channel(1);
        let stalled = Stalled::default();
        let chunk = b"text".to_vec();
        (Chunks { sender, stalled: stalled.clone(), chunk, patience }, receiver, stalled)
    }

    /// It must not look complete to a reader that comes back, nor be waited for again.
    #[tokio::test]
    async fn a_body_whose_reader_stops_ends_with_an_error_behind_what_was_sent() {
        let (mut writer, mut receiver, stalled) = chunks(Duration::from_millis(20));
        let written = tokio::task::spawn_blocking(move || {
            writer.flush().unwrap();
            let end = writer.flush();
            assert!(matches!(end, Err(QueryError::ClientStopped(_))), "{end:?}");
            writer.finish(end, &[]);
        });
        written.await.unwrap();
        let mut next = async || next_chunk(&mut receiver, &stalled).await;
        assert_eq!(next().await.unwrap().unwrap(), &b"text"[..]);
        assert!(next().await.unwrap().unwrap_err().to_string().contains("took nothing"));
        assert!(next().await.is_none());
    }

    #[tokio::test]
    async fn a_body_that_is_read_has_no_error_unless_there_is_one() {
        for warnings in [vec![], vec!["damaged".to_owned()]] {
            let (writer, mut receiver, stalled) = chunks(READER_SILENCE_MAX);
            let told = warnings.clone();
            let writing = tokio::task::spawn_blocking(move || writer.finish(Ok(()), &told));
            let first = next_chunk(&mut receiver, &stalled).await;
            assert_eq!(first.unwrap().unwrap(), &b"text"[..]);
            let last = next_chunk(&mut receiver, &stalled).await;
            assert_eq!(last.is_some_and(|end| end.is_err()), !warnings.is_empty());
            writing.await.unwrap();
        }
    }
}
