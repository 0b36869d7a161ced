//! Queries and their answers: our own cases, and, where they lie beside the project, recorded answers
//! of Loki's engine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::node::{Node, Setup};

const BASE: i64 = 1_700_000_000;

fn push(node: &Node, streams: &[Value]) {
    let body = serde_json::to_vec(&json!({"streams": streams})).unwrap();
    let headers = [("content-type", "application/json")];
    assert_eq!(node.post("/loki/api/v1/push", &headers, &body), (204, String::new()));
}

/// Asks a query; gives status and `data`, or status and the text of the error.
fn ask(node: &Node, endpoint: &str, params: &[(&str, String)]) -> (u16, Value) {
    let params: Vec<(&str, &str)> = params.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let (status, body) = node.get(&format!("/loki/api/v1/{endpoint}"), &params);
    if status != 200 {
        return (status, Value::String(String::from_utf8(body).unwrap()));
    }
    let text = String::from_utf8(body).unwrap();
    let (at_type, at_result) = (text.find("\"resultType\""), text.find("\"result\""));
    assert!(at_type < at_result, "resultType comes before result: {text}");
    (status, serde_json::from_str::<Value>(&text).unwrap()["data"].clone())
}

fn our_streams() -> Vec<Value> {
    let stream = |app: &str, values: &[(i64, &str)]| {
        let values: Vec<Value> = values
            .iter()
            .map(|(ns, line)| json!([(BASE * 1_000_000_000 + ns).to_string(), line]))
            .collect();
        json!({"stream": {"app": app, "stream": "stdout"}, "values": values})
    };
    let second = 1_000_000_000;
    vec![
        stream(
            "shop",
            &[
                (0, "GET /cart 200"),
                (20 * second, "GET /cart 500 error"),
                (60 * second, "POST /pay 200"),
                (60 * second + 1, "POST /pay 503 error"),
            ],
        ),
        stream("batch", &[(30 * second, "started"), (90 * second, "done")]),
    ]
}

