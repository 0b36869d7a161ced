//! `sawlog collector` and `sawlog aggregator` where there is no Kafka: what they say, how they wait, how
//! they end. With a broker they are in `kafka`.

use std::path::Path;

use crate::node::{Node, Setup, eventually, run, sawlog};

/// A port of this machine that nobody listens on.
fn nobody() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

fn ready(node: &Node) -> (u16, String) {
    let (status, body) = node.get("/ready", &[]);
    (status, String::from_utf8(body).unwrap())
}

fn collector(data: &Path, brokers: &str) -> Setup {
    let logs = data.parent().unwrap().join("logs/*.log");
    Setup::new(data).role("collector").arg("--brokers", brokers).arg("--path", logs)
}

#[test]
fn a_collector_without_a_broker_tails_says_why_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    // A directory of their own: the collector holds files below its data, too.
    let (data, logs) = (dir.path().join("data"), dir.path().join("logs"));
    std::fs::create_dir(&logs).unwrap();
    let log = logs.join("a.log");
    std::fs::write(&log, "one\ntwo\n").unwrap();
    let brokers = nobody();
    let node = collector(&data, &brokers).start();
    eventually(
        "the file is read",
        || node.metric("sawlog_collector_read_bytes_total"),
        |n| *n == 8.0,
    );
    // Held open from the first moment: it may be gone before a broker answers.
    assert!(node.has_open(&logs));
    let said = eventually("the cause", || ready(&node), |(_, text)| text.contains("no broker of"));
    assert_eq!(said.0, 503);
    assert!(said.1.contains(&brokers) && said.1.contains("Connection refused"), "{}", said.1);
    eventually(
        "said",
        || node.log(),
        |log| log.contains(&format!("no broker of {brokers} answers")),
    );
    let (status, welcome) = node.get("/", &[]);
    let welcome = String::from_utf8(welcome).unwrap();
    assert!(status == 200 && welcome.contains("collector of Sawlog"), "{welcome}");
    assert_eq!(node.get("/loki/api/v1/labels", &[]).0, 404);
    assert_eq!(node.metric("sawlog_collector_acked_bytes_total"), 0.0);
    assert_eq!(node.terminate(), Some(0));

    // Nothing was taken for sent: the same directory collects it all.
    let node = Setup::new(&data).arg("--path", &log).start().ready();
    let lines = || node.export(r#"{stream=~".+"}"#);
    eventually("both lines", lines, |lines| lines == b"one\ntwo\n");
}

#[test]
fn an_aggregator_without_a_broker_serves_and_is_not_ready() {
    let dir = tempfile::tempdir().unwrap();
    let brokers = nobody();
    let setup = Setup::new(dir.path()).role("aggregator").arg("--brokers", &brokers);
    let node = setup.start();
    let said = eventually("the cause", || ready(&node), |(_, text)| text.contains("no broker of"));
    assert!(said.0 == 503 && said.1.contains(&brokers), "{said:?}");
    let (status, body) = node.get("/loki/api/v1/query_range", &[("query", r#"{app="x"}"#)]);
    let body = String::from_utf8(body).unwrap();
    assert!(status == 200 && body.contains("warnings"), "{status} {body}");
    let json = [("Content-Type", "application/json")];
    let push = br#"{"streams":[{"stream":{"app":"x"},"values":[["1700000000000000000","x"]]}]}"#;
    let (status, text) = node.post("/loki/api/v1/push", &json, push);
    assert!(status == 503 && text.contains("nothing of the request was stored"), "{status} {text}");
    // The store is its own, and a second start of any role with it is refused.
    let (code, said) = setup.run_to_end();
    assert!(code == Some(1) && said.contains("in use by another process"), "{code:?} {said}");
    assert_eq!(node.terminate(), Some(0));
}

#[test]
fn both_roles_share_a_data_directory_and_no_role_shares_with_itself() {
    let dir = tempfile::tempdir().unwrap();
    let (data, brokers) = (dir.path().join("data"), nobody());
    let aggregator = Setup::new(&data).role("aggregator").arg("--brokers", &brokers).start();
    let collector = collector(&data, &brokers);
    let running = collector.start();
    let (code, said) = collector.run_to_end();
    assert!(code == Some(1) && said.contains("in use by another collector"), "{code:?} {said}");
    assert_eq!((running.terminate(), aggregator.terminate()), (Some(0), Some(0)));
}

/// Its positions count another log.
#[test]
fn an_aggregator_refuses_the_store_of_a_run() {
    let dir = tempfile::tempdir().unwrap();
    let node = Setup::new(dir.path()).start().ready();
    assert_eq!(node.terminate(), Some(0));
    let aggregator = Setup::new(dir.path()).role("aggregator").arg("--brokers", nobody());
    let (code, said) = aggregator.run_to_end();
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("sawlog aggregator: --data") && said.contains("sawlog run"), "{said}");
    // A log whose lines may be in no store yet is as much a reason.
    std::fs::remove_dir_all(dir.path().join("store")).unwrap();
    assert_eq!(aggregator.run_to_end().0, Some(78));
    std::fs::remove_dir_all(dir.path().join("log")).unwrap();
    assert_eq!(aggregator.start().terminate(), Some(0));
}

/// It looks like that of an embedded log, and the advice for such a one would lose lines.
#[test]
fn a_store_of_kafkas_whose_source_is_gone_is_refused_by_both() {
    let dir = tempfile::tempdir().unwrap();
    let node = Setup::new(dir.path()).start().ready();
    let json = [("Content-Type", "application/json")];
    let push = br#"{"streams":[{"stream":{"app":"x"},"values":[["1700000000000000000","x"]]}]}"#;
    assert_eq!(node.post("/loki/api/v1/push", &json, push).0, 204);
    assert_eq!(node.terminate(), Some(0));
    std::fs::remove_dir_all(dir.path().join("log")).unwrap();
    std::fs::remove_file(dir.path().join("store/source")).unwrap();
    let pins = "kafka cluster=c topic=t partitions=4\n";
    std::fs::write(dir.path().join("receiver/partitions"), pins).unwrap();
    let aggregator = Setup::new(dir.path()).role("aggregator").arg("--brokers", nobody());
    for setup in [aggregator, Setup::new(dir.path())] {
        let (code, said) = setup.run_to_end();
        assert_eq!(code, Some(78), "{said}");
        assert!(
            said.contains("store/source is missing") && !said.contains("sawlog run`"),
            "{said}"
        );
    }
    assert!(!dir.path().join("store/source").exists(), "nothing is guessed");
}

#[test]
fn a_run_refuses_the_store_of_an_aggregator() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("store")).unwrap();
    let source = "kafka cluster=c topic=t\n";
    std::fs::write(dir.path().join("store/source"), source).unwrap();
    let (code, said) = Setup::new(dir.path()).run_to_end();
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains(source.trim_end()) && said.contains("'embedded'"), "{said}");
}

