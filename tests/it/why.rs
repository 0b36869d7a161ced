//! `sawlog why`: the running collector says where each file stands, or why it is not collected.

use std::path::Path;

use crate::node::{Node, Setup, eventually, run};

const RUN: &str = "slaves/S1/frameworks/F1/executors/shop.web/runs/c1";

fn why(node: &Node, query: &str) -> serde_json::Value {
    let (status, body) = node.get("/api/v1/why", &[("q", query)]);
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    serde_json::from_slice(&body).unwrap()
}

fn sandbox(dir: &Path) -> std::path::PathBuf {
    let run = dir.join("work").join(RUN);
    std::fs::create_dir_all(&run).unwrap();
    run
}

#[test]
fn each_file_of_a_container_says_where_it_stands() {
    let dir = tempfile::tempdir().unwrap();
    let run_dir = sandbox(dir.path());
    std::fs::write(run_dir.join("stdout"), "one\ntwo\n").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", run_dir.join("stderr")).unwrap();
    let node = Setup::new(&dir.path().join("data"))
        .arg("--mesos-work-dir", dir.path().join("work"))
        .start()
        .ready();
    let acknowledged = || why(&node, "c1")["files"][1]["acknowledged"].clone();
    eventually("acknowledged", acknowledged, |bytes| *bytes == 8);
    let told = why(&node, "c1");
    let [stderr, stdout] = &told["files"].as_array().unwrap()[..] else { panic!("{told}") };
    assert_eq!(stderr["state"], "skipped");
    assert!(stderr["why"].as_str().unwrap().contains("symbolic link"), "{told}");
    assert_eq!(stdout["path"], run_dir.join("stdout").to_str().unwrap());
    assert_eq!((&stdout["read"], &stdout["size"]), (&8.into(), &8.into()));
    assert_eq!((&stdout["lag_bytes"], &stdout["truncations"]), (&0.into(), &0.into()));
    assert_eq!(stdout["labels"]["executor"], "shop.web");
    let inode = std::os::unix::fs::MetadataExt::ino(&run_dir.join("stdout").metadata().unwrap());
    assert_eq!(stdout["identity"]["inode"], inode);
    assert!(!stdout["decisions"].as_array().unwrap().is_empty());

    // As people ask.
    let output = run(&["why", "--addr", &node.addr, "shop.web"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.contains("read 8, acknowledged 8, size 8"), "{text}");
    assert!(text.contains("skipped: it is a symbolic link"), "{text}");
    let path = run_dir.join("stdout.1.gz");
    let none = run(&["why", "--url", &node.addr, "-o", "json", path.to_str().unwrap()]);
    assert_eq!(none.status.code(), Some(1));
    let answer: serde_json::Value = serde_json::from_slice(&none.stdout).unwrap();
    assert_eq!(answer["files"], serde_json::json!([]));
    let output = run(&["why", "--addr", &node.addr, "/etc/passwd"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("no source covers '/etc/passwd'"), "{said}");
    assert!(said.contains("mesos_work_dir"), "{said}");
    assert_eq!(node.get("/api/v1/why", &[]).0, 400);
}

#[test]
fn where_nothing_is_collected_that_is_the_answer() {
    let dir = tempfile::tempdir().unwrap();
    let node = Setup::new(&dir.path().join("data")).start().ready();
    let (status, body) = node.get("/api/v1/why", &[("q", "c1")]);
    assert_eq!(status, 404);
    assert!(String::from_utf8_lossy(&body).contains("nothing is collected here"));
}

/// The role that has Kafka behind it answers too, also while there is no broker: that is the reason.
#[cfg(feature = "kafka")]
#[test]
fn a_collector_says_that_bytes_are_not_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("a.log");
    std::fs::write(&log, "one\ntwo\n").unwrap();
    let node = Setup::new(&dir.path().join("data"))
        .role("collector")
        .arg("--brokers", "127.0.0.1:1")
        .arg("--path", &log)
        .start();
    let file = || why(&node, log.to_str().unwrap())["files"][0].clone();
    let file = eventually("read", file, |file| file["read"] == 8);
    assert_eq!((&file["acknowledged"], &file["lag_bytes"]), (&0.into(), &8.into()));
    assert!(file["why"].as_str().unwrap().contains("not acknowledged"), "{file}");
}