/// (query, time, labels and value of each series)
fn our_instant_cases() -> Vec<(&'static str, i64, Value)> {
    let one = |value: &str| json!([[{}, value]]);
    vec![
        ("vector(1)+vector(1)", 4_000_000_000 - BASE, one("2")),
        (r#"sum(count_over_time({app="shop"}[60s]))"#, 60, one("2")),
        (r#"sum(count_over_time({app="shop"} |= "error" [2m]))"#, 90, one("2")),
        (r#"sum(rate({app="shop"}[20s]))"#, 60, one("0.05")),
        (r#"sum(bytes_over_time({app="batch"}[2m]))"#, 90, one("11")),
        (r#"sum(bytes_rate({app="batch"}[2m]))"#, 90, one("0.09166666666666666")),
        (r#"max(count_over_time({app=~".+"}[2m]))"#, 90, one("4")),
        (r#"min(count_over_time({app=~".+"}[2m]))"#, 90, one("2")),
        (r#"avg(count_over_time({app=~".+"}[2m]))"#, 90, one("3")),
        (r#"count(count_over_time({app=~".+"}[2m]))"#, 90, one("2")),
        (
            r#"sum without (stream) (count_over_time({app="batch"}[2m]))"#,
            90,
            json!([[{"app": "batch"}, "2"]]),
        ),
        (
            r#"count_over_time({app="batch"}[2m])"#,
            90,
            json!([[{"app": "batch", "stream": "stdout"}, "2"]]),
        ),
        (
            r#"sum(count_over_time({app="shop"}[2m])) / sum(count_over_time({app="batch"}[2m])) * 10"#,
            90,
            one("20"),
        ),
        (r#"sum(count_over_time({app="shop"}[1m] offset 30s))"#, 90, one("2")),
        (r#"sum(count_over_time({app="nobody"}[2m]))"#, 90, json!([])),
        (
            r#"topk(1, sum by (app) (count_over_time({app=~".+"}[2m])))"#,
            90,
            json!([[{"app": "shop"}, "4"]]),
        ),
        (
            r#"bottomk(1, sum by (app) (count_over_time({app=~".+"}[2m])))"#,
            90,
            json!([[{"app": "batch"}, "2"]]),
        ),
        ("sum(count_over_time({app=\"shop\"} |= \"cart\" or `503` [2m])) # both", 90, one("3")),
        ("vector(7) % 4 - vector(1)", 90, one("2")),
        // Grafana's histogram.
        (
            r#"sum by (level, detected_level) (count_over_time({app="shop"} |= "error" | drop __error__ [2m]))"#,
            90,
            one("2"),
        ),
        // Collected files have levels, pushed streams do not.
        (r#"sum by (level) (count_over_time({app="shop"}[2m]))"#, 90, one("4")),
    ]
}

#[test]
fn our_cases() {
    let dir = tempfile::tempdir().unwrap();
    let node = Setup::new(&dir.path().join("data")).arg("--seal-interval", "200ms").start().ready();
    push(&node, &our_streams());
    let cases = our_instant_cases();
    for (query, time, expected) in &cases {
        let params = [("query", (*query).to_owned()), ("time", (BASE + time).to_string())];
        let (status, data) = ask(&node, "query", &params);
        assert_eq!(status, 200, "{query}: {data}");
        assert_eq!(data["resultType"], "vector", "{query}");
        let found: Vec<Value> = data["result"]
            .as_array()
            .unwrap()
            .iter()
            .map(|series| {
                assert_eq!(series["value"][0], json!(BASE + time), "{query}");
                json!([series["metric"], series["value"][1]])
            })
            .collect();
        assert_eq!(&Value::Array(found), expected, "{query}");
    }
    lines_and_ranges(&node);
    println!("logql: {} own cases equal", cases.len() + 4);
}

fn lines_and_ranges(node: &Node) {
    let range = |query: &str| {
        let params = [
            ("query", query.to_owned()),
            ("start", BASE.to_string()),
            ("end", (BASE + 120).to_string()),
            ("step", "60".to_owned()),
            ("direction", "forward".to_owned()),
        ];
        ask(node, "query_range", &params).1
    };
    let lines = |query: &str| -> Vec<String> {
        let data = range(query);
        let values = data["result"][0]["values"].as_array().cloned().unwrap_or_default();
        values.iter().map(|value| value[1].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(lines(r#"{app="shop"} |= "error""#), ["GET /cart 500 error", "POST /pay 503 error"]);
    assert_eq!(lines(r#"{app=~"sh.p"} != "error" |~ "P(OST|UT)""#), ["POST /pay 200"]);
    let matrix = range(r#"sum by (app) (count_over_time({app=~".+"}[1m]))"#);
    let expected = json!([
        {"metric": {"app": "batch"}, "values": [[BASE + 60, "1"], [BASE + 120, "1"]]},
        {"metric": {"app": "shop"}, "values": [[BASE, "1"], [BASE + 60, "2"], [BASE + 120, "1"]]},
    ]);
    assert_eq!(matrix["result"], expected);
    let params = [("query", "1+1*2^3".to_owned()), ("time", BASE.to_string())];
    let (_, scalar) = ask(node, "query", &params);
    assert_eq!((&scalar["resultType"], &scalar["result"]), (&json!("scalar"), &json!([BASE, "9"])));
}

/// Where recorded answers lie, if they do.
fn recorded() -> Option<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/logql");
    dir.is_dir().then_some(dir)
}

#[test]
fn recorded_answers() {
    let Some(dir) = recorded() else {
        println!("logql: 0 recorded cases: none lie beside the project");
        return;
    };
    let read = |name: &str| -> Vec<Value> {
        serde_json::from_slice(&std::fs::read(dir.join(name)).unwrap()).unwrap()
    };
    let data = tempfile::tempdir().unwrap();
    let node =
        Setup::new(&data.path().join("data")).arg("--seal-interval", "200ms").start().ready();
    let streams: Vec<Value> = read("streams.json")
        .iter()
        .map(|stream| {
            let labels = labels_of(stream["labels"].as_str().unwrap());
            json!({"stream": labels, "values": stream["values"]})
        })
        .collect();
    push(&node, &streams);
    let (mut equal, mut basic, mut later) = (0, 0, Vec::new());
    for case in read("expected.json") {
        let query = case["params"]["query"].as_str().unwrap();
        let params: Vec<(&str, String)> = case["params"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| {
                (name.as_str(), value.as_str().map_or(value.to_string(), str::to_owned))
            })
            .collect();
        let (status, found) = ask(&node, case["endpoint"].as_str().unwrap(), &params);
        let is_basic = is_basic(query);
        basic += u32::from(is_basic);
        if !is_basic && found.as_str().is_some_and(|text| text.contains("not supported yet")) {
            later.push(query.to_owned());
            continue;
        }
        assert_eq!(json!(status), case["status"], "{query}: {found}");
        if status == 200 {
            assert_eq!(normal(&found), normal(&case["data"]), "{query}");
        }
        equal += 1;
    }
    println!(
        "logql: {equal} recorded cases equal, among them all {basic} of what Grafana needs to \
         connect and to explore; {} need what is not built yet",
        later.len()
    );
    assert!(basic >= 22, "only {basic} were told to be basic");
    assert!(equal >= 30, "only {equal} were equal; left out: {later:#?}");
}

/// The words of the queries that Grafana needs to connect and to explore.
const BASIC_WORDS: [&str; 16] = [
    "vector",
    "drop",
    "count_over_time",
    "rate",
    "bytes_over_time",
    "bytes_rate",
    "sum",
    "avg",
    "min",
    "max",
    "count",
    "by",
    "without",
    "topk",
    "bottomk",
    "or",
];

/// Whether a query is made only of what Grafana needs to connect and to explore: selectors, line
/// filters, `drop`, counts and rates of lines and bytes, simple aggregations and arithmetic.
fn is_basic(query: &str) -> bool {
    // What stands in selectors and ranges are no words of the language.
    let bare = without_nested(&without_texts(query), ('{', '}'));
    let bare = without_nested(&bare, ('[', ']'));
    let comparison = ["<", ">", "=="].iter().any(|sign| bare.contains(sign));
    let set_operation = bare.contains(") or");
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut label_names = false;
    let mut words_fit = true;
    for token in bare.split_inclusive(|c| !is_word(c)) {
        let word = token.trim_end_matches(|c| !is_word(c));
        let is_number = word.chars().all(|c| c.is_ascii_digit());
        words_fit &= is_number || label_names || BASIC_WORDS.contains(&word);
        // Behind these stand names of labels.
        let names_end = token.ends_with([')', '|']);
        label_names = (label_names && !names_end) || ["by", "without", "drop"].contains(&word);
    }
    words_fit && !comparison && !set_operation
}

fn without_nested(text: &str, (open, close): (char, char)) -> String {
    let mut depth = 0;
    let mut out = String::new();
    for c in text.chars() {
        depth += i32::from(c == open);
        if depth == 0 {
            out.push(c);
        }
        depth -= i32::from(c == close);
    }
    out
}

/// The query with each text in quotes replaced by `""`, and without comments.
fn without_texts(query: &str) -> String {
    let mut out = String::new();
    let mut rest = query.chars();
    while let Some(c) = rest.next() {
        match c {
            '#' => drop(rest.find(|c| *c == '\n')),
            '"' | '`' => {
                out.push_str("\"\"");
                while let Some(inner) = rest.next().filter(|inner| *inner != c) {
                    if inner == '\\' && c == '"' {
                        rest.next();
                    }
                }
            }
            other => out.push(other),
        }
    }
    out
}

#[test]
fn basic_queries_are_told_from_others() {
    for query in [
        r#"{app="json"} |= `| json` or "b" != "c" # | json"#,
        r#"sum by (level, detected_level) (count_over_time({a="b"} |~ "x" | drop __error__ [1m]))"#,
        r#"topk(2, sum without (app) (rate({a=~".+"}[2m]))) * 60 / 2 ^ 3"#,
        "vector(1)+vector(1)",
    ] {
        assert!(is_basic(query), "{query}");
    }
    for query in [
        r#"{app="web"} | json"#,
        r#"{app="web"} |> "<_>x<_>""#,
        r#"sum(rate({app="web"}[1m])) > 0.2"#,
        r#"sum(rate({app="web"}[1m])) or vector(0)"#,
        r#"sum(rate({app="web"}[1m] offset 1m))"#,
        r#"stdvar(sum by (app) (count_over_time({app="web"}[1m])))"#,
        r#"{app="web"} | level="error""#,
    ] {
        assert!(!is_basic(query), "{query}");
    }
}

/// `{a="b",c="d"}` as a map.
fn labels_of(text: &str) -> BTreeMap<String, String> {
    let inner = text.trim_start_matches('{').trim_end_matches('}');
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap();
        (name.to_owned(), value.trim_matches('"').to_owned())
    };
    inner.split(',').map(pair).collect()
}

/// An answer in which order of streams does not matter and numbers are compared to nine digits.
fn normal(data: &Value) -> Value {
    let kind = data["resultType"].clone();
    if kind == "streams" {
        let mut entries = Vec::new();
        for stream in data["result"].as_array().unwrap() {
            for value in stream["values"].as_array().unwrap() {
                entries.push(json!([value[0], value[1], stream["stream"]]).to_string());
            }
        }
        entries.sort();
        return json!([kind, entries]);
    }
    let number = |value: &Value| {
        let value: f64 = value.as_str().unwrap().parse().unwrap();
        format!("{value:.9e}")
    };
    let point = |point: &Value| json!([point[0].as_f64(), number(&point[1])]);
    if kind == "scalar" {
        return json!([kind, point(&data["result"])]);
    }
    let mut series: Vec<String> = data["result"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| match one.get("values") {
            Some(values) => {
                let points: Vec<_> = values.as_array().unwrap().iter().map(point).collect();
                json!([one["metric"], points]).to_string()
            }
            None => json!([one["metric"], point(&one["value"])]).to_string(),
        })
        .collect();
    series.sort();
    json!([kind, series])
}

/// Levels of collected files: as `detected_level`, and by the short name `level`.
#[test]
fn detected_levels_of_collected_files() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("svc.log");
    std::fs::write(&file, "level=error one\nlevel=info two\nERROR three\nnothing said\n").unwrap();
    let node = Setup::new(&dir.path().join("data")).arg("--path", &file).start();
    crate::node::eventually("lines", || node.count(r#"{app="svc"}"#), |n| *n == 4);
    for query in [
        r#"{app="svc"} | detected_level="error""#,
        r#"{app="svc"} | level="error""#,
        r#"{app="svc", detected_level="error"}"#,
        r#"{app="svc", level=~"err.*"}"#,
        r#"{app="svc"} | detected_level!~"info|unknown""#,
    ] {
        assert_eq!(node.count(query), 2, "{query}");
    }
    for name in ["level", "detected_level"] {
        let query = format!(r#"sum by ({name}) (count_over_time({{app="svc"}}[1h]))"#);
        let (_, data) = ask(&node, "query", &[("query", query)]);
        let found: Vec<(String, String)> = data["result"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| {
                let text = |value: &Value| value.as_str().unwrap().to_owned();
                (text(&one["metric"][name]), text(&one["value"][1]))
            })
            .collect();
        let expected = [("error", "2"), ("info", "1"), ("unknown", "1")];
        let expected: Vec<_> = expected.map(|(l, n)| (l.to_owned(), n.to_owned())).to_vec();
        assert_eq!(found, expected);
    }
    let (_, body) = node.get("/loki/api/v1/labels", &[]);
    let names: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(names["data"], json!(["app", "file", "host", "service_name", "stream"]));
    let (_, body) = node.get("/loki/api/v1/label/app/values", &[]);
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["data"], json!(["svc"]));
    let params = [("query", r#"{app="svc"} |= "one""#.to_owned())];
    let (_, data) = ask(&node, "query_range", &params);
    assert_eq!(data["result"][0]["stream"]["detected_level"], "error");
}
