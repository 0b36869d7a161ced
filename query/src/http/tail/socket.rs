//! `GET /loki/api/v1/tail`: live tail over a WebSocket, as Loki's clients know it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use sawlog_transport::{GenerationId, Labels, LineFlags, StreamId};
use serde::Serialize;
use tokio::time::Instant;

use super::outbox::{Frame, Gap, Next};
use super::{Asked, HEARTBEAT, Reader, Tail};
use crate::engine::Entry;
use crate::engine::entry::{Order, Uid};
use crate::http::answer::{Group, Shape, groups};
use crate::http::error::HttpError;
use crate::http::loki::apart;
use crate::http::origin::check_origin;
use crate::http::params::Params;
use crate::http::{Api, READER_SILENCE_MAX};
use crate::lang::{Expr, ParseOptions, parse};

/// What a client may send: it has nothing to say but pongs and its farewell. Bytes.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// Loki's bound of `delay_for`, in seconds.
const DELAY_MAX: u64 = 5;
/// The longest reason in a close frame: what the protocol has room for, in bytes.
const CLOSE_REASON_BYTES_MAX: usize = 123;
/// How long a client may take for our farewell.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(5);
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

async fn serve(mut socket: WebSocket, tail: Tail) {
    let served = match started(&mut socket, tail).await {
        Ok(reader) => send_all(&mut socket, reader, READER_SILENCE_MAX).await,
        Err(end) => Err(end),
    };
    if let Err(end) = served {
        take_leave(&mut socket, end).await;
    }
}

/// Waits for the older lines, unless the client or the server ends the tail before.
async fn started(socket: &mut WebSocket, tail: Tail) -> Result<Reader, End> {
    let mut stop = tail.stop();
    let mut start = std::pin::pin!(tail.start());
    loop {
        tokio::select! {
            reader = &mut start => return reader.map_err(|err| End::Failed(err.into_text())),
            _ = stop.wait_for(|stop| *stop) => return Err(End::Silent),
            heard = socket.recv() => understood(heard)?,
        }
    }
}

/// A client has nothing to say but pongs and its farewell.
fn understood(heard: Option<Result<Message, axum::Error>>) -> Result<(), End> {
    match heard {
        None | Some(Err(_)) => Err(End::Silent),
        Some(Ok(Message::Close(_))) => Err(End::Farewell),
        Some(Ok(_)) => Ok(()),
    }
}

async fn take_leave(socket: &mut WebSocket, end: End) {
    let leaving = async {
        match end {
            End::Silent => {}
            // The reply is made by itself, and sent by reading on.
            End::Farewell => while let Some(Ok(_)) = socket.recv().await {},
            End::Failed(why) => {
                tracing::warn!(error = why, "a tail ends early");
                let reason = shortened(&why, CLOSE_REASON_BYTES_MAX).into();
                let farewell = Message::Close(Some(CloseFrame { code: close_code::ERROR, reason }));
                // The client may be gone as well.
                socket.send(farewell).await.unwrap_or_default();
            }
        }
    };
    // It goes without one where the client does not take it.
    tokio::time::timeout(FAREWELL_TIMEOUT, leaving).await.unwrap_or_default();
}

/// Why a tail ends.
enum End {
    /// The client is gone, or the server stops: then nothing is said, since clients come back only
    /// after an end without a farewell.
    Silent,
    /// The client has said so and waits for the reply.
    Farewell,
    Failed(String),
}

/// Sends what the reader gives, until the client says nothing, or takes nothing, for `silence_max`:
/// it answers a ping each second.
async fn send_all(
    socket: &mut WebSocket,
    mut reader: Reader,
    silence_max: Duration,
) -> Result<(), End> {
    let mut heard_until = Instant::now() + silence_max;
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
            heard = socket.recv() => {
                understood(heard)?;
                heard_until = Instant::now() + silence_max;
                continue;
            }
            () = tokio::time::sleep_until(heard_until) => return Err(End::Silent),
        };
        let sending = tokio::time::timeout(silence_max, socket.send(message));
        tokio::select! {
            sent = sending => sent.map_err(|_| End::Silent)?.map_err(|_| End::Silent)?,
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

    /// What a client receives, to the end, that asks for a tail, sends `bytes` and nothing else.
    async fn told(bytes: &[u8], silence_max: Duration) -> Vec<u8> {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let stop = tokio::sync::watch::Sender::new(false);
        let tail = move |upgrade: WebSocketUpgrade| {
            let dropped = prometheus::IntCounter::new("dropped", "Left out.").unwrap();
            let outbox = Arc::new(super::super::Outbox::new(dropped, READER_SILENCE_MAX));
            let reader = Reader { outbox, stop: stop.subscribe() };
            std::future::ready(upgrade.on_upgrade(move |mut socket| async move {
                let end = send_all(&mut socket, reader, silence_max).await.unwrap_err();
                take_leave(&mut socket, end).await;
            }))
        };
        let routes = axum::Router::new().route("/", axum::routing::get(tail));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let server = tokio::spawn(axum::serve(listener, routes).into_future());
        let mut client = tokio::net::TcpStream::connect(addr).await.unwrap();
        let request = "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                       Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
        client.write_all(&[request.as_bytes(), bytes].concat()).await.unwrap();
        let mut told = Vec::new();
        let reading = client.read_to_end(&mut told);
        tokio::time::timeout(Duration::from_secs(60), reading).await.expect("an end").unwrap();
        server.abort();
        told
    }

    #[tokio::test]
    async fn a_client_that_says_nothing_is_given_up() {
        let told = told(b"", Duration::from_millis(1500)).await;
        // Two pings, none of them answered, and no farewell: it may come back.
        assert!(told.ends_with(&[0x89, 0, 0x89, 0]), "{}", told.escape_ascii());
    }

    #[tokio::test]
    async fn a_farewell_is_answered() {
        // A close frame with code 1000, masked with zeros.
        let told = told(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8], READER_SILENCE_MAX).await;
        assert!(told.ends_with(&[0x88, 2, 0x03, 0xe8]), "{}", told.escape_ascii());
    }

    #[test]
    fn a_reason_is_cut_between_characters() {
        assert_eq!(shortened("short", 123), "short");
        assert_eq!(shortened("aé", 2), "a");
        assert_eq!(shortened("é", 1), "");
    }
}
