//! `sawlog search` as people and scripts use it.

use crate::node::{Setup, eventually, run};

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
