//! `GET /api/v1/tail`: live tail as JSON lines, for people and our own command line.

use std::io;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::outbox::{Frame, Next};
use super::{Asked, HEARTBEAT, Reader, Tail};
use crate::engine::Entry;
use crate::http::Api;
use crate::http::error::HttpError;
use crate::http::origin::check_origin;
use crate::http::params::Params;
use crate::http::search::{JsonEntry, log_expr};

/// Older lines that come first unless asked otherwise.
const LIMIT_DEFAULT: usize = 10;

/// `GET /api/v1/tail`: the newest lines for plain words or LogQL, then those that arrive. Each line
/// of the answer is an entry as `/api/v1/search` gives it, or `{"dropped":N}` where N lines were not
/// sent because the reader was slow, or empty: a sign of life each second. Parameters: `query`,
/// `ignore_case`, `invert`, `start`, `limit` (0 for no older lines), `hex` (lines that are no UTF-8
/// get a member `line_hex`).
pub(in crate::http) async fn tail(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    params: Params,
) -> Response {
    let answer = begin(&api, &headers, &params).await;
    api.counted("tail_lines", answer)
}

async fn begin(
    api: &Arc<Api>,
    headers: &HeaderMap,
    params: &Params,
) -> Result<Response, HttpError> {
    check_origin(headers)?;
    let limit = match params.get("limit") {
        None => LIMIT_DEFAULT,
        Some("0") => 0,
        Some(_) => params.limit()?,
    };
    let hex = params.flag("hex")?;
    let asked = Asked::new(log_expr(params).await?, params, limit)?;
    let reader = Tail::begin(api, asked).await?.start().await?;
    let chunks = futures_util::stream::unfold(reader, move |mut reader| async move {
        Some((chunk(&mut reader, hex).await, reader))
    });
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
    Ok((kind, Body::from_stream(chunks)).into_response())
}

/// The next lines. An error breaks the answer off, so that a reader does not take it for an end.
async fn chunk(reader: &mut Reader, hex: bool) -> io::Result<Bytes> {
    tokio::select! {
        next = reader.next() => match next {
            Some(Next::Frame(frame)) => Ok(written(&frame, hex).into()),
            Some(Next::Failed(why)) => Err(io::Error::other(why)),
            None => Err(io::Error::other("the server is stopping")),
        },
        () = tokio::time::sleep(HEARTBEAT) => Ok(Bytes::from_static(b"\n")),
    }
}

/// An entry as search gives it, and the bytes of a line that is no text.
#[derive(Serialize)]
struct TailEntry {
    #[serde(flatten)]
    entry: JsonEntry,
    #[serde(skip_serializing_if = "Option::is_none")]
    line_hex: Option<String>,
}

#[derive(Serialize)]
struct Dropped {
    dropped: u64,
}

fn written(frame: &Frame, hex: bool) -> Vec<u8> {
    let mut out = Vec::new();
    if frame.gap.lines > 0 {
        write_json(&mut out, &Dropped { dropped: frame.gap.lines });
    }
    for entry in &frame.entries {
        let line_hex = (hex && std::str::from_utf8(&entry.line).is_err()).then(|| as_hex(entry));
        write_json(&mut out, &TailEntry { entry: JsonEntry::of(entry), line_hex });
    }
    out
}

fn as_hex(entry: &Entry) -> String {
    entry.line.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn write_json(out: &mut Vec<u8>, value: &impl Serialize) {
    serde_json::to_writer(&mut *out, value)
        .expect("text and numbers can be written as JSON into memory");
    out.push(b'\n');
}
