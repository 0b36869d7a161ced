//! Pushes: durable when answered, retries harmless, bad bodies refused with the reason.

use std::io::Write;

use crate::node::{Node, Setup};

const JSON: (&str, &str) = ("content-type", "application/json");
const PUSH: &str = "/loki/api/v1/push";

fn node(dir: &tempfile::TempDir) -> Node {
    Setup::new(&dir.path().join("data")).start().ready()
}

fn body(lines: &[(i64, &str)]) -> Vec<u8> {
    let values: Vec<_> =
        lines.iter().map(|(time, line)| serde_json::json!([time.to_string(), line])).collect();
    let body = serde_json::json!({"streams": [{"stream": {"app": "pushed"}, "values": values}]});
    serde_json::to_vec(&body).unwrap()
}

fn times(node: &Node) -> Vec<(String, String)> {
    let params = [
        ("query", r#"{app="pushed"}"#),
        ("start", "0"),
        ("end", "2000000000"),
        ("direction", "forward"),
        ("limit", "5000"),
    ];
    let (status, body) = node.get("/loki/api/v1/query_range", &params);
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    let answer: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let values = answer["data"]["result"][0]["values"].as_array().cloned().unwrap_or_default();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    values.iter().map(|value| (text(&value[0]), text(&value[1]))).collect()
}

#[test]
fn a_retry_adds_nothing_and_equal_times_get_a_nanosecond() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = node(&dir);
    let lines = [(1_000, "a"), (1_000, "b"), (1_000, "a"), (900, "old"), (1_001, "c")];
    let expected: Vec<(String, String)> = [(900, "old"), (1_000, "a"), (1_001, "b"), (1_002, "c")]
        .map(|(time, line)| (time.to_string(), line.to_owned()))
        .to_vec();
    for _ in 0..3 {
        assert_eq!(first.post(PUSH, &[JSON], &body(&lines)), (204, String::new()));
        assert_eq!(times(&first), expected);
    }
    assert_eq!(first.metric("sawlog_push_retries_total"), 1.0 + 5.0 + 5.0);
    // What was answered with 204 survives kill -9, and a retry after it adds nothing.
    first.kill();
    let second = node(&dir);
    assert_eq!(second.post(PUSH, &[JSON], &body(&lines)), (204, String::new()));
    assert_eq!(times(&second), expected);
}

