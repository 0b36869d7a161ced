//! Bad input gets a message that names the thing, the place and the way out; nothing else is lost.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;

use crate::node::{Setup, assert_same_bytes, eventually, run};

fn stderr(args: &[&str]) -> (Option<i32>, String) {
    let output = run(args);
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[track_caller]
fn assert_names(text: &str, names: &[&str]) {
    for name in names {
        assert!(text.contains(name), "{text:?} does not name {name:?}");
    }
    assert!(!text.contains("panicked"), "{text}");
}

#[test]
fn wrong_flags() {
    let (code, text) = stderr(&["run", "--pth", "x"]);
    assert_eq!(code, Some(2));
    assert_names(&text, &["--pth", "--path"]);
    let (code, text) = stderr(&["run", "--seal-interval", "soon"]);
    assert_eq!(code, Some(2));
    assert_names(&text, &["soon", "2s"]);
    let (code, text) = stderr(&["run", "--listen", "0.0.0.0:0", "--data", "/nonexistent/x"]);
    assert_eq!(code, Some(78));
    assert_names(&text, &["0.0.0.0", "--no-auth-i-know"]);
}

#[test]
fn a_wrong_configuration_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("sawlog.toml");
    std::fs::write(&file, "lisen = \"127.0.0.1:0\"\n").unwrap();
    let (code, text) = stderr(&["run", "--config", file.to_str().unwrap()]);
    assert_eq!(code, Some(78));
    assert_names(&text, &["sawlog.toml:1:1: ", "`lisen`", "did you mean `listen`?"]);
    let (code, text) = stderr(&["run", "--config", "/nonexistent.toml"]);
    assert_eq!(code, Some(78));
    assert_names(&text, &["/nonexistent.toml"]);
}

