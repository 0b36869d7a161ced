//! `sawlog labels`, `streams`, `store stats` and `completions` as people and scripts use them.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

use crate::node::{Node, Setup, eventually, run, sawlog};

/// Exit code, standard output, standard error.
type Outcome = (Option<i32>, String, String);

fn outcome(output: std::process::Output) -> Outcome {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn ask(node: &Node, args: &[&str]) -> Outcome {
    outcome(run(&[args, &["--addr", &node.addr]].concat()))
}

fn collecting(dir: &tempfile::TempDir) -> Node {
    for name in ["web", "batch"] {
        let file = dir.path().join(format!("{name}.log"));
        std::fs::write(file, format!("a line of {name}\n")).unwrap();
    }
    let glob = dir.path().join("*.log");
    let node = Setup::new(&dir.path().join("data")).arg("--path", glob).start();
    eventually("lines", || node.count(r#"{stream="file"}"#), |n| *n == 2);
    node
}

#[test]
fn labels_lists_names_and_values() {
    let dir = tempfile::tempdir().unwrap();
    let node = collecting(&dir);
    let lines = |args: &[&str]| {
        let (code, stdout, stderr) = ask(&node, args);
        assert_eq!(code, Some(0), "{args:?}: {stderr}");
        stdout
    };
    assert_eq!(lines(&["labels"]), "app\nfile\nhost\nservice_name\nstream\n");
    assert_eq!(lines(&["labels", "app"]), "batch\nweb\n");
    assert_eq!(lines(&["labels", "app", r#"{app=~"w.*"}"#]), "web\n");
    assert_eq!(lines(&["labels", "app", "-l", "app=web", "-l", "stream=file"]), "web\n");
    assert_eq!(lines(&["labels", r#"{app="web"}"#]), lines(&["labels"]));
    // Nothing found, and mistakes.
    let (code, stdout, stderr) = ask(&node, &["labels", "task"]);
    assert_eq!((code, stdout.as_str(), stderr.as_str()), (Some(1), "", ""));
    assert_eq!(ask(&node, &["labels", "app", "-l", "app=web", "-l", "stream=x"]).0, Some(1));
    for (args, names) in [
        (["labels", "no/name"], "no/name"),
        (["labels", "{app=web}"], "col 6"),
        (["labels", "-lapp"], "app=web"),
        (["labels", "--since=soon"], "--since soon"),
    ] {
        let (code, _, stderr) = ask(&node, &args);
        assert_eq!(code, Some(2), "{args:?}");
        assert!(stderr.contains(names) && stderr.starts_with("sawlog labels: "), "{stderr}");
    }
}

#[test]
fn streams_lists_selectors_that_can_be_pasted_back() {
    let dir = tempfile::tempdir().unwrap();
    let node = collecting(&dir);
    let (code, all, stderr) = ask(&node, &["streams"]);
    assert_eq!((code, all.lines().count()), (Some(0), 2), "{stderr}");
    for (selector, line) in all.lines().zip(["a line of batch\n", "a line of web\n"]) {
        let (code, found, stderr) = ask(&node, &["search", "-o", "raw", selector]);
        assert_eq!((code, found.as_str()), (Some(0), line), "{selector}: {stderr}");
    }
    let web = all.lines().nth(1).unwrap();
    for args in [&["streams", "app:web"][..], &["streams", r#"{app="web"}"#], &["streams", "web"]] {
        assert_eq!(ask(&node, args).1, format!("{web}\n"), "{args:?}");
    }
    let (_, json, _) = ask(&node, &["streams", "-o", "jsonl", "app:batch"]);
    let labels: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&labels["app"], &labels["stream"]), (&"batch".into(), &"file".into()));
    assert_eq!(ask(&node, &["streams", "app:nobody"]).0, Some(1));
    let (code, _, stderr) = ask(&node, &["streams", r#"{app="web"} |= "x""#]);
    assert!(code == Some(2) && stderr.contains("by their labels alone"), "{stderr}");
}

/// Answers one request with JSON, and gives the path that was asked for.
fn answer_once(body: &'static str) -> (String, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = format!("http://{}", listener.local_addr().unwrap());
    let serve = move || {
        let (mut connection, _) = listener.accept().unwrap();
        let mut lines = BufReader::new(connection.try_clone().unwrap()).lines();
        let first = lines.next().unwrap().unwrap();
        lines.find(|line| line.as_ref().unwrap().is_empty()).unwrap().unwrap();
        let len = body.len();
        write!(connection, "HTTP/1.1 200 OK\r\ncontent-length: {len}\r\n\r\n{body}").unwrap();
        first
    };
    (addr, std::thread::spawn(serve))
}

#[test]
fn store_stats_prints_a_table_or_the_answer() {
    let body = r#"{"lines":3,"streams":2,"raw_bytes":2048,"hot_bytes":4096,"hot_text_bytes":0,"disk_bytes":{"blocks":512},"slices":[{"id":1,"raw_bytes":2048}]}"#;
    let (addr, server) = answer_once(body);
    let (code, table, stderr) = outcome(run(&["store", "stats", "--addr", &addr]));
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(server.join().unwrap(), "GET /api/v1/store/stats HTTP/1.1");
    assert!(table.contains("3 of 2 streams") && table.contains("512 B (25.0 %"), "{table}");
    assert!(table.contains("0 B of it not sealed yet"), "{table}");
    // The address may come from logcli's variable.
    let (addr, server) = answer_once(body);
    let mut command = sawlog();
    command.env_remove("SAWLOG_ADDR").env("LOKI_ADDR", &addr);
    let output = command.args(["store", "stats", "-o", "json"]).output().unwrap();
    assert_eq!(outcome(output), (Some(0), format!("{body}\n"), String::new()));
    server.join().unwrap();
}

#[test]
fn each_shell_gets_a_script_that_knows_the_subcommands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (code, script, stderr) = outcome(run(&["completions", shell]));
        assert_eq!(code, Some(0), "{shell}: {stderr}");
        for word in ["sawlog", "search", "labels", "streams", "seal-interval"] {
            assert!(script.contains(word), "{shell}: no {word}");
        }
    }
    let (code, _, stderr) = outcome(run(&["completions", "ksh"]));
    assert!(code == Some(2) && stderr.contains("zsh"), "{stderr}");
}
