//! What each parser reads when all is well.

use std::io::Write;

use prost::Message;

use super::Kind;
use crate::checkpoint;
use crate::journal::exported;
use crate::mesos::fuzz_tests::meta_samples;

const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// Lines of one form each, or what belongs together.
const LINES: [&str; 30] = [
    "plain text without anything\n\nand more\r\n",
    "2026-08-20 10:00:00,123 ERROR [main] com.example.Shop - cannot sell\n",
    "2026-08-20T10:00:00.123456789+02:00 warn: disk is nearly full\n[2026-08-20T10:00:00Z] [dbg] x\n",
    "I0820 10:00:00.123456  1234 file.cc:12] up\nE20260820 10:00:00.5 1 file.cc:1] down\n",
    "<34>1 2026-08-20T10:00:00.003Z host app - - - up\n<13>Aug  2 10:00:00 host app[1]: up\n",
    "10.0.0.1 - ada [14/Nov/2023:22:13:20 +0000] \"GET /a?b=c HTTP/1.1\" 503 2 \"-\" \"curl\"\n",
    "{\"time\":\"2026-08-20T10:00:00Z\",\"level\":\"error\",\"msg\":\"a \\\"b\\\" \\u00e9\\ud83d\\ude00\"}\n",
    "{ \"@timestamp\" : 1700000000.25, \"severity\" : \"NOTICE\", \"dd\":{\"trace_id\":\"5208512171318403364\"} }\n",
    "ts=2026-08-20T10:00:00Z caller=main.go:1 level=info msg=\"a \\\" b\" n=1\n",
    "081109 203615 148 INFO dfs.DataNode: up\n17/06/09 20:10:40 INFO executor.Backend: up\n",
    "[Sun Dec 04 04:47:44 2005] [core:error] up\n2 Aug 2026 10:00:00.5 up\n1700000000000 up\n",
    "\u{feff}\u{1b}[2m2026-08-20T10:00:00Z\u{1b}[0m \u{1b}[31mError\u{1b}[0m x\n",
    "traceID=4bf92f3577b34da6a3ce929d0e0e4736 x\nX-Amzn-Trace-Id: Root=1-67891233-abcdef012345678912345678;Sampled=1\n",
    "{\"traceparent\":\"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\"}\ntraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\n",
    "{\"log\":\"a \\\"b\\\"\\n\",\"stream\":\"stdout\",\"time\":\"2026-08-20T10:00:00.5Z\"}\n",
    "{\"log\":\"part \",\"stream\":\"stderr\",\"time\":\"2026-08-20T10:00:00.5Z\"}\n{\"log\":\"end\\n\",\"stream\":\"stderr\",\"time\":\"2026-08-20T10:00:00.6Z\"}\n",
    "{\"log\":\"x\\n\",\"stream\":\"stdout\",\"attrs\":{\"a\":[\"}\\\"\",1]},\"time\":\"2026-08-20T10:00:00.5Z\"}\n",
    "2026-08-20T10:00:00.669794202Z stdout F the text\n2026-08-20T10:00:00.7Z stderr F\n",
    "2026-08-20T10:00:00.1Z stdout P one \n2026-08-20T10:00:00.2Z stderr P:x two \n2026-08-20T10:00:00.3Z stdout F three\n2026-08-20T10:00:00.4Z stderr F four\n",
    "java.lang.IllegalStateException: no\n\tat com.example.Shop.open(Shop.java:42)\n\tSuppressed: x\n\t... 2 more\nCaused by: y\n\tat a.b(c)\n",
    "Traceback (most recent call last):\n  File \"a.py\", line 1, in <module>\n    x()\nValueError: no\n\nDuring handling of the above exception, another exception occurred:\n\nTraceback (most recent call last):\n  x\nKeyError\n",
    "panic: no\n\ngoroutine 1 [running]:\nmain.main()\n\t/a/main.go:3 +0x1d\ncreated by main.x\nexit status 2\n",
    "thread 'main' panicked at src/main.rs:2:5:\nno\nstack backtrace:\n   0: x\nnote: run with\n",
    "/app/index.js:3\nthrow new Error()\n^\n\nError: no\n    at Object.<anonymous> (/app/index.js:3:9)\n}\n",
    "app.rb:2:in `run': no (RuntimeError)\n\tfrom app.rb:5:in `<main>'\n",
    "password=hunter2hunter2 {\"api_key\":\"k7Qx2Zp9Lm4Rt8Wv3Bn6\"} Authorization: Bearer k7Qx2Zp9Lm4Rt8Wv3Bn6\nCookie: a=b; session=k7Qx2Zp9Lm4R\n",
    "https://ada:hunter2@example.org/?token=k7Qx2Zp9Lm4Rt8Wv3Bn6 https%3A%2F%2Fada%3Ahunter2%40example.org curl -u ada:hunter2 x\n",
    "AKIAK7QX2ZP9LM4RT8WV ghp_k7Qx2Zp9Lm4Rt8Wv3Bn6k7Qx2Zp9Lm4Rt8Wv eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.k7Qx2Zp9Lm4Rt8Wv3Bn6 4111111111111111 4111 1111 1111 1111\n",
    "-----BEGIN RSA PRIVATE KEY-----\nk7Qx2Zp9Lm4Rt8Wv3Bn6\nk7Qx2Zp9\n-----END RSA PRIVATE KEY-----\nlong-secret bG9uZy1zZWNyZXQ= long%2Dsecret\n",
    "HOME=/root PATH=/bin DB_PASSWORD=hunter2hunter2 AWS_SECRET_ACCESS_KEY=k7Qx2Zp9Lm4Rt8Wv3Bn6k7Qx2Zp9Lm4Rt8Wv\n",
];

