//! Real files of a journal, read by the real journalctl. They are written by systemd-journal-remote, which
//! needs no systemd to run.

use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::node::{Setup, assert_same_bytes, eventually};
use crate::tools;

const BOOT: &str = "0123456789abcdef0123456789abcdef";
const NEXT_BOOT: &str = "fedcba9876543210fedcba9876543210";
/// Of entry 0, in microseconds.
const BEGIN: u64 = 1_787_216_400_000_000;
const BOOT_OF: u64 = 1_000_000;
const CONTAINER: &str =
    r#"{agent="S1", framework="F1", executor="E1", container="c1", stream="stdout"}"#;

/// A directory with a journal.
struct Journal {
    dir: PathBuf,
    writer: PathBuf,
}

impl Journal {
    /// `None` where there is nothing that writes one, or that reads it.
    fn new(dir: &Path) -> Option<Self> {
        tools::find("journalctl", "systemd")?;
        let writer = tools::find("systemd-journal-remote", "systemd-journal-remote")?;
        std::fs::create_dir(dir).unwrap();
        Some(Self { dir: dir.to_owned(), writer })
    }

    /// Adds entries to one of its files.
    fn append(&self, file: &str, exported: &[u8]) {
        let mut command = Command::new(&self.writer);
        command.arg("-o").arg(self.dir.join(file)).arg("-").stderr(Stdio::null());
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(exported).unwrap();
        assert!(child.wait().unwrap().success());
    }
}

/// A field in the export format: on one line, or with its length before it.
fn field(name: &str, value: &[u8]) -> Vec<u8> {
    if value.iter().all(|byte| (0x20..0x7f).contains(byte)) {
        return [name.as_bytes(), b"=", value, b"\n"].concat();
    }
    let length = (value.len() as u64).to_le_bytes();
    [name.as_bytes(), b"\n", &length, value, b"\n"].concat()
}

/// Entry `n` of whoever has this user number.
fn entry(n: u64, boot: &str, uid: &str, fields: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = field("__REALTIME_TIMESTAMP", (BEGIN + n * 1000).to_string().as_bytes());
    out.extend(field("__MONOTONIC_TIMESTAMP", (BOOT_OF + n * 1000).to_string().as_bytes()));
    out.extend(field("_BOOT_ID", boot.as_bytes()));
    out.extend(field("_UID", uid.as_bytes()));
    for (name, value) in fields {
        out.extend(field(name, value));
    }
    out.push(b'\n');
    out
}

/// What a container wrote as entry `n`: lines of all kinds.
fn message(n: u64) -> Vec<u8> {
    match n % 10 {
        3 => format!("first line of {n}\n  and a second one").into_bytes(),
        5 => [format!("bytes of {n} ").as_bytes(), b"\xff\x01\x1b[0m caf\xc3\xa9"].concat(),
        7 => format!("long {n} {}", "x".repeat(60_000)).into_bytes(),
        _ => format!("line {n}").into_bytes(),
    }
}

fn of_container<'a>(container: &'a str, text: &'a [u8]) -> [(&'static str, &'a [u8]); 6] {
    [
        ("AGENT_ID", b"S1"),
        ("FRAMEWORK_ID", b"F1"),
        ("EXECUTOR_ID", b"E1"),
        ("CONTAINER_ID", container.as_bytes()),
        ("STREAM", b"STDOUT"),
        ("MESSAGE", text),
    ]
}

fn logged(numbers: Range<u64>, boot: &str) -> Vec<u8> {
    let of = |n: u64| entry(n, boot, "0", &of_container("c1", &message(n)));
    numbers.flat_map(of).collect()
}

fn lines(numbers: Range<u64>) -> Vec<u8> {
    numbers.flat_map(|n| [&message(n)[..], b"\n"].concat()).collect()
}

fn line_count(numbers: Range<u64>) -> u64 {
    lines(numbers).iter().filter(|byte| **byte == b'\n').count() as u64
}

fn setup(dir: &Path, journal: &Journal) -> Setup {
    Setup::new(&dir.join("data")).arg("--journal-dir", &journal.dir)
}

#[test]
fn each_entry_of_a_real_journal_is_found_once() {
    let temp = tempfile::tempdir().unwrap();
    let Some(journal) = Journal::new(&temp.path().join("journal")) else { return };
    let setup = setup(temp.path(), &journal);
    journal.append("system.journal", &logged(0..100, BOOT));
    let mut node = setup.start();
    let found = |node: &crate::node::Node, up_to: u64| {
        eventually("lines", || node.count(CONTAINER), |count| *count == line_count(0..up_to));
    };
    found(&node, 100);
    // While it runs, among what is none of a container's and what only says that it is.
    let others = [
        entry(100, BOOT, "0", &[("MESSAGE", b"of a service")]),
        entry(100, BOOT, "1000", &of_container("c1", b"forged")),
        entry(100, BOOT, "0", &of_container("c1.n1", b"nested")),
    ];
    journal.append("system.journal", &[others.concat(), logged(100..200, BOOT)].concat());
    found(&node, 200);
    journal.append("system.journal", &logged(200..300, BOOT));
    node.kill();
    // The machine ends and starts, the journal has another file, and nobody looks.
    journal.append("system.journal", &logged(300..400, BOOT));
    journal.append("next.journal", &logged(400..500, NEXT_BOOT));
    let node = setup.start().ready();
    found(&node, 500);
    journal.append("next.journal", &logged(500..600, NEXT_BOOT));
    found(&node, 600);
    assert_same_bytes(&node.export(CONTAINER), &lines(0..600), CONTAINER);
    assert_eq!(node.count(r#"{container="c1.n1"}"#), 1);
    assert_eq!(node.count(r#"{host=~".+"}"#), line_count(0..600) + 1, "nothing else");
    assert_eq!(node.metric("sawlog_collector_journal_gaps_total"), 0.0);
    assert_eq!(node.terminate(), Some(0));
}

#[test]
fn a_journal_that_forgot_where_we_were_is_gone_on_with_and_that_is_told() {
    let temp = tempfile::tempdir().unwrap();
    let Some(journal) = Journal::new(&temp.path().join("journal")) else { return };
    let setup = setup(temp.path(), &journal);
    journal.append("old.journal", &logged(0..10, BOOT));
    let node = setup.start();
    eventually("lines", || node.count(CONTAINER), |count| *count == line_count(0..10));
    assert_eq!(node.terminate(), Some(0));
    std::fs::remove_file(journal.dir.join("old.journal")).unwrap();
    journal.append("new.journal", &logged(20..30, BOOT));
    let node = setup.start().ready();
    let all = [lines(0..10), lines(20..30)].concat();
    let count = line_count(0..10) + line_count(20..30);
    eventually("lines", || node.count(CONTAINER), |found| *found == count);
    assert_same_bytes(&node.export(CONTAINER), &all, CONTAINER);
    assert_eq!(node.metric("sawlog_collector_journal_gaps_total"), 1.0);
    assert!(node.log().contains("has deleted the entry up to which it was read"));
    assert_eq!(node.terminate(), Some(0));
}
