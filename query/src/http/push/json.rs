//! Pushes in Loki's JSON: `{"streams": [{"stream": {labels}, "values": [entry, …]}, …]}`. What the
//! body is made of is counted while it is read.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;

use sawlog_transport::Labels;
use sawlog_transport::lines::encode_metadata;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{Counts, too_many};
use crate::http::error::HttpError;
use crate::push::{PushedEntry, PushedStream};

/// The streams of a body.
pub(super) fn decode(body: &[u8]) -> Result<Vec<PushedStream>, HttpError> {
    let counted = Counted::default();
    let mut reader = serde_json::Deserializer::from_slice(body);
    let read = Request(&counted).deserialize(&mut reader).and_then(|streams| {
        reader.end()?;
        Ok(streams)
    });
    let streams = read.map_err(|err| match too_many(counted.0.get()) {
        Err(refused) => refused,
        Ok(()) => HttpError::bad_request(format!("the body is no push request: {err}")),
    })?;
    streams.into_iter().map(Stream::into_pushed).collect()
}

/// What was read so far.
#[derive(Default)]
struct Counted(Cell<Counts>);

impl Counted {
    /// Counts one more stream, entry or pair.
    fn add<E: Error>(&self, streams: usize) -> Result<(), E> {
        let Counts { streams: before, messages } = self.0.get();
        let counts = Counts { streams: before + streams, messages: messages + 1 };
        self.0.set(counts);
        too_many(counts).map_err(|_| E::custom("it is too large"))
    }
}

type Pairs = Vec<(String, String)>;

struct Stream {
    labels: Pairs,
    entries: Vec<PushedEntry>,
}

impl Stream {
    fn into_pushed(self) -> Result<PushedStream, HttpError> {
        let labels = Labels::from_pairs(self.labels)
            .map_err(|err| HttpError::bad_request(format!("a stream's labels: {err}")))?;
        if labels.is_empty() {
            return Err(HttpError::bad_request("a stream has no label: it needs at least one"));
        }
        Ok(PushedStream { labels, entries: self.entries })
    }
}

/// Gives a seed its method by that of its visitor.
macro_rules! seed {
    ($seed:ident, $method:ident, $value:ty) => {
        impl<'de> DeserializeSeed<'de> for $seed<'_> {
            type Value = $value;

            fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<$value, D::Error> {
                reader.$method(self)
            }
        }
    };
}

/// The whole body.
#[derive(Clone, Copy)]
struct Request<'c>(&'c Counted);
seed!(Request, deserialize_map, Vec<Stream>);

impl<'de> Visitor<'de> for Request<'_> {
    type Value = Vec<Stream>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with the member \"streams\"")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut streams = None;
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "streams" if streams.is_some() => return Err(Error::duplicate_field("streams")),
                "streams" => streams = Some(map.next_value_seed(List(OneStream(self.0)))?),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        streams.ok_or_else(|| Error::missing_field("streams"))
    }
}

/// A list of what the inner seed reads.
struct List<S>(S);

impl<'de, S: DeserializeSeed<'de> + Copy> DeserializeSeed<'de> for List<S> {
    type Value = Vec<S::Value>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_seq(self)
    }
}

impl<'de, S: DeserializeSeed<'de> + Copy> Visitor<'de> for List<S> {
    type Value = Vec<S::Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while let Some(one) = seq.next_element_seed(self.0)? {
            list.push(one);
        }
        Ok(list)
    }
}

#[derive(Clone, Copy)]
struct OneStream<'c>(&'c Counted);
seed!(OneStream, deserialize_map, Stream);

impl<'de> Visitor<'de> for OneStream<'_> {
    type Value = Stream;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with the members \"stream\" and \"values\"")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Stream, A::Error> {
        self.0.add(1)?;
        let (mut labels, mut entries) = (None, None);
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "stream" if labels.is_some() => return Err(Error::duplicate_field("stream")),
                "stream" => labels = Some(map.next_value_seed(PairsOf(self.0))?),
                "values" if entries.is_some() => return Err(Error::duplicate_field("values")),
                "values" => entries = Some(map.next_value_seed(List(Entry(self.0)))?),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Stream {
            labels: labels.ok_or_else(|| Error::missing_field("stream"))?,
            entries: entries.ok_or_else(|| Error::missing_field("values"))?,
        })
    }
}

/// Names and values, in their order.
#[derive(Clone, Copy)]
struct PairsOf<'c>(&'c Counted);
seed!(PairsOf, deserialize_map, Pairs);

impl<'de> Visitor<'de> for PairsOf<'_> {
    type Value = Pairs;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of names and values, all of them text")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            self.0.add(0)?;
            pairs.push(pair);
        }
        Ok(pairs)
    }
}

/// `["<nanoseconds>", "line"]` or `["<nanoseconds>", "line", {"name": "value"}]`.
#[derive(Clone, Copy)]
struct Entry<'c>(&'c Counted);
seed!(Entry, deserialize_seq, PushedEntry);