const JSON: [&str; 4] = [
    r#"{"id":"S1","resources":{"cpus":8.0,"mem":"Infinity"},"frameworks":[{"id":"F1","name":"marathon","user":"root","checkpoint":true,
"executors":[{"id":"E1","source":"t","container":"c1","directory":"/w/slaves/S1/frameworks/F1/executors/E1/runs/c1","type":"DEFAULT",
"labels":[{"key":"team","value":"shop"}],"resources":{"cpus":1},"tasks":[{"id":"t.1","name":"web","statuses":[{"state":"TASK_RUNNING",
"timestamp":1700000000.5,"healthy":true,"container_status":{"container_id":{"value":"n","parent":{"value":"c1"}}}}]}],"completed_tasks":null}]}],
"completed_frameworks":[]}"#,
    r#"[{"framework_id":"F1","executor_id":"E1","container_id":"c1","statistics":{"timestamp":1700000000.5,"cpus_user_time_secs":1.5,
"mem_rss_bytes":314572800,"cpus_limit":1,"net_snmp_statistics":{"a":{"b":1}},"nr_throttled":-1}},{"container_id":3,"statistics":null}]"#,
    r#"{"time":"2026-08-20T10:00:00.500000Z","level":"info","event":"statistics","cpus_user_time_secs":100.25,"mem_rss_bytes":1e3,"statistics":"unknown"}"#,
    r#"{"frameworks":{"a":[[[[[[{"b":[1,2,{"c":null}]}]]]]]]},"id":18446744073709551616}"#,
];

/// All samples, by who reads them.
pub(super) fn all() -> Vec<(Kind, Vec<u8>)> {
    let mut all: Vec<(Kind, Vec<u8>)> =
        LINES.iter().map(|text| (Kind::Lines, text.as_bytes().to_vec())).collect();
    all.push((Kind::Lines, LINES.concat().into_bytes()));
    all.push((Kind::Lines, enveloped(&LINES.concat())));
    all.extend(JSON.iter().map(|text| (Kind::Json, text.as_bytes().to_vec())));
    all.extend(gzipped().map(|bytes| (Kind::Gzip, bytes)));
    all.extend(journal().map(|bytes| (Kind::Journal, bytes)));
    all.extend(meta_samples().map(|bytes| (Kind::Meta, bytes)));
    let [(_, checkpoints), (_, generations)] = checkpoint::fuzz_tests::samples();
    all.push((Kind::Checkpoints, checkpoints));
    all.push((Kind::Generations, generations));
    all
}

/// Each line as both runtimes wrap it.
fn enveloped(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let log = serde_json::to_string(&format!("{line}\n")).expect("a text");
        let side = ["stdout", "stderr"][number % 2];
        writeln!(out, r#"{{"log":{log},"stream":"{side}","time":"2026-08-20T10:00:00.5Z"}}"#)
            .and_then(|()| writeln!(out, "2026-08-20T10:00:00.5Z {side} F {line}"))
            .expect("a Vec takes all bytes");
    }
    out
}

fn gzipped() -> [Vec<u8>; 4] {
    let of = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("a Vec takes all bytes")
    };
    let text = LINES.concat();
    let stored = {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
        encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish()).expect("a Vec")
    };
    // The second inflates to a thousand times its size.
    [
        of(text.as_bytes()),
        of(&vec![0; 4 << 20]),
        [of(b"one\n"), of(b""), of(b"two\n")].concat(),
        stored,
    ]
}

fn journal() -> [Vec<u8>; 2] {
    let entry = |message: &[u8]| {
        exported(&[
            ("__CURSOR", b"s=1;i=2"),
            ("_UID", b"0"),
            ("AGENT_ID", b"S1"),
            ("FRAMEWORK_ID", b"F1"),
            ("EXECUTOR_ID", b"E1"),
            ("CONTAINER_ID", b"c1.n"),
            ("STREAM", b"STDOUT"),
            ("MESSAGE", message),
        ])
    };
    let id = format!("trace_id={ID}");
    let some = [entry(b"text"), entry(b"of\nmany\nlines\xff"), entry(id.as_bytes())].concat();
    [entry(b""), some]
}

/// A message behind its length, as agents write them.
pub(crate) fn framed(message: &impl Message) -> Vec<u8> {
    let bytes = message.encode_to_vec();
    [&(bytes.len() as u32).to_ne_bytes()[..], &bytes].concat()
}
