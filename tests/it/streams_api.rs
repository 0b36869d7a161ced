//! What is asked about streams, not lines: labels of a selector, series, statistics, build information.

use serde_json::{Value, json};

use crate::node::{Node, Setup};

const SECOND: i64 = 1_000_000_000;

/// Three streams with ten lines of ten bytes each, one a second: from second 100, 200 and 300 on.
fn node(dir: &tempfile::TempDir) -> Node {
    let node = Setup::new(&dir.path().join("data")).start().ready();
    let stream = |labels: Value, from: i64| {
        let values: Vec<Value> = (0..10)
            .map(|n| json!([((from + n) * SECOND).to_string(), format!("line {from} {n}")]))
            .collect();
        json!({"stream": labels, "values": values})
    };
    let streams = [
        stream(json!({"app": "web", "host": "a"}), 100),
        stream(json!({"app": "web", "host": "b"}), 200),
        stream(json!({"app": "batch", "zone": "eu \"1\""}), 300),
    ];
    let body = serde_json::to_vec(&json!({"streams": streams})).unwrap();
    let headers = [("content-type", "application/json")];
    assert_eq!(node.post("/loki/api/v1/push", &headers, &body), (204, String::new()));
    node
}

#[track_caller]
fn ask(node: &Node, path: &str, params: &[(&str, &str)]) -> Value {
    let (status, body) = node.get(&format!("/loki/api/v1/{path}"), params);
    assert_eq!(status, 200, "{path} {params:?}: {}", String::from_utf8_lossy(&body));
    serde_json::from_slice(&body).unwrap()
}

/// The streams with lines from second 0 to 1000, unless the parameters say otherwise.
#[track_caller]
fn data(node: &Node, path: &str, params: &[(&str, &str)]) -> Value {
    let all = [params, &[("start", "0"), ("end", "1000")]].concat();
    let answer = ask(node, path, &all);
    assert_eq!(answer["status"], "success");
    answer["data"].clone()
}

#[test]
fn series_are_chosen_by_any_selector_and_the_time() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(&dir);
    let a = json!({"app": "web", "host": "a"});
    let b = json!({"app": "web", "host": "b"});
    let batch = json!({"app": "batch", "zone": "eu \"1\""});
    let all = json!([batch, a, b]);
    let cases: [(&[(&str, &str)], &Value); 8] = [
        (&[], &all),
        (&[("match[]", "{}")], &all),
        (&[("match[]", r#"{app="web"}"#)], &json!([a, b])),
        (&[("match", r#"{host!=""}"#)], &json!([a, b])),
        (&[("match[]", r#"{host="a"}"#), ("match[]", r#"{zone=~"eu.*"}"#)], &json!([batch, a])),
        (&[("match[]", r#"{host="a"}"#), ("match", r#"{host="b"}"#)], &json!([a, b])),
        (&[("match[]", r#"{app="nobody"}"#)], &json!([])),
        (&[("start", "205"), ("end", "300")], &json!([b])),
    ];
    for (params, expected) in cases {
        assert_eq!(&data(&node, "series", params), expected, "{params:?}");
    }
    let form_type = ("content-type", "application/x-www-form-urlencoded");
    let form = br#"match[]={host="a"}&match[]={host="b"}&start=0&end=1000"#;
    let (status, text) = node.post("/loki/api/v1/series", &[form_type], form);
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, &answer["data"]), (200, &json!([a, b])));
    let bad = [("match[]", r#"{app="web"} |= "x""#)];
    let (status, body) = node.get("/loki/api/v1/series", &bad);
    let text = String::from_utf8(body).unwrap();
    assert!(status == 400 && text.contains("col 13") && text.contains('^'), "{status} {text}");
    // What a request may cost is bounded, whatever it is made of.
    let refused = |selector: &str, times: usize, names: &str| {
        let many = vec![("match[]", selector); times];
        let (status, body) = node.get("/loki/api/v1/series", &many);
        let text = String::from_utf8(body).unwrap();
        assert!(status == 400 && text.contains(names), "{status} {text}");
    };
    refused("{}", 65, "at most 64");
    refused(r#"{app=~"a.*", host=~"b.*"}"#, 33, "regular expressions");
    assert_eq!(node.get("/loki/api/v1/series", &vec![("match[]", r#"{a=~"b"}"#); 64]).0, 200);
}

#[test]
fn labels_and_values_are_those_of_the_selector() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(&dir);
    assert_eq!(data(&node, "labels", &[]), json!(["app", "host", "zone"]));
    let web = [("query", r#"{app="web"}"#)];
    assert_eq!(data(&node, "labels", &web), json!(["app", "host"]));
    assert_eq!(data(&node, "label/host/values", &web), json!(["a", "b"]));
    assert_eq!(data(&node, "label/zone/values", &web), json!([]));
    assert_eq!(data(&node, "label/app/values", &[("start", "250")]), json!(["batch"]));
    assert_eq!(data(&node, "label/__stream_shard__/values", &[]), json!([]));
    let (status, body) = node.get("/loki/api/v1/labels", &[("query", "{app=web}")]);
    let text = String::from_utf8(body).unwrap();
    assert!(status == 400 && text.contains("col 6"), "{status} {text}");
}

#[test]
fn statistics_count_without_reading_lines() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(&dir);
    let stats = |query: &str, start: &str, end: &str| {
        ask(&node, "index/stats", &[("query", query), ("start", start), ("end", end)])
    };
    let expected = json!({"streams": 2, "chunks": 2, "bytes": 200, "entries": 20});
    assert_eq!(stats(r#"{app="web"}"#, "0", "1000"), expected);
    let expected = json!({"streams": 3, "chunks": 3, "bytes": 300, "entries": 30});
    assert_eq!(stats("{}", "0", "1000"), expected);
    // Five of the nine seconds from the first line to the last: in proportion, not counted.
    let expected = json!({"streams": 1, "chunks": 1, "bytes": 56, "entries": 6});
    assert_eq!(stats(r#"{app="web"}"#, "0", "105"), expected);
    let none = json!({"streams": 0, "chunks": 0, "bytes": 0, "entries": 0});
    assert_eq!(stats(r#"{app="nobody"}"#, "0", "1000"), none);
    assert_eq!(node.metric("sawlog_query_scanned_bytes_total"), 0.0);
}

#[test]
fn the_build_is_named_everywhere_alike() {
    let dir = tempfile::tempdir().unwrap();
    let node = Setup::new(&dir.path().join("data")).start();
    let info = ask(&node, "status/buildinfo", &[]);
    for key in ["version", "revision", "branch", "buildDate", "buildUser", "goVersion"] {
        assert!(info[key].is_string(), "{key} of {info}");
    }
    assert_eq!(info["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(node.metric("sawlog_build_info"), 1.0);
    let (_, metrics) = node.get("/metrics", &[]);
    let metrics = String::from_utf8(metrics).unwrap();
    let revision = info["revision"].as_str().unwrap();
    let line = metrics.lines().find(|line| line.starts_with("sawlog_build_info{")).unwrap();
    assert!(!revision.is_empty() && line.contains(&format!("revision=\"{revision}\"")), "{line}");
    let long = crate::node::run(&["--version"]);
    let long = String::from_utf8(long.stdout).unwrap();
    for part in [revision, info["buildDate"].as_str().unwrap(), "rustc ", "target:", "profile:"] {
        assert!(long.contains(part), "{long:?} does not name {part:?}");
    }
    let short = crate::node::run(&["-V"]);
    let expected = format!("sawlog {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(String::from_utf8(short.stdout).unwrap(), expected);
}
