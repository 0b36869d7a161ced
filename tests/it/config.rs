//! `sawlog config`, and which setting wins, as an operator meets them.

use std::path::Path;

use crate::node::{Setup, eventually, run, sawlog};

fn write(dir: &Path, text: &str) -> String {
    let file = dir.join("sawlog.toml");
    std::fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn check_says_everything_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let file = write(
        dir.path(),
        "seal_intervall = \"2s\"\n\nlisten = 7411\nretention = \"3x\"\nretention_bytes = 100\n",
    );
    for args in [&["config", "check", &file][..], &["run", "--config", &file]] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(78), "{args:?}");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        for part in [
            "sawlog.toml:1:1: unknown key `seal_intervall`: did you mean `seal_interval`?",
            "sawlog.toml:3:10: `listen` must not be of type integer",
            "sawlog.toml:4:13: `retention`: '3x' is no duration",
            "sawlog.toml:5:19: `retention_bytes`: 100 bytes would drop nearly everything",
        ] {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
    }
}

#[test]
fn check_passes_what_a_run_takes_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let file = write(dir.path(), "retention_bytes = \"50GiB\"\n");
    let output = run(&["config", "check", &file]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{file}: fine\n"));
    write(dir.path(), "listen = \"0.0.0.0:7411\"\n");
    let output = run(&["config", "check", &file]);
    assert_eq!(output.status.code(), Some(78));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("sawlog.toml:1:") && text.contains("no_auth_i_know"), "{text}");
    let output = run(&["config", "check", "/nonexistent.toml"]);
    assert_eq!(output.status.code(), Some(78));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("/nonexistent.toml") && !text.contains("--config"), "{text}");
}

#[test]
fn a_flag_wins_over_the_environment_and_that_over_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let text = "data = \"/file\"\nseal_interval = \"1s\"\nretention = \"30d\"\ndemo = true\n";
    let file = write(dir.path(), text);
    let output = sawlog()
        .args(["config", "show", "--data", "/flag"])
        .env("SAWLOG_CONFIG", &file)
        .env("SAWLOG_DATA", "/environment")
        .env("SAWLOG_SEAL_INTERVAL", "2s")
        .env("SAWLOG_DEMO", "no")
        .output()
        .unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    for line in [
        "data = \"/flag\"  # --data",
        "seal_interval = \"2s\"  # SAWLOG_SEAL_INTERVAL",
        "demo = false  # SAWLOG_DEMO",
        &format!("retention = \"30d\"  # {file}:3"),
        "listen = \"127.0.0.1:7411\"  # default",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line:?} is not in\n{shown}");
    }
}

/// The sample is used as it is, but for what the test must not touch.
#[test]
fn the_sample_file_starts_a_node() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/sawlog.toml");
    let output = run(&["config", "check", sample.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let dir = tempfile::tempdir().unwrap();
    let node = Setup::new(&dir.path().join("data")).arg("--config", sample).start();
    eventually("ready", || node.get("/ready", &[]).0, |status| *status == 200);
}

/// Each ends at once, with a code and a text that says what to do.
#[test]
fn what_keeps_a_run_from_starting_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let file = write(dir.path(), "");
    let data = dir.path().join("data").display().to_string();
    let elsewhere = ["--no-auth-i-know", "--listen", "192.0.2.1:7411", "--data", &data];
    for (args, code, said) in [
        (&["--data", &data, "--path", "/["][..], 78, "`--path`: path '/[' is not a valid glob"),
        (&["--data", &data, "--path", ""], 78, "names no file"),
        (&["--data", &data, "--retention-bytes", "100"], 78, "(at least 64MiB)"),
        (&["--listen", "127.0.0.1:0", "--data", &file], 1, "is a file: name a directory"),
        (&elsewhere, 1, "this machine does not have the address 192.0.2.1"),
        (&["--listen", "localhost:7411"], 2, "write IP:PORT, such as 127.0.0.1:7411"),
    ] {
        let output = run(&[&["run"], args].concat());
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
        assert!(text.contains(said), "{args:?}: {said:?} is not in\n{text}");
    }
}
