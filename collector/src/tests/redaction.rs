//! Secrets in the lines of containers: whole, cut by rotations and limits, and through restarts.

use std::fs;
use std::io::Write;
use std::time::Duration;

use sawlog_transport::limits::LINE_BYTES_MAX;

use super::fixture::{Fixture, RUN};

const KEY: [&str; 6] = [
    "key: -----BEGIN RSA PRIVATE KEY-----",
    "MIIEpAIBAAKCAQEA7bq1firstline",
    "MIIEsecondline0123456789abcdef",
    "MIIEthirdline0123456789abcdef",
    "lastline==",
    "-----END RSA PRIVATE KEY-----",
];

fn out(suffix: &str) -> String {
    format!("{RUN}/stdout{suffix}")
}

/// The kind of the tag that a line is; the line if it is none.
fn kinds(lines: &[String]) -> Vec<String> {
    let kind = |line: &String| {
        let kind = line.strip_prefix("[redacted:").and_then(|rest| rest.split(':').next());
        kind.unwrap_or(line).to_owned()
    };
    lines.iter().map(kind).collect()
}

#[test]
fn a_kill_inside_a_private_key_shows_nothing_of_it() {
    for killed_after in 1..KEY.len() {
        for forgets in [false, true] {
            let mut f = Fixture::new();
            f.append(&out(""), "before\n");
            for line in &KEY[..killed_after] {
                f.append(&out(""), format!("{line}\n"));
                f.pump();
            }
            f.wait(Duration::from_secs(1));
            f.kill();
            if forgets {
                f.forget_checkpoints();
            }
            f.start();
            for line in &KEY[killed_after..] {
                f.append(&out(""), format!("{line}\n"));
                f.pump();
            }
            f.append(&out(""), "after\n");
            f.pump();
            let lines = f.stdout();
            assert!(lines[1].starts_with("key: [redacted:pem:"), "{lines:?}");
            let kinds = kinds(&lines);
            assert_eq!(kinds[2..], ["pem", "pem", "pem", "pem", "pem", "after"], "{killed_after}");
            f.assert_complete(&out(""));
        }
    }
}

#[test]
fn live_and_backlog_show_the_same() {
    let text = format!("a\n{}\npassword=hunter2 \u{1b}[31mx\nb\n", KEY.join("\n"));
    let mut backlog = Fixture::new();
    backlog.append(&out(""), &text);
    backlog.pump();
    // The hashes have a key; it is the same for both.
    let mut live = Fixture::new();
    live.kill();
    let name = "redaction-key";
    fs::copy(backlog.config.data_dir.join(name), live.config.data_dir.join(name)).expect("copy");
    live.start();
    for part in text.as_bytes().chunks(7) {
        live.append(&out(""), part);
        live.pump();
    }
    assert_eq!(live.stdout(), backlog.stdout());
    assert_eq!(live.stdout().len(), 9);
    assert_eq!(live.metrics.redacted.with_label_values(&["pem"]).get(), 6);
    assert_eq!(live.metrics.redacted.with_label_values(&["pair"]).get(), 1);
}

#[test]
fn a_secret_that_a_rotation_or_two_writes_cut_is_found() {
    let mut f = Fixture::new();
    f.append(&out(""), "one\ntoken=abcd1234");
    f.pump();
    f.append(&out(""), "efgh5678 x\nlogin password=hun");
    f.pump();
    f.rename(&out(""), &out(".1"));
    f.append(&out(""), "ter2 y\n");
    f.wait(Duration::from_secs(10));
    let lines = f.stdout();
    assert_eq!(lines.len(), 3);
    assert!(lines[1].starts_with("token=[redacted:pair:") && lines[1].ends_with("] x"));
    assert!(lines[2].starts_with("login password=[redacted:pair:") && lines[2].ends_with("] y"));
    f.assert_complete(&out(""));
    f.assert_complete(&out(".1"));
}

