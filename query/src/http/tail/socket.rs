//! `GET /loki/api/v1/tail`: live tail over a WebSocket, as Loki's clients know it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use sawlog_transport::{GenerationId, Labels, LineFlags, StreamId};
use serde::Serialize;

use super::outbox::{Frame, Gap, Next};
use super::{Asked, HEARTBEAT, Reader, Tail};
use crate::engine::Entry;
use crate::engine::entry::{Order, Uid};
use crate::http::Api;
use crate::http::answer::{Group, Shape, groups};
use crate::http::error::HttpError;
use crate::http::loki::apart;
use crate::http::params::Params;
use crate::lang::{Expr, ParseOptions, parse};

/// What a client may send: it has nothing to say but pongs and its farewell. Bytes.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// Loki's bound of `delay_for`, in seconds.
const DELAY_MAX: u64 = 5;
/// The longest reason in a close frame: what the protocol has room for, in bytes.
const CLOSE_REASON_BYTES_MAX: usize = 123;
/// Clients cut six digits off a time: it must have all 19.
const TIME_DIGITS: usize = 19;

/// `GET /loki/api/v1/tail`: parameters `query`, `start` (default: an hour ago), `limit` (older
/// entries that come first, default 100). `delay_for` is checked and means nothing: entries come in
/// the order in which they arrived, so there is nothing to wait for.
pub(in crate::http) async fn tail(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
    params: Params,
) -> Response {
    let answer = match begin(&headers, &params).await {
        Err(err) => Err(err),
        Ok(asked) => match upgrade {
            Err(no_socket) => Ok(no_socket.into_response()),
            Ok(upgrade) => Tail::begin(&api, asked).await.map(|tail| switch(upgrade, tail)),
        },
    };
    api.counted("tail", answer)
}

fn switch(upgrade: WebSocketUpgrade, tail: Tail) -> Response {
    upgrade
        .max_message_size(MESSAGE_BYTES_MAX)
        .max_frame_size(MESSAGE_BYTES_MAX)
        .on_upgrade(move |socket| serve(socket, tail))
}

/// Checks everything that can be refused before the upgrade.
async fn begin(headers: &HeaderMap, params: &Params) -> Result<Asked, HttpError> {
    check_origin(headers)?;
    let delay = params.get("delay_for").unwrap_or("0");
    if !delay.parse::<u64>().is_ok_and(|delay| delay <= DELAY_MAX) {
        let text = format!("delay_for={delay}: write a number of seconds, at most {DELAY_MAX}");
        return Err(HttpError::bad_request(text));
    }
    let limit = params.limit()?;
    let query = params.required("query")?.to_owned();
    match apart(move || parse(&query, ParseOptions::default())).await?? {
        Expr::Log(log) => Asked::new(log, params, limit),
        Expr::Metric(_) => Err(HttpError::bad_request(
            "only lines can be followed, and this query answers with numbers: take the selector \
             and the filters alone",
        )),
    }
}

/// A page of another site may open a WebSocket with the reader's rights: browsers leave it to us to
/// refuse it. Clients that are no browsers send no `Origin`.
fn check_origin(headers: &HeaderMap) -> Result<(), HttpError> {
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    let origin = origin.to_str().unwrap_or_default();
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let uri = origin.parse::<Uri>().ok();
    let authority = uri.as_ref().and_then(|uri| uri.authority());
    if authority.is_some_and(|authority| authority.as_str().eq_ignore_ascii_case(host)) {
        return Ok(());
    }
    let text = format!(
        "a page of '{origin}' may not read the logs of '{host}': a proxy in between must pass on \
         the Host header, or drop Origin"
    );
    Err(HttpError::new(StatusCode::FORBIDDEN, text))
}

async fn serve(mut socket: WebSocket, tail: Tail) {
    let served = match tail.start().await {
        Ok(reader) => send_all(&mut socket, reader).await,
        Err(err) => Err(End::Failed(err.into_text())),
    };
    if let Err(End::Failed(why)) = served {
        tracing::warn!(error = why, "a tail ends early");
        let reason = shortened(&why, CLOSE_REASON_BYTES_MAX).into();
        let farewell = Message::Close(Some(CloseFrame { code: close_code::ERROR, reason }));
        // The client may be gone as well.
        socket.send(farewell).await.unwrap_or_default();
    }
}

