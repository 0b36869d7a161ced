//! Secrets in the logs of containers, and every byte that the process leaves behind.

use std::io::Read;
use std::path::Path;

use crate::node::{Node, Setup, eventually};

const EXACT: &str = "my own s3cret value";

/// A secret, and a line that it leaks in.
const LEAKS: [(&str, &str); 17] = [
    (EXACT, "plain: my own s3cret value"),
    (EXACT, r#"{"msg":"json my own s3cret value","n":1}"#),
    (EXACT, "level=info v=\"my own s3cret value\""),
    ("bXkgb3duIHMzY3JldCB2YWx1Z", "base64 bXkgb3duIHMzY3JldCB2YWx1ZQ=="),
    ("my%20own%20s3cret%20value", "GET /?q=my%20own%20s3cret%20value HTTP/1.1"),
    (
        "ghp_abcdefghij0123456789abcdefghij012345",
        "cloning with ghp_abcdefghij0123456789abcdefghij012345",
    ),
    ("AKIAZ7Q2X4M6R8T1W3B5", r#"{"key":"AKIAZ7Q2X4M6R8T1W3B5"}"#),
    (
        "eyJzdWIiOiIxMjM0NTY3ODkwIn0",
        "jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.abcdefghijklmnop",
    ),
    ("hunter2hunter2", "DB_PASSWORD=hunter2hunter2"),
    ("swordfish99", r#"{"user":"x","password":"swordfish99"}"#),
    ("tok-in-header-1", "Authorization: Bearer tok-in-header-1"),
    ("cookie-value-77", "Cookie: sid=cookie-value-77; theme=dark"),
    ("url-pass-word-5", "connecting to postgres://app:url-pass-word-5@db:5432/x"),
    ("coloured-pass-3", "\x1b[31mpassword\x1b[0m=\x1b[1mcoloured-pass-3\x1b[0m"),
    ("4111 1111 1111 1111", "card 4111 1111 1111 1111 declined"),
    ("trace-pass-word-8", "\tat com.example.Pool.open(password=trace-pass-word-8)"),
    (
        "MIIEpAIBAAKCAQEA7bq1",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7bq1\n-----END RSA PRIVATE KEY-----",
    ),
];

/// Stands in a line without secrets: what is looked through does hold lines.
const MARKER: &str = "a line without any secret";

/// A file's bytes, and those of all that is compressed in it.
fn contents(path: &Path) -> Vec<Vec<u8>> {
    const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
    const INFLATED_BYTES_MAX: u64 = 4 << 20;
    let bytes = std::fs::read(path).unwrap();
    let inflate = |at: usize| {
        let mut text = Vec::new();
        let decoder = zstd::stream::read::Decoder::new(&bytes[at..]).unwrap().single_frame();
        // What only looks like a beginning gives what it gives.
        decoder.take(INFLATED_BYTES_MAX).read_to_end(&mut text).unwrap_or_default();
        text
    };
    let mut all: Vec<Vec<u8>> = memchr::memmem::find_iter(&bytes, &ZSTD).map(inflate).collect();
    all.push(bytes);
    all
}

fn files_below(dir: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files_below(&path, found) } else { found.push(path) }
    }
}

fn assert_no_secret(place: &str, bytes: &[u8]) {
    for (secret, _) in LEAKS {
        let found = memchr::memmem::find(bytes, secret.as_bytes());
        assert!(found.is_none(), "'{secret}' is in {place}");
    }
}

/// Looks through a data directory; tells in which of its directories lines were found.
fn assert_clean(data: &Path) -> Vec<String> {
    let (mut files, mut with_lines) = (Vec::new(), Vec::new());
    files_below(data, &mut files);
    for path in files {
        let name = path.strip_prefix(data).unwrap().to_string_lossy().into_owned();
        for bytes in contents(&path) {
            assert_no_secret(&name, &bytes);
            if memchr::memmem::find(&bytes, MARKER.as_bytes()).is_some() {
                with_lines.push(name.split('/').next().unwrap_or_default().to_owned());
            }
        }
    }
    with_lines.sort();
    with_lines.dedup();
    with_lines
}

fn assert_answers_clean(node: &Node) {
    for path in ["/metrics", "/", "/ready", "/api/v1/streams", "/api/v1/status"] {
        assert_no_secret(path, &node.get(path, &[]).1);
    }
    let query = [("query", r#"{stream="file"} |= "redacted""#), ("limit", "1000")];
    let params = [("query", r#"{stream="file"}"#), ("limit", "1000"), ("start", "0")];
    assert_no_secret("a query", &node.get("/loki/api/v1/query_range", &query).1);
    assert_no_secret("a query", &node.get("/loki/api/v1/query_range", &params).1);
    assert_no_secret("stderr", node.log().as_bytes());
}

#[test]
fn no_secret_leaves_the_collector() {
    let dir = tempfile::tempdir().unwrap();
    let logs = dir.path().join("logs");
    std::fs::create_dir(&logs).unwrap();
    let secrets = dir.path().join("secrets");
    std::fs::write(&secrets, format!("{EXACT}\n")).unwrap();
    let lines: Vec<&str> = LEAKS.iter().map(|(_, line)| *line).chain([MARKER]).collect();
    let text = format!("{}\n", lines.join("\n"));
    for (secret, _) in LEAKS {
        assert!(text.contains(secret), "the line leaks '{secret}'");
    }
    let setup = Setup::new(&dir.path().join("data"))
        .arg("--path", logs.join("*.log"))
        .arg("--secret-file", &secrets)
        .arg("--seal-interval", "1s");
    let mut node = setup.start().ready();
    std::fs::write(logs.join("a.log"), &text).unwrap();
    let n_lines = text.lines().count() as u64;
    // The line of a stack trace belongs to the entry before it.
    let n_entries = n_lines - 1;
    eventually("all lines", || node.count(r#"{stream="file"}"#), |count| *count == n_entries);
    assert_answers_clean(&node);
    assert!(node.metric("sawlog_collector_redacted_total") >= LEAKS.len() as f64);
    // The log and, after the kill, the store: whatever is on disk at this moment and at the next.
    let in_log = assert_clean(&setup.data);
    node.kill();
    assert_clean(&setup.data);
    let node = setup.start().ready();
    let exported = node.export(r#"{stream="file"}"#);
    assert_no_secret("an export", &exported);
    let exported = String::from_utf8(exported).unwrap();
    assert_eq!(exported.lines().count() as u64, n_lines, "{exported}");
    assert!(exported.contains(MARKER) && exported.matches("[redacted:exact:").count() == 5);
    assert_answers_clean(&node);
    assert_eq!(node.terminate(), Some(0));
    let in_store = assert_clean(&setup.data);
    assert!(!in_log.is_empty() && !in_store.is_empty(), "lines are found where they are");
}

#[test]
fn without_redaction_it_is_said_and_lines_stay() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("a.log");
    std::fs::write(&log, "password=hunter2\n").unwrap();
    let setup = Setup::new(&dir.path().join("data")).arg("--path", &log).flag("--no-redaction");
    let node = setup.start().ready();
    eventually("the line", || node.count(r#"{stream="file"}"#), |count| *count == 1);
    assert_eq!(node.export(r#"{stream="file"}"#), b"password=hunter2\n");
}

#[test]
fn a_secret_file_that_cannot_be_used_stops_the_start_and_is_not_quoted() {
    let dir = tempfile::tempdir().unwrap();
    let secrets = dir.path().join("secrets");
    std::fs::write(&secrets, "long enough\nhush\n").unwrap();
    let setup = Setup::new(&dir.path().join("data"))
        .arg("--path", dir.path().join("*.log"))
        .arg("--secret-file", &secrets);
    let (code, said) = setup.run_to_end();
    assert!(code != Some(0) && said.contains("line 2 of the secret file"), "{said}");
    assert!(!said.contains("hush") && !said.contains("long enough"), "{said}");
}