#[test]
fn a_configuration_file_says_what_flags_say() {
    let dir = tempfile::tempdir().unwrap();
    let (file, log) = (dir.path().join("sawlog.toml"), dir.path().join("a.log"));
    std::fs::write(&log, "from the file\n").unwrap();
    let text = format!("paths = [{:?}]\nseal_interval = \"1s\"\n", log.to_str().unwrap());
    std::fs::write(&file, text).unwrap();
    let node = Setup::new(&dir.path().join("data")).arg("--config", &file).start();
    eventually("lines", || node.count(r#"{app="a"}"#), |n| *n == 1);
}

#[test]
fn a_directory_that_is_not_there_or_not_ours() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let missing = Setup::new(&data).arg("--mesos-work-dir", dir.path().join("missing"));
    assert_names(&missing.try_start().err().unwrap(), &["missing", "work_dir"]);
    let (code, text) = stderr(&["run", "--listen", "127.0.0.1:0", "--data", "/proc/nothing"]);
    assert_eq!(code, Some(1));
    assert_names(&text, &["/proc/nothing", "--data"]);
    let first = Setup::new(&data).start();
    assert_names(&Setup::new(&data).try_start().err().unwrap(), &["in use", "data"]);
    eventually("ready", || first.get("/ready", &[]).0, |status| *status == 200);
}

/// A sandbox that cannot be read is reported; the others are collected.
#[test]
fn an_unreadable_directory_loses_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let run_of =
        |n: u32| dir.path().join(format!("work/slaves/S/frameworks/F/executors/e{n}/runs/c"));
    for n in 0..2 {
        std::fs::create_dir_all(run_of(n)).unwrap();
        std::fs::write(run_of(n).join("stdout"), "line\n").unwrap();
    }
    std::fs::set_permissions(run_of(0), std::fs::Permissions::from_mode(0o000)).unwrap();
    let node = Setup::new(&dir.path().join("data"))
        .arg("--mesos-work-dir", dir.path().join("work"))
        .unprivileged(dir.path())
        .start();
    eventually("lines", || node.count(r#"{executor="e1"}"#), |n| *n == 1);
    eventually("a warning", || node.log(), |log| log.contains("executors/e0/runs/c"));
    assert_names(&node.log(), &["denied"]);
    std::fs::set_permissions(run_of(0), std::fs::Permissions::from_mode(0o755)).unwrap();
    eventually("its lines too", || node.count(r#"{executor="e0"}"#), |n| *n == 1);
}

#[test]
fn a_port_in_use() {
    let dir = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let data = dir.path().join("data");
    let (code, text) = stderr(&["run", "--listen", &addr, "--data", data.to_str().unwrap()]);
    assert_eq!(code, Some(1));
    assert_names(&text, &[&addr, "--listen"]);
    assert!(!data.exists(), "nothing was touched");
}

#[test]
fn malformed_queries() {
    let dir = tempfile::tempdir().unwrap();
    let node = Setup::new(&dir.path().join("data")).start();
    let cases = [
        (r#"{app="x"} |= error"#, "col 14"),
        (r#"{app="x""#, "col"),
        (r#"{app=~"("}"#, "col"),
        (r#"{app=~".*"}"#, "empty-compatible"),
        ("", "query"),
        (r#"{app="x"} | json"#, "not supported yet"),
    ];
    for (query, names) in cases {
        let (status, body) = node.get("/loki/api/v1/query_range", &[("query", query)]);
        assert_eq!(status, 400, "{query}");
        assert_names(&String::from_utf8(body).unwrap(), &[names]);
    }
    let bad_params =
        [("limit", "0"), ("limit", "6000"), ("start", "x"), ("step", "-1"), ("direction", "up")];
    for (name, value) in bad_params {
        let params = [("query", r#"{app="x"}"#), (name, value)];
        let (status, body) = node.get("/loki/api/v1/query_range", &params);
        assert_eq!(status, 400, "{name}={value}: {}", String::from_utf8_lossy(&body));
    }
    let (status, body) = node.get("/no/such/page", &[]);
    assert_eq!(status, 404);
    assert_names(&String::from_utf8(body).unwrap(), &["/no/such/page"]);
}

/// The manifest's last bytes are damaged while the process is stopped: one seal is replayed.
#[test]
fn a_damaged_manifest_tail_is_cut_and_replayed() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("app.log");
    let setup =
        Setup::new(&dir.path().join("data")).arg("--path", &file).arg("--seal-interval", "100ms");
    std::fs::write(&file, "first\n").unwrap();
    let node = setup.start();
    eventually("seals", || node.metric("sawlog_aggregator_seals_total"), |n| *n >= 1.0);
    let mut appended = std::fs::File::options().append(true).open(&file).unwrap();
    appended.write_all(b"second\n").unwrap();
    eventually("seals", || node.metric("sawlog_aggregator_seals_total"), |n| *n >= 2.0);
    assert_eq!(node.terminate(), Some(0));
    let manifest = dir.path().join("data/store/manifest");
    let mut bytes = std::fs::read(&manifest).unwrap();
    let at = bytes.len() - 5;
    bytes[at] ^= 0xff;
    std::fs::write(&manifest, bytes).unwrap();
    let node = setup.start();
    eventually("lines", || node.count(r#"{app="app"}"#), |n| *n == 2);
    assert_same_bytes(&node.export(r#"{app="app"}"#), b"first\nsecond\n", "after the damage");
    assert_names(&node.log(), &["manifest"]);
}

/// The log was thrown away while the store was kept: what comes next is taken all the same.
#[test]
fn a_new_log_beside_an_old_store_loses_nothing_more() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("app.log");
    let setup = Setup::new(&dir.path().join("data")).arg("--path", &file);
    std::fs::write(&file, "first\n").unwrap();
    let node = setup.start();
    eventually("lines", || node.count(r#"{app="app"}"#), |n| *n == 1);
    assert_eq!(node.terminate(), Some(0));
    std::fs::remove_dir_all(dir.path().join("data/log")).unwrap();
    let mut appended = std::fs::File::options().append(true).open(&file).unwrap();
    appended.write_all(b"second\n").unwrap();
    let node = setup.start();
    eventually("lines", || node.count(r#"{app="app"}"#), |n| *n == 2);
    assert_same_bytes(&node.export(r#"{app="app"}"#), b"first\nsecond\n", "after the loss");
}

/// A record of the embedded log is damaged: it is named, and what stands behind it is not lost.
#[test]
fn a_damaged_message_costs_itself() {
    let dir = tempfile::tempdir().unwrap();
    let files: Vec<_> = (0..3).map(|n| dir.path().join(format!("app{n}.log"))).collect();
    let setup = Setup::new(&dir.path().join("data")).arg("--path", dir.path().join("app*.log"));
    let mut node = setup.start();
    for (n, file) in files.iter().enumerate() {
        std::fs::write(file, format!("line of app{n}\n")).unwrap();
        eventually("lines", || node.count(&format!(r#"{{app="app{n}"}}"#)), |n| *n == 1);
    }
    node.kill();
    // The first message: nothing was sealed yet, so all are replayed from the log.
    let log = dir.path().join("data/log/0/00000000000000000000.log");
    let mut bytes = std::fs::read(&log).unwrap();
    bytes[60] ^= 0x55;
    std::fs::write(&log, bytes).unwrap();
    let node = setup.start();
    for n in 1..3 {
        eventually("lines", || node.count(&format!(r#"{{app="app{n}"}}"#)), |n| *n == 1);
    }
    assert_eq!(node.count(r#"{app="app0"}"#), 0);
    assert_names(&node.log(), &["missing", "partition"]);
    assert_eq!(node.metric("sawlog_aggregator_missing_messages_total"), 1.0);
}