/// Why a tail ends.
enum End {
    /// The client is gone, or the server stops: then nothing is said, since clients come back only
    /// after an end without a farewell.
    Silent,
    Failed(String),
}

async fn send_all(socket: &mut WebSocket, mut reader: Reader) -> Result<(), End> {
    let mut heartbeat = tokio::time::interval(HEARTBEAT);
    heartbeat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut stop = reader.stop.clone();
    loop {
        let message = tokio::select! {
            next = reader.next() => match next {
                None => return Err(End::Silent),
                Some(Next::Failed(why)) => return Err(End::Failed(why)),
                Some(Next::Frame(frame)) => Message::Text(written(frame).into()),
            },
            _ = heartbeat.tick() => Message::Ping(Default::default()),
            heard = socket.recv() => match heard {
                None | Some(Err(_) | Ok(Message::Close(_))) => return Err(End::Silent),
                Some(Ok(_)) => continue,
            },
        };
        tokio::select! {
            sent = socket.send(message) => sent.map_err(|_| End::Silent)?,
            _ = stop.wait_for(|stop| *stop) => return Err(End::Silent),
        }
    }
}

/// One message of Loki's tail protocol.
#[derive(Serialize)]
struct TailFrame<'e> {
    streams: Vec<Group<'e>>,
    dropped_entries: Vec<DroppedEntry>,
}

#[derive(Serialize)]
struct DroppedEntry {
    labels: BTreeMap<String, String>,
    timestamp: String,
}

fn written(mut frame: Frame) -> String {
    if frame.gap.has_unnamed() {
        frame.entries.insert(0, marker(&frame.gap));
    }
    let dropped = frame.gap.named.iter().map(|(labels, time)| DroppedEntry {
        labels: labels
            .iter()
            .map(|(name, value)| (name.to_owned(), String::from_utf8_lossy(value).into_owned()))
            .collect(),
        timestamp: format!("{time:0TIME_DIGITS$}"),
    });
    let shape = Shape { categorize: false, time_digits: TIME_DIGITS };
    let message =
        TailFrame { dropped_entries: dropped.collect(), streams: groups(&frame.entries, shape) };
    serde_json::to_string(&message).expect("text and numbers can be written as JSON into memory")
}

/// An entry of our own where more lines were left out than are told one by one: Grafana shows none
/// of those.
fn marker(gap: &Gap) -> Entry {
    let lines = gap.lines;
    let text = format!("{lines} lines were skipped here: the reader is too slow, narrow the query");
    let labels = Labels::from_pairs([("sawlog", "skipped")]).expect("a short label is a label");
    let (stream, time) = (StreamId(0), gap.last_time);
    Entry {
        order: Order { time, stream, arrival: 0, line: 0 },
        uid: Uid { stream, generation: GenerationId(0), offset: 0 },
        time,
        read_time: time,
        labels: Arc::new(labels),
        metadata: Vec::new(),
        line: text.into(),
        flags: LineFlags::default(),
    }
}

/// The beginning of a text, at most so many bytes, cut between characters.
fn shortened(text: &str, bytes_max: usize) -> &str {
    let ends = (0..=bytes_max.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..ends.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_of_the_same_host_may_read() {
        let allowed = |origin: Option<&str>, host: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, origin.parse().unwrap());
            }
            check_origin(&headers).is_ok()
        };
        assert!(allowed(None, "logs.example"));
        assert!(allowed(Some("https://logs.example"), "Logs.example"));
        assert!(allowed(Some("http://127.0.0.1:7411"), "127.0.0.1:7411"));
        for stranger in ["https://evil.example", "http://logs.example:81", "null", "", "logs/x"] {
            assert!(!allowed(Some(stranger), "logs.example"), "{stranger}");
        }
    }

    #[test]
    fn a_reason_is_cut_between_characters() {
        assert_eq!(shortened("short", 123), "short");
        assert_eq!(shortened("aé", 2), "a");
        assert_eq!(shortened("é", 1), "");
    }
}
