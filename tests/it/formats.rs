//! Lines that container runtimes put into envelopes, and stack traces: what a person finds of them.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use crate::node::{Node, Setup, eventually};

const T: &str = "2026-08-20T10:00:00.000000001Z";

const JAVA: &str = "Exception in thread \"main\" java.lang.IllegalStateException: no pool\n\
    \tat com.example.Shop.open(Shop.java:42)\n\
    Caused by: java.net.ConnectException: refused\n\
    \tat com.example.Net.dial(Net.java:3)\n\
    \t... 12 more\n";
const PYTHON: &str = "Traceback (most recent call last):\n  File \"a.py\", line 1, in f\n    x()\n\
    KeyError: 'x'\n\n\
    During handling of the above exception, another exception occurred:\n\n\
    Traceback (most recent call last):\n  File \"a.py\", line 3, in g\nValueError: y\n";
const GO: &str = "panic: oh\n\ngoroutine 1 [running]:\nmain.main()\n\t/app/x.go:1 +0x1d\n";

fn append(path: &Path, bytes: impl AsRef<[u8]>) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    file.write_all(bytes.as_ref()).unwrap();
}

fn cri(tags: &str, text: &str) -> String {
    format!("{T} {tags} {text}\n")
}

fn docker(side: &str, log: &str) -> String {
    let log = serde_json::to_string(log).unwrap();
    format!("{{\"log\":{log},\"stream\":\"{side}\",\"time\":\"{T}\"}}\n")
}

/// The entries that a query finds, oldest first.
fn entries(node: &Node, query: &str) -> Vec<String> {
    let params = [("query", query), ("limit", "1000"), ("start", "0"), ("direction", "forward")];
    let (status, body) = node.get("/loki/api/v1/query_range", &params);
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    let answer: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let mut found: Vec<(String, String)> = Vec::new();
    for stream in answer["data"]["result"].as_array().unwrap() {
        for value in stream["values"].as_array().unwrap() {
            let text = |n: usize| value[n].as_str().unwrap().to_owned();
            found.push((text(0), text(1)));
        }
    }
    found.sort();
    found.into_iter().map(|(_, line)| line).collect()
}

#[test]
fn parts_are_joined_across_a_rotation_and_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let logs = dir.path().join("logs");
    let pod = logs.join("pods/shop_cart-7d4_1b2c/web/0.log");
    let container = logs.join("containers/4f2a/4f2a-json.log");
    append(&pod, cri("stdout F", "first") + &cri("stdout P", "one "));
    append(&container, docker("stderr", "two ") + &docker("stdout", "{\"level\":\"warn\"}\n"));
    let setup = Setup::new(&dir.path().join("data"))
        .arg("--path", logs.join("pods/*/*/*.log"))
        .arg("--path", logs.join("containers/*/*-json.log"));
    let mut node = setup.start().ready();
    eventually("the first line", || node.count(r#"{container="web"}"#), |count| *count == 1);
    append(&pod, cri("stdout P", "long ") + &cri("stderr F", "meanwhile"));
    node.kill();
    std::fs::rename(&pod, pod.with_extension("log.1")).unwrap();
    append(&pod, cri("stdout P", "password=hun") + &cri("stdout F", "ter2 line"));
    append(&container, docker("stderr", "parts\n"));
    let node = setup.start().ready();
    eventually("the pod", || node.count(r#"{container="web"}"#), |count| *count == 3);
    eventually("the container", || node.count(r#"{container="4f2a"}"#), |count| *count == 2);
    let found = entries(&node, r#"{app="web"} | stream="stdout""#);
    assert_eq!((found.len(), found[0].as_str()), (2, "first"));
    assert!(found[1].starts_with("one long password=[redacted:pair:"), "{found:?}");
    assert!(found[1].ends_with("] line"), "{found:?}");
    assert_eq!(entries(&node, r#"{app="web"} | stream="stderr""#), ["meanwhile"]);
    assert_eq!(entries(&node, r#"{app="4f2a"} | stream="stderr""#), ["two parts"]);
    assert_eq!(entries(&node, r#"{app="4f2a"} | detected_level="warn""#), ["{\"level\":\"warn\"}"]);
    assert_eq!(node.metric("sawlog_collector_misfit_lines_total"), 0.0);
}

#[test]
fn a_backlog_of_traces_is_one_entry_each() {
    let dir = tempfile::tempdir().unwrap();
    let logs = dir.path().join("logs");
    let traces = [JAVA, PYTHON, GO];
    append(&logs.join("a.log"), traces.map(|trace| format!("{trace}ordinary\n")).concat());
    let in_cri: String = JAVA.lines().map(|line| cri("stderr F", line)).collect();
    append(&logs.join("pods/shop_cart-7d4_1b2c/web/0.log"), in_cri + &cri("stderr F", "ordinary"));
    let setup = Setup::new(&dir.path().join("data"))
        .arg("--path", logs.join("*.log"))
        .arg("--path", logs.join("pods/*/*/*.log"));
    let node = setup.start().ready();
    eventually("the traces", || node.count(r#"{app="a"}"#), |count| *count == 6);
    for trace in traces {
        let needle = trace.lines().last().unwrap().trim();
        let query = format!(r#"{{app="a"}} |= {}"#, serde_json::to_string(needle).unwrap());
        assert_eq!(entries(&node, &query), [trace.trim_end_matches('\n')]);
    }
    eventually("the pod", || node.count(r#"{app="web"}"#), |count| *count == 2);
    assert_eq!(entries(&node, r#"{app="web"} |= "12 more""#), [JAVA.trim_end_matches('\n')]);
}

#[test]
fn trace_ids_are_found_as_metadata() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("a.log");
    let id = "4bf92f3577b34da6a3ce929d0e0e4736";
    append(&log, format!("plain\n{{\"msg\":\"sold\",\"traceId\":\"{id}\"}}\n"));
    let node = Setup::new(&dir.path().join("data")).arg("--path", &log).start().ready();
    eventually("the lines", || node.count(r#"{app="a"}"#), |count| *count == 2);
    let found = entries(&node, &format!(r#"{{app="a"}} | trace_id="{id}""#));
    assert_eq!(found, [format!("{{\"msg\":\"sold\",\"traceId\":\"{id}\"}}")]);
}