#[test]
fn settings_that_cannot_work_are_said_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().display().to_string();
    for role in ["collector", "aggregator"] {
        for (args, code, said) in [
            (&[][..], 78, "add --brokers HOST:PORT"),
            (&["--brokers", "k:1", "--kafka-tls-ca", "/nonexistent/ca"], 78, "/nonexistent/ca"),
            (&["--brokers", "kafka"], 2, "write host:port"),
            (&["--brokers", "k:1", "--topic", "a b"], 2, "'a b' is no topic"),
            (&["--brokers", "k:1", "--topic-partitions", "0"], 2, "write 1 to"),
            (&["--brokers", "k:1", "--topic-retention", "1m"], 2, "at least 1h"),
            (&["--brokers", "k:1", "--demo"], 2, "unexpected argument '--demo'"),
        ] {
            let output = run(&[&[role, "--listen", "127.0.0.1:0", "--data", &data], args].concat());
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(code), "{role} {args:?}: {text}");
            assert!(text.contains(said), "{role} {args:?}: {said:?} is not in\n{text}");
        }
    }
    for (role, flag) in [("collector", "--seal-interval=1s"), ("aggregator", "--path=/x")] {
        let output = run(&[role, flag]);
        assert_eq!(output.status.code(), Some(2), "{role} has no {flag}");
    }
}

#[test]
fn the_file_names_the_brokers_and_help_names_the_flags() {
    let dir = tempfile::tempdir().unwrap();
    let brokers = nobody();
    let file = dir.path().join("sawlog.toml");
    std::fs::write(&file, format!("[kafka]\nbrokers = \"{brokers}\"\ntopic = \"t\"\n")).unwrap();
    let node =
        Setup::new(&dir.path().join("data")).role("aggregator").arg("--config", &file).start();
    let (_, text) = ready(&node);
    assert!(text.contains(&brokers), "{text}");
    let shown = sawlog()
        .args(["config", "show", "aggregator", "--group", "g", "--config"])
        .arg(&file)
        .env("SAWLOG_TOPIC", "other")
        .output()
        .unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    for line in [
        format!("kafka.brokers = \"{brokers}\"  # {}:2", file.display()),
        "kafka.topic = \"other\"  # SAWLOG_TOPIC".to_owned(),
        "kafka.group = \"g\"  # --group".to_owned(),
        "kafka.topic_partitions = 16  # default".to_owned(),
        "# kafka.tls_ca is not set".to_owned(),
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line:?} is not in\n{shown}");
    }
    for role in ["collector", "aggregator"] {
        let help = String::from_utf8(run(&[role, "--help"]).stdout).unwrap();
        for flag in ["--brokers", "--topic-retention", "--no-create-topic", "--kafka-tls-ca"] {
            assert!(help.contains(flag), "{flag} is not in\n{help}");
        }
        assert_eq!(help.contains("--group"), role == "aggregator");
    }
}
