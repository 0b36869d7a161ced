//! Tests of protobuf pushes: what comes out is what was put in, and any bytes are refused in peace.

use axum::response::IntoResponse;
use proptest::prelude::*;

use super::super::{MESSAGES_MAX, STREAMS_MAX};
use super::*;

fn snappy(message: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(message).unwrap()
}

fn entry(seconds: i64, nanos: i32, line: &[u8]) -> EntryAdapter {
    let timestamp = Some(Timestamp { seconds, nanos });
    EntryAdapter { timestamp, line: line.to_vec(), structured_metadata: Vec::new() }
}

fn request(labels: &str, entries: Vec<EntryAdapter>) -> Vec<u8> {
    let stream = StreamAdapter { labels: labels.to_owned(), entries, hash: 7 };
    PushRequest { streams: vec![stream] }.encode_to_vec()
}

/// Status and text of the refusal.
async fn refusal(body: Vec<u8>) -> (u16, String) {
    let response = decode(&body).expect_err("it is refused").into_response();
    let status = response.status().as_u16();
    let text = axum::body::to_bytes(response.into_body(), 4096).await.unwrap();
    (status, String::from_utf8(text.to_vec()).unwrap())
}

#[test]
fn labels_times_lines_and_metadata_come_through() {
    let mut first = entry(1_700_000_000, 5, b"bytes \xff");
    let pair = |name: &str, value: &[u8]| LabelPairAdapter {
        name: name.to_owned(),
        value: value.to_vec(),
    };
    first.structured_metadata = vec![pair("z", b"1"), pair("a", b"2")];
    let body = request(r#"{app="a \"quoted\" \\", stream="out"}"#, vec![first, entry(-1, 1, b"")]);
    let streams = decode(&snappy(&body)).unwrap();
    assert_eq!(streams.len(), 1);
    let labels = Labels::from_pairs([("app", r#"a "quoted" \"#), ("stream", "out")]).unwrap();
    assert_eq!(streams[0].labels, labels);
    let metadata = encode_metadata([("a", &b"2"[..]), ("z", &b"1"[..])]);
    let expected = [
        PushedEntry { time: 1_700_000_000_000_000_005, line: b"bytes \xff".to_vec(), metadata },
        PushedEntry { time: -999_999_999, line: Vec::new(), metadata: Vec::new() },
    ];
    assert_eq!(streams[0].entries, expected);
}

#[tokio::test]
async fn a_refusal_names_the_thing_and_the_place() {
    let good = || vec![entry(1, 0, b"x")];
    let no_time = EntryAdapter { timestamp: None, ..entry(0, 0, b"x") };
    let huge = {
        // A block that says that it inflates to 64 MiB: 2^26 as a varint.
        vec![0x80, 0x80, 0x80, 0x20, 0]
    };
    let cases = [
        (b"\xff\xff\xff\xff\xff\xff".to_vec(), 400, "snappy"),
        (huge, 413, "67108864"),
        (snappy(b"\x0a\xff"), 400, "logproto.PushRequest"),
        (snappy(&request("{app=}", good())), 400, "stream 0: parse error at line 1, col 6"),
        (snappy(&request(r#"{app=~"x"}"#, good())), 400, r#"app="value""#),
        (snappy(&request("{}", good())), 400, "at least one label"),
        (snappy(&request(r#"{a="1", a="2"}"#, good())), 400, "'a' occurs twice"),
        (snappy(&request(r#"{a="1"}"#, vec![no_time])), 400, "entry 0 of stream 0, {a=\"1\"}"),
        (snappy(&request(r#"{a="1"}"#, vec![entry(1, -1, b"")])), 400, "-1 nanoseconds"),
        (snappy(&request(r#"{a="1"}"#, vec![entry(i64::MAX, 0, b"")])), 400, "no time"),
        (snappy(&[0x0a, 0].repeat(MESSAGES_MAX + 1)), 413, "1048577 streams"),
        (snappy(&[0x0a, 0].repeat(STREAMS_MAX + 1)), 400, "split the push"),
    ];
    for (body, status, names) in cases {
        let (found, text) = refusal(body).await;
        assert_eq!(found, status, "{text}");
        assert!(text.contains(names), "{text:?} does not name {names:?}");
    }
}

#[test]
fn messages_are_counted_at_each_level() {
    let mut with_pairs = entry(1, 0, b"x");
    with_pairs.structured_metadata = vec![LabelPairAdapter::default(); 3];
    let body = request(r#"{a="1"}"#, vec![with_pairs, entry(2, 0, b"y")]);
    assert_eq!(count_messages(&body, &[1, 2, 3]).unwrap(), 1 + 2 + 3);
}

proptest! {
    /// Neither as a block nor as what a block holds.
    #[test]
    fn any_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        drop(decode(&bytes));
        drop(decode(&snappy(&bytes)));
    }

    /// A good request with a few bytes changed.
    #[test]
    fn damaged_requests_never_panic(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut first = entry(1_700_000_000, 5, b"some line");
        first.structured_metadata.push(LabelPairAdapter { name: "a".into(), value: b"b".to_vec() });
        let mut message = request(r#"{app="web", stream="out"}"#, vec![first]);
        let at = at.index(message.len());
        message[at] = byte;
        drop(decode(&snappy(&message)));
    }

    /// Whatever labels a stream may have, their text is read back.
    #[test]
    fn any_labels_come_through(value in proptest::collection::vec(any::<u8>(), 1..40)) {
        let matcher = Matcher { name: "app".into(), op: MatchOp::Eq, value: value.clone() };
        let labels = labels_of(&format!("{{{matcher}}}")).unwrap();
        prop_assert_eq!(labels.get("app"), Some(value.as_slice()));
    }
}
