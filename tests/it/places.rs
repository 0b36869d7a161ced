//! `sawlog run` without a word about sources looks in the usual places, and says what it found.

use crate::node::{Setup, eventually};

#[test]
fn the_usual_places_are_collected_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    let logs = [
        ("var/lib/docker/containers/c1/c1-json.log", "{\"log\":\"one\\n\"}\n"),
        ("var/lib/docker/containers/c1/config.v2.json", "{}\n"),
        ("var/lib/mesos/slaves/S/frameworks/F/executors/E/runs/C/stdout", "two\n"),
        ("var/log/syslog.log", "never taken\n"),
    ];
    for (path, text) in logs {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let node = Setup::new(&dir.path().join("data")).arg("--look-under", &root).start();
    eventually("Docker's", || node.count(r#"{app="c1"}"#), |n| *n == 1);
    eventually("the agent's", || node.count(r#"{executor="E"}"#), |n| *n == 1);
    assert_eq!(node.count(r#"{host=~".+"}"#), 2, "nothing else is taken");
    let log = node.log();
    for (path, found) in [
        ("var/lib/mesos", "found"),
        ("var/lib/docker/containers", "found"),
        ("var/log/pods", "not there"),
        ("tmp/mesos", "not there"),
    ] {
        let said = format!("{}: {found}", root.join(path).display());
        assert!(log.contains(&said), "{said:?} is not in\n{log}");
    }
}

#[test]
fn where_nothing_is_the_ways_out_are_named_and_pushes_are_taken() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("empty");
    let node = Setup::new(&dir.path().join("data")).arg("--look-under", &root).start().ready();
    let log = node.log();
    for way in ["nothing to collect", "--demo", "--mesos-work-dir", "--path"] {
        assert!(log.contains(way), "{way} is not in\n{log}");
    }
    let (status, welcome) = node.get("/", &[]);
    let welcome = String::from_utf8(welcome).unwrap();
    assert!(
        status == 200 && welcome.contains("Sawlog") && welcome.contains("Grafana"),
        "{welcome}"
    );
    let body =
        br#"{"streams":[{"stream":{"app":"pushed"},"values":[["1700000000000000000","x"]]}]}"#;
    let json = [("Content-Type", "application/json")];
    assert_eq!(node.post("/loki/api/v1/push", &json, body).0, 204);
    assert_eq!(node.count(r#"{app="pushed"}"#), 1);
}

#[test]
fn named_sources_that_have_nothing_yet_are_warned_of() {
    let dir = tempfile::tempdir().unwrap();
    let logs = dir.path().join("logs");
    std::fs::create_dir(&logs).unwrap();
    let node = Setup::new(&dir.path().join("data"))
        .arg("--path", &logs)
        .arg("--path", logs.join("*.txt"))
        .arg("--mesos-work-dir", &logs)
        .start()
        .ready();
    let log = node.log();
    for said in [
        format!("write {}/*.log", logs.display()),
        format!("{}/*.txt matches nothing yet", logs.display()),
        "neither slaves/ nor meta/".to_owned(),
    ] {
        let line = log.lines().find(|line| line.contains(&said));
        assert!(line.is_some_and(|line| line.contains("WARN")), "{said:?} is not in\n{log}");
    }
}