impl<'de> Visitor<'de> for Entry<'_> {
    type Value = PushedEntry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an entry: [\"<nanoseconds as text>\", \"line\", {optional metadata}]")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<PushedEntry, A::Error> {
        self.0.add(0)?;
        let missing = |n: usize| A::Error::invalid_length(n, &self);
        let time: String = seq.next_element()?.ok_or_else(|| missing(0))?;
        let time = time.parse().map_err(|_| {
            A::Error::custom(format!("'{time}' is no time: write nanoseconds since 1970 as text"))
        })?;
        let line: String = seq.next_element()?.ok_or_else(|| missing(1))?;
        let metadata = seq.next_element_seed(PairsOf(self.0))?.unwrap_or_default();
        if seq.next_element::<IgnoredAny>()?.is_some() {
            return Err(missing(4));
        }
        let metadata: BTreeMap<String, String> = metadata.into_iter().collect();
        let metadata =
            encode_metadata(metadata.iter().map(|(name, value)| (name.as_str(), value.as_bytes())));
        Ok(PushedEntry { time, line: line.into_bytes(), metadata })
    }
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;

    use super::super::{MESSAGES_MAX, STREAMS_MAX};
    use super::*;

    /// Status and text of the refusal.
    async fn refusal(body: &str) -> (u16, String) {
        let response = decode(body.as_bytes()).expect_err("it is refused").into_response();
        let status = response.status().as_u16();
        let text = axum::body::to_bytes(response.into_body(), 4096).await.unwrap();
        (status, String::from_utf8(text.to_vec()).unwrap())
    }

    fn streams(stream: &str, times: usize) -> String {
        format!("{{\"streams\":[{}]}}", vec![stream; times].join(","))
    }

    #[test]
    fn what_is_not_ours_is_passed_over() {
        let body = r#"{"x":[{}],"streams":[{"values":[["5","a",{"z":"1","b":"2","z":"3"}],["6",
            ""]],"y":1,"stream":{"b":"2","a":"1"}}]}"#;
        let streams = decode(body.as_bytes()).unwrap();
        let metadata = encode_metadata([("b", &b"2"[..]), ("z", &b"3"[..])]);
        let entries = [
            PushedEntry { time: 5, line: b"a".to_vec(), metadata },
            PushedEntry { time: 6, line: Vec::new(), metadata: Vec::new() },
        ];
        assert_eq!(streams[0].entries, entries);
        assert_eq!(streams[0].labels, Labels::from_pairs([("a", "1"), ("b", "2")]).unwrap());
    }

    #[tokio::test]
    async fn what_is_no_request_is_refused() {
        let cases = [
            ("[]", "streams"),
            ("{}", "streams"),
            (r#"{"streams":[],"streams":[]}"#, "duplicate"),
            (r#"{"streams":[{"stream":{"a":"b"}}]}"#, "values"),
            (r#"{"streams":[{"values":[]}]}"#, "stream"),
            (r#"{"streams":[{"stream":{"a":1},"values":[]}]}"#, "string"),
            (r#"{"streams":[{"stream":{"a":"1","a":"2"},"values":[]}]}"#, "'a' occurs twice"),
            (r#"{"streams":[{"stream":{"a":"b"},"values":[["1","x",{},0]]}]}"#, "entry"),
            (r#"{"streams":[]} x"#, "trailing"),
        ];
        for (body, names) in cases {
            let (status, text) = refusal(body).await;
            assert!(status == 400 && text.contains(names), "{status} {text:?}: {names:?}");
        }
    }

    #[tokio::test]
    async fn streams_entries_and_pairs_are_counted_as_they_are_read() {
        let empty = r#"{"stream":{"a":"b"},"values":[]}"#;
        assert_eq!(decode(streams(empty, STREAMS_MAX).as_bytes()).unwrap().len(), STREAMS_MAX);
        let (status, text) = refusal(&streams(empty, STREAMS_MAX + 1)).await;
        assert!(status == 400 && text.contains("split the push"), "{status} {text}");

        // With the stream and its label, that is one too many of entries, labels or metadata.
        let many = |one: &str, n: usize| vec![one; n].join(",");
        let entries = many(r#"["1","x"]"#, MESSAGES_MAX - 1);
        let labels = many(r#""a":"""#, MESSAGES_MAX);
        let pairs = many(r#""a":"b""#, MESSAGES_MAX - 2);
        let bodies = [
            format!(r#"{{"stream":{{"a":"b"}},"values":[{entries}]}}"#),
            format!(r#"{{"stream":{{{labels}}},"values":[]}}"#),
            format!(r#"{{"stream":{{"a":"b"}},"values":[["1","x",{{{pairs}}}]]}}"#),
        ];
        for body in bodies {
            let (status, text) = refusal(&streams(&body, 1)).await;
            assert!(status == 413 && text.contains("1048577"), "{status} {text}");
        }
    }
}
