//! `sawlog search` as people and scripts use it.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::node::{Setup, eventually, run, sawlog};

#[test]
fn finds_formats_and_tells_by_its_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("web.log");
    let lines: &[u8] = b"  indented ERROR timeout  \nplain Timeout\nbytes \xff\xfe end timeout\n";
    std::fs::write(&file, lines).unwrap();
    let node = Setup::new(&dir.path().join("data")).arg("--path", &file).start();
    eventually("lines", || node.count(r#"{app="web"}"#), |n| *n == 3);
    let search = |args: &[&str]| {
        let output = run(&[&["search", "--addr", &node.addr], args].concat());
        (output.status.code(), output.stdout, String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let raw = |args: &[&str]| search(&[&["-o", "raw"], args].concat()).1;

    // Never trimmed, and with -o raw the stored bytes.
    assert_eq!(raw(&["timeout"]), b"  indented ERROR timeout  \nbytes \xff\xfe end timeout\n");
    assert_eq!(raw(&["-i", "TIMEOUT"]), lines);
    assert_eq!(raw(&["-v", "timeout"]), b"plain Timeout\n");
    assert_eq!(raw(&["-n", "1", "timeout"]), b"bytes \xff\xfe end timeout\n");
    assert_eq!(raw(&["-n", "0", "app:web"]), lines);
    assert_eq!(raw(&["level:error"]), b"  indented ERROR timeout  \n");
    assert_eq!(raw(&[r#"{app="web"} |= "plain""#]), b"plain Timeout\n");

    // Flags count wherever they stand; words that begin with a hyphen stand behind `--`.
    assert_eq!(search(&["timeout", "-n", "1", "-o", "raw"]).1, b"bytes \xff\xfe end timeout\n");
    assert_eq!(raw(&["timeout", "--", "-bytes"]), b"  indented ERROR timeout  \n");
    assert_eq!(raw(&["ERROR timeout", "indented"]), b"  indented ERROR timeout  \n");
    let (code, _, stderr) = search(&["--limt", "5", "x"]);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("--limt") && stderr.contains("--limit"), "{stderr}");

    let (code, stdout, _) = search(&["indented"]);
    let text = String::from_utf8(stdout).unwrap();
    assert_eq!(code, Some(0));
    assert!(text.ends_with("web file   indented ERROR timeout  \n"), "{text:?}");

    let (_, stdout, _) = search(&["-o", "jsonl", "bytes"]);
    let entry: serde_json::Value = serde_json::from_slice(&stdout).unwrap();
    assert_eq!(entry["line"], "bytes \u{fffd}\u{fffd} end timeout");
    assert_eq!(entry["invalid_utf8"], true);
    assert_eq!(entry["labels"]["app"], "web");
    assert_eq!(entry["fields"]["detected_level"], "unknown");
    assert!(entry["uid"].as_str().unwrap().ends_with(".29"), "{entry}");

    let (code, stdout, stderr) = search(&["no such word"]);
    assert_eq!((code, stdout.len(), stderr.as_str()), (Some(1), 0, ""));
    let (code, _, stderr) = search(&[r#"{app="web"} |= error"#]);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("col") && stderr.contains('^'), "{stderr}");
    let (code, _, stderr) = search(&["-s", "yesterday", "x"]);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("--since yesterday"), "{stderr}");
}

#[test]
fn an_address_where_nobody_listens_is_named() {
    let output = run(&["search", "--addr", "http://127.0.0.1:1", "x"]);
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(stderr.contains("http://127.0.0.1:1") && stderr.contains("--addr"), "{stderr}");
}

/// Colours are asked for here, as no terminal is there; what the lines hold is then not obeyed.
#[test]
fn colours_mark_levels_and_matches_and_lines_cannot_add_any() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("web.log");
    std::fs::write(&file, "ERROR \x1b[32mgreen timeout\n").unwrap();
    let node = Setup::new(&dir.path().join("data")).arg("--path", &file).start();
    eventually("lines", || node.count(r#"{app="web"}"#), |n| *n == 1);
    let search = |args: &[&str]| {
        let output = run(&[&["search", "--addr", &node.addr, "timeout"], args].concat());
        assert_eq!(output.status.code(), Some(0));
        String::from_utf8(output.stdout).unwrap()
    };
    let plain = search(&[]);
    assert!(plain.ends_with(" web file ERROR \x1b[32mgreen timeout\n"), "{plain:?}");
    assert_eq!(search(&["--color", "never"]), plain);
    let coloured = search(&["--color", "always"]);
    let (red, bold) = ("\x1b[31m", "\x1b[1m\x1b[4m\x1b[31m");
    let expected = format!("{red}ERROR \u{241b}[32mgreen \x1b[0m{bold}timeout\x1b[0m\n");
    assert!(coloured.ends_with(&expected), "{coloured:?}");
    // The stored bytes stay the stored bytes.
    let raw = search(&["--color", "always", "-o", "raw"]);
    assert_eq!(raw, "ERROR \x1b[32mgreen timeout\n");
}

/// `| head -1`: the command ends with success, and the server stops reading the store.
#[test]
fn whoever_has_seen_enough_stops_the_server() {
    const LINES: usize = 240_000;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("big.log");
    let text: String = (0..LINES).map(|n| format!("line {n:06} {:-<120}\n", "")).collect();
    std::fs::write(&file, &text).unwrap();
    let node = Setup::new(&dir.path().join("data")).arg("--path", &file).start();
    eventually("lines", || node.count(r#"{app="big"}"#), |n| *n == LINES as u64);
    let before = node.metric("sawlog_query_scanned_bytes_total");
    let running = || node.metric(r#"sawlog_requests_running{kind="export"}"#);
    let mut search = sawlog()
        .args(["search", "--addr", &node.addr, "-o", "raw", "-n", "0", "app:big"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(search.stdout.take().unwrap());
    let mut first = String::new();
    stdout.read_line(&mut first).unwrap();
    assert_eq!(first, text[..first.len()]);
    // Nobody reads on, so that the export stands still in the middle.
    eventually("an export that runs", running, |n| *n == 1.0);
    drop(stdout);
    assert_eq!(search.wait().unwrap().code(), Some(0));
    eventually("the end of the export", running, |n| *n == 0.0);
    let scanned = node.metric("sawlog_query_scanned_bytes_total") - before;
    assert!(scanned > 0.0 && scanned < text.len() as f64 * 0.8, "{scanned} of {}", text.len());
}