/// A secret, and what stands before it.
const SPLIT: [(&str, &str); 8] = [
    ("value: ", "correct horse battery"),
    ("cloning with ", "ghp_abcdefghij0123456789abcdefghij012345"),
    ("key SG.abcdefghij012345678901.", "abcdefghij0123456789abcdefghij0123456789abc"),
    ("DB_PASSWORD=", "hunter2hunter2"),
    ("> Authorization: Bearer ", "a1b2c3d4e5f6g7h8"),
    ("postgres://app:", "url-pass-word-5@db/x"),
    ("jwt ", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.abcdefghijklmnop"),
    ("card ", "4111 1111 1111 1111"),
];

/// Bytes of a secret that may be seen of it.
const SEEN_MAX: usize = 6;

#[test]
fn a_line_that_was_handed_on_half_shows_no_half_of_a_secret_when_it_goes_on() {
    for (n, (before, secret)) in SPLIT.into_iter().enumerate() {
        let line = format!("{before}{secret} after");
        for cut in (1..line.len()).step_by(3) {
            let mut f = Fixture::new();
            f.kill();
            let path = f.path("secrets");
            fs::write(&path, "correct horse battery\n").expect("write");
            f.config.secret_files = vec![path];
            f.start();
            f.append(&out(""), "first\n");
            f.append(&out(""), &line[..cut]);
            f.wait(Duration::from_secs(61));
            assert_eq!(f.stdout().len(), 2, "{cut} of '{line}' is handed on");
            if (n + cut) % 2 == 0 {
                f.restart();
            }
            f.append(&out(""), format!("{}\nnext\n", &line[cut..]));
            f.pump();
            let lines = f.stdout();
            assert_eq!((lines.len(), &lines[3][..]), (4, "next"), "{lines:?}");
            for piece in secret.as_bytes().windows(SEEN_MAX) {
                let piece = String::from_utf8_lossy(piece).into_owned();
                let is_seen = lines.iter().any(|line| line.contains(&piece));
                assert!(!is_seen, "'{piece}' at {cut}: {lines:?}");
            }
            f.assert_complete(&out(""));
        }
    }
}

#[test]
fn a_secret_that_the_longest_line_cuts_shows_no_half() {
    let secret = "ghp_abcdefghij0123456789abcdefghij012345";
    for inside in [5, 10, 39] {
        let mut f = Fixture::new();
        let filler = "x ".repeat((LINE_BYTES_MAX - inside) / 2 + 1);
        let line =
            format!("{}{secret} rest\nnext\n", &filler[filler.len() - (LINE_BYTES_MAX - inside)..]);
        f.append(&out(""), line);
        f.pump();
        let lines = f.stdout();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].len() <= LINE_BYTES_MAX && !lines[0].contains("ghp_a"), "{inside}");
        assert_eq!(lines[1], "next");
        f.assert_complete(&out(""));
    }
}

#[test]
fn secret_files_count_at_once_and_after_a_change() {
    let mut f = Fixture::new();
    f.kill();
    let path = f.path("secrets");
    fs::write(&path, "correct horse\n").expect("write");
    f.config.secret_files = vec![path.clone()];
    f.start();
    f.append(&out(""), "a correct horse here\na battery staple here\n");
    f.pump();
    fs::write(&path, "battery staple\nx").expect("write");
    f.wait(Duration::from_secs(3));
    assert_eq!(f.metrics.secret_file_errors.get(), 1);
    f.append(&out(""), "still a correct horse\n");
    f.pump();
    fs::write(&path, "battery staple\n").expect("write");
    f.wait(Duration::from_secs(3));
    f.append(&out(""), "now a battery staple\n");
    f.pump();
    let lines = f.stdout();
    assert!(lines[0].starts_with("a [redacted:exact:") && lines[0].ends_with("] here"));
    assert_eq!(lines[1], "a battery staple here");
    assert!(lines[2].starts_with("still a [redacted:exact:"));
    assert!(lines[3].starts_with("now a [redacted:exact:"));
}

#[test]
fn without_redaction_lines_stay() {
    let mut f = Fixture::new();
    f.kill();
    f.config.redaction = false;
    f.start();
    f.append(&out(""), "password=hunter2\n");
    f.pump();
    assert_eq!(f.stdout(), ["password=hunter2"]);
}

#[test]
fn a_run_that_grows_beyond_its_frame_is_two_runs() {
    let mut f = Fixture::new();
    let mut writer = f.writer(&out(""));
    for n in 0..20_000 {
        writeln!(writer, "password={n}").expect("write");
    }
    drop(writer);
    f.pump();
    let lines = f.stdout();
    assert_eq!(lines.len(), 20_000);
    assert!(lines.iter().all(|line| line.starts_with("password=[redacted:pair:")));
    f.assert_complete(&out(""));
    assert_eq!(
        (f.duplicates(), f.metrics.redacted.with_label_values(&["pair"]).get()),
        (0, 20_000)
    );
}
