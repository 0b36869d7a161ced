//! Pushes as Loki's own agents send them: `logproto.PushRequest`, compressed as one snappy block.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use prost::Message;
use prost::bytes::Buf;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use sawlog_transport::Labels;
use sawlog_transport::lines::encode_metadata;

use super::{Counts, too_many};
use crate::http::PUSH_BYTES_MAX;
use crate::http::error::HttpError;
use crate::lang::{MatchOp, Matcher, ParseOptions, parse_selector};
use crate::push::{PushedEntry, PushedStream};

const NANOS_PER_SECOND: i64 = 1_000_000_000;

#[derive(Clone, PartialEq, Message)]
struct PushRequest {
    #[prost(message, repeated, tag = "1")]
    streams: Vec<StreamAdapter>,
}

#[derive(Clone, PartialEq, Message)]
struct StreamAdapter {
    #[prost(string, tag = "1")]
    labels: String,
    #[prost(message, repeated, tag = "2")]
    entries: Vec<EntryAdapter>,
    /// Of the labels; we have our own.
    #[prost(uint64, tag = "3")]
    hash: u64,
}

#[derive(Clone, PartialEq, Message)]
struct EntryAdapter {
    #[prost(message, optional, tag = "1")]
    timestamp: Option<Timestamp>,
    /// A string by its schema, but agents send what the application wrote: any bytes.
    #[prost(bytes = "vec", tag = "2")]
    line: Vec<u8>,
    #[prost(message, repeated, tag = "3")]
    structured_metadata: Vec<LabelPairAdapter>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Timestamp {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

#[derive(Clone, PartialEq, Message)]
struct LabelPairAdapter {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// The streams of a body.
pub(super) fn decode(body: &[u8]) -> Result<Vec<PushedStream>, HttpError> {
    let message = inflate(body)?;
    let refused = |err: prost::DecodeError| {
        HttpError::bad_request(format!("the body is no logproto.PushRequest: {err}"))
    };
    let messages = count_messages(&message, &[1, 2, 3]).map_err(refused)?;
    let streams = count_messages(&message, &[1]).map_err(refused)?;
    too_many(Counts { streams, messages })?;
    let request = PushRequest::decode(message.as_slice()).map_err(refused)?;
    drop(message);
    request.streams.into_iter().enumerate().map(|(n, stream)| stream.into_pushed(n)).collect()
}

/// A block says first how large it will be.
fn inflate(body: &[u8]) -> Result<Vec<u8>, HttpError> {
    let refused =
        |err| HttpError::bad_request(format!("the body is no block of snappy's raw format: {err}"));
    let len = snap::raw::decompress_len(body).map_err(refused)?;
    if len > PUSH_BYTES_MAX {
        let text = format!(
            "the body inflates to {len} bytes, at most {PUSH_BYTES_MAX} are allowed: send less at \
             once"
        );
        return Err(HttpError::new(StatusCode::PAYLOAD_TOO_LARGE, text));
    }
    snap::raw::Decoder::new().decompress_vec(body).map_err(refused)
}

/// How many messages are nested in this one along the path of field numbers: those of its first
/// field, and in each of them those of the rest.
fn count_messages(mut rest: &[u8], path: &[u32]) -> Result<usize, prost::DecodeError> {
    let Some((field, path)) = path.split_first() else { return Ok(0) };
    let mut count = 0;
    while rest.has_remaining() {
        let (tag, kind) = decode_key(&mut rest)?;
        if tag != *field || kind != WireType::LengthDelimited {
            skip_field(kind, tag, &mut rest, DecodeContext::default())?;
            continue;
        }
        let len = usize::try_from(decode_varint(&mut rest)?).unwrap_or(usize::MAX);
        // What is too short is refused when it is decoded.
        let (inner, after) = rest.split_at(len.min(rest.len()));
        count += 1 + count_messages(inner, path)?;
        rest = after;
    }
    Ok(count)
}

impl StreamAdapter {
    fn into_pushed(self, number: usize) -> Result<PushedStream, HttpError> {
        let labels = labels_of(&self.labels)
            .map_err(|text| HttpError::bad_request(format!("labels of stream {number}: {text}")))?;
        let entry = |(n, entry): (usize, EntryAdapter)| {
            entry.into_pushed().map_err(|text| {
                HttpError::bad_request(format!("entry {n} of stream {number}, {labels}: {text}"))
            })
        };
        let entries = self.entries.into_iter().enumerate().map(entry);
        Ok(PushedStream { entries: entries.collect::<Result<_, _>>()?, labels: labels.clone() })
    }
}

/// Labels in the form of a selector, `{a="b", c="d"}`.
fn labels_of(text: &str) -> Result<Labels, String> {
    let matchers = parse_selector(text, ParseOptions { allow_empty_selector: true })
        .map_err(|err| err.to_string())?;
    if let Some(Matcher { name, .. }) = matchers.iter().find(|one| one.op != MatchOp::Eq) {
        return Err(format!("label '{name}' needs a value: write {name}=\"value\" in {text}"));
    }
    let pairs = matchers.into_iter().map(|matcher| (matcher.name, matcher.value));
    let labels = Labels::from_pairs(pairs).map_err(|err| err.to_string())?;
    if labels.is_empty() {
        return Err("a stream needs at least one label with a value".to_owned());
    }
    Ok(labels)
}

impl EntryAdapter {
    fn into_pushed(self) -> Result<PushedEntry, String> {
        let time = self.timestamp.ok_or("it has no timestamp")?.nanoseconds()?;
        let pairs = self.structured_metadata.into_iter().map(|pair| (pair.name, pair.value));
        let metadata: BTreeMap<String, Vec<u8>> = pairs.collect();
        let metadata =
            encode_metadata(metadata.iter().map(|(name, value)| (name.as_str(), value.as_slice())));
        Ok(PushedEntry { time, line: self.line, metadata })
    }
}

impl Timestamp {
    /// Nanoseconds since the epoch.
    fn nanoseconds(self) -> Result<i64, String> {
        let nanos = i64::from(self.nanos);
        let time = if (0..NANOS_PER_SECOND).contains(&nanos) {
            self.seconds.checked_mul(NANOS_PER_SECOND).and_then(|time| time.checked_add(nanos))
        } else {
            None
        };
        time.ok_or_else(|| {
            let Self { seconds, nanos } = self;
            format!(
                "{seconds} seconds and {nanos} nanoseconds are no time of the years 1677 to 2262"
            )
        })
    }
}

#[cfg(test)]
mod tests;