#[test]
fn gzip_and_metadata_are_taken() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(&dir);
    let json =
        br#"{"streams":[{"stream":{"app":"pushed"},"values":[["5","line",{"trace_id":"0af7"}]]}]}"#;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(json).unwrap();
    let headers = [JSON, ("content-encoding", "gzip")];
    assert_eq!(node.post(PUSH, &headers, &gzip.finish().unwrap()), (204, String::new()));
    assert_eq!(node.count(r#"{app="pushed"} | trace_id="0af7""#), 1);
    assert_eq!(node.count(r#"{app="pushed"} | trace_id="other""#), 0);
    // A stream's own label wins over the detected level.
    let labelled = br#"{"streams":[{"stream":{"app":"lv","level":"error"},"values":[["5","x"]]}]}"#;
    assert_eq!(node.post(PUSH, &[JSON], labelled), (204, String::new()));
    let params = [("query", "level:error"), ("start", "0"), ("end", "9"), ("format", "raw")];
    assert_eq!(node.get("/api/v1/search", &params), (200, b"x\n".to_vec()));
    // Forms work as the query string does.
    let form = br#"query={app="lv"} |= "x"&start=0&end=9"#;
    let form_type = ("content-type", "application/x-www-form-urlencoded");
    let (status, text) = node.post("/loki/api/v1/query_range", &[form_type], form);
    assert!(status == 200 && text.contains("\"x\""), "{status} {text}");
    // Nothing is added to pushed streams: no level, no service name.
    let params = [("query", r#"{app="pushed"}"#), ("start", "0"), ("end", "9")];
    let (_, body) = node.get("/loki/api/v1/query_range", &params);
    let answer: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let stream = &answer["data"]["result"][0]["stream"];
    assert_eq!(stream, &serde_json::json!({"app": "pushed", "trace_id": "0af7"}));
}

#[test]
#[allow(clippy::too_many_lines, reason = "a table of cases")]
fn a_wrong_body_is_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(&dir);
    let long = format!(
        r#"{{"streams":[{{"stream":{{"app":"a"}},"values":[["1","{}"]]}}]}}"#,
        "x".repeat(300 * 1024)
    );
    let cases: [(&str, &[u8], u16, &str); 10] = [
        ("application/json", b"{", 400, "line 1"),
        (
            "application/json",
            br#"{"streams":[{"stream":{"a":"b"},"values":[[1,"x"]]}]}"#,
            400,
            "string",
        ),
        (
            "application/json",
            br#"{"streams":[{"stream":{"a":"b"},"values":[["yesterday","x"]]}]}"#,
            400,
            "yesterday",
        ),
        (
            "application/json",
            br#"{"streams":[{"stream":{"a-b":"c"},"values":[["1","x"]]}]}"#,
            400,
            "a-b",
        ),
        ("application/json", br#"{"streams":[{"stream":{},"values":[["1","x"]]}]}"#, 400, "label"),
        (
            "application/json",
            br#"{"streams":[{"stream":{"a":"b"},"values":[["1"]]}]}"#,
            400,
            "entry",
        ),
        (
            "application/json",
            br#"{"streams":[{"stream":{"a":"b"},"values":[["9223372036854775806","x"]]}]}"#,
            400,
            "9223372036854775806",
        ),
        ("application/x-protobuf", b"\x01", 400, "snappy"),
        ("application/json", long.as_bytes(), 400, "307200"),
        ("text/plain", br#"{"streams":[]}"#, 415, "application/json"),
    ];
    for (kind, body, status, names) in cases {
        let (found, text) = node.post(PUSH, &[("content-type", kind)], body);
        assert_eq!(found, status, "{text}");
        assert!(text.contains(names), "{text:?} does not name {names:?}");
    }
    let headers = [JSON, ("content-encoding", "gzip")];
    let (status, text) = node.post(PUSH, &headers, b"no gzip");
    assert_eq!(status, 400);
    assert!(text.contains("gzip"), "{text}");
    // A page of another site may not write here, nor read.
    let headers_of_page = [JSON, ("origin", "http://evil.example")];
    let (status, text) = node.post(PUSH, &headers_of_page, &body(&[(1, "x")]));
    assert!(status == 403 && text.contains("evil.example"), "{status} {text}");
    // A bomb inflates to more than the limit and is stopped there.
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    bomb.write_all(&vec![b' '; 40 << 20]).unwrap();
    let (status, text) = node.post(PUSH, &headers, &bomb.finish().unwrap());
    assert_eq!(status, 413, "{text}");
    assert_eq!(node.count("{app=~\".+\"}"), 0, "nothing of a refused request is stored");
    crate::node::eventually("ready", || node.get("/ready", &[]).0, |status| *status == 200);
}

/// `logproto.PushRequest` as agents write it, apart from the server's own messages.
mod wire {
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Request {
        #[prost(message, repeated, tag = "1")]
        pub(super) streams: Vec<Stream>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Stream {
        #[prost(string, tag = "1")]
        pub(super) labels: String,
        #[prost(message, repeated, tag = "2")]
        pub(super) entries: Vec<Entry>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Entry {
        #[prost(message, optional, tag = "1")]
        pub(super) timestamp: Option<Timestamp>,
        #[prost(string, tag = "2")]
        pub(super) line: String,
        #[prost(message, repeated, tag = "3")]
        pub(super) structured_metadata: Vec<Pair>,
    }

    #[derive(Clone, Copy, PartialEq, prost::Message)]
    pub(super) struct Timestamp {
        #[prost(int64, tag = "1")]
        pub(super) seconds: i64,
        #[prost(int32, tag = "2")]
        pub(super) nanos: i32,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Pair {
        #[prost(string, tag = "1")]
        pub(super) name: String,
        #[prost(string, tag = "2")]
        pub(super) value: String,
    }
}

fn protobuf(labels: &str, lines: &[(i64, &str)]) -> Vec<u8> {
    let entry = |(time, line): &(i64, &str)| wire::Entry {
        timestamp: Some(wire::Timestamp {
            seconds: time / 1_000_000_000,
            nanos: (time % 1_000_000_000) as i32,
        }),
        line: (*line).to_owned(),
        structured_metadata: vec![wire::Pair { name: "trace_id".into(), value: "0af7".into() }],
    };
    let entries = lines.iter().map(entry).collect();
    let request = wire::Request { streams: vec![wire::Stream { labels: labels.into(), entries }] };
    let message = prost::Message::encode_to_vec(&request);
    snap::raw::Encoder::new().compress_vec(&message).unwrap()
}

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");

/// As JSON: durable when answered, and a retry adds nothing, also after kill -9.
#[test]
fn protobuf_pushes_are_pushes() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = node(&dir);
    let lines = [(1_000_000_000_005, "a"), (1_000_000_000_005, "b"), (7, "old")];
    let body = protobuf(r#"{app="pushed", host="h \"1\""}"#, &lines);
    let expected: Vec<(String, String)> =
        [(7, "old"), (1_000_000_000_005, "a"), (1_000_000_000_006i64, "b")]
            .map(|(time, line)| (time.to_string(), line.to_owned()))
            .to_vec();
    for _ in 0..2 {
        assert_eq!(first.post(PUSH, &[PROTOBUF], &body), (204, String::new()));
        assert_eq!(times(&first), expected);
    }
    assert_eq!(first.metric("sawlog_push_retries_total"), 3.0);
    let query = r#"{app="pushed", host="h \"1\""} | trace_id="0af7""#;
    assert_eq!(first.count(query), 3);
    first.kill();
    let second = node(&dir);
    let headers = [PROTOBUF, ("content-encoding", "snappy")];
    assert_eq!(second.post(PUSH, &headers, &body), (204, String::new()));
    assert_eq!(times(&second), expected);
    // The same entries as JSON are the same entries.
    let values: Vec<_> = lines
        .iter()
        .map(|(time, line)| serde_json::json!([time.to_string(), line, {"trace_id": "0af7"}]))
        .collect();
    let stream = serde_json::json!({"app": "pushed", "host": "h \"1\""});
    let json = serde_json::json!({"streams": [{"stream": stream, "values": values}]});
    let json = serde_json::to_vec(&json).unwrap();
    assert_eq!(second.post(PUSH, &[JSON], &json), (204, String::new()));
    assert_eq!(times(&second), expected);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&body).unwrap();
    let headers = [PROTOBUF, ("content-encoding", "gzip")];
    assert_eq!(second.post(PUSH, &headers, &gzip.finish().unwrap()), (204, String::new()));
    assert_eq!(times(&second), expected);
}

#[test]
fn a_wrong_protobuf_body_is_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(&dir);
    let long = "x".repeat(300 * 1024);
    // 40 MiB of zeros in a block of some KiB: refused by its size before it is inflated.
    let bomb = snap::raw::Encoder::new().compress_vec(&vec![0; 40 << 20]).unwrap();
    let cases = [
        (protobuf("{app=pushed}", &[(1, "x")]), 400, "stream 0: parse error at line 1, col 6"),
        (protobuf("{}", &[(1, "x")]), 400, "label"),
        (protobuf(r#"{app="pushed"}"#, &[(1, &long)]), 400, "307200"),
        (body(&[(1, "x")]), 400, "snappy"),
        (bomb, 413, "41943040"),
    ];
    for (body, status, names) in cases {
        let (found, text) = node.post(PUSH, &[PROTOBUF], &body);
        assert_eq!(found, status, "{text}");
        assert!(text.contains(names), "{text:?} does not name {names:?}");
    }
    assert_eq!(node.count("{app=~\".+\"}"), 0, "nothing of a refused request is stored");
}
