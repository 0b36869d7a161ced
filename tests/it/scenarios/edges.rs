//! Scenario 8, bytes on the edge: lines and characters in several writes, endless lines, bytes that are no
//! text, stack traces with pauses; and the same as a backlog. 6 s pauses instead of 12.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use sawlog_transport::limits::LINE_BYTES_MAX;

use super::verifier::{assert_lost, wait_for_lines};
use super::work::Work;
use super::writer::{append, append_to};
use crate::node::{Node, assert_same_bytes, eventually};

const MIB: usize = 1 << 20;
/// What memory may grow by while an endless line comes.
const RSS_GROWTH_MAX: u64 = 8 << 20;

fn export(node: &Node, container: &str, lines: u64) -> Vec<u8> {
    let selector = format!(r#"{{container="{container}"}}"#);
    wait_for_lines(node, &selector, lines);
    node.export(&selector)
}

#[test]
fn a_line_in_several_writes_is_one_line() {
    let work = Work::new();
    let node = work.node().start();
    let writes: [(&str, [&[u8]; 2]); 3] = [
        ("half", [b"half one ", b"half two\n"]),
        ("char", [b"an owl \xf0\x9f", b"\xa6\x89 at night\n"]),
        ("end", [b"windows\r", b"\n"]),
    ];
    let mut files: Vec<_> = writes.map(|(name, _)| append_to(&work.stdout(name))).into();
    for (file, (_, [first, _])) in files.iter_mut().zip(&writes) {
        file.write_all(first).unwrap();
    }
    // Longer than the end of a container would be waited for.
    std::thread::sleep(Duration::from_secs(6));
    assert_eq!(node.count(r#"{stream="stdout"}"#), 0, "nothing is a line yet");
    for (file, (_, [_, second])) in files.iter_mut().zip(&writes) {
        file.write_all(second).unwrap();
    }
    for (name, parts) in &writes {
        assert_same_bytes(&export(&node, name, 1), &parts.concat(), name);
    }
    assert_eq!(node.metric("sawlog_collector_partial_lines_total"), 0.0);
    assert_lost(&node, &[]);
}

/// Writes a line of so many bytes without an end, and watches the process' memory meanwhile.
fn endless(node: &Node, path: &Path, bytes: usize) -> u64 {
    let mut file = append_to(path);
    let mut highest = 0;
    for _ in 0..bytes / MIB {
        file.write_all(&vec![b'x'; MIB]).unwrap();
        std::thread::sleep(Duration::from_millis(10));
        highest = highest.max(node.rss_anon());
    }
    highest
}

#[test]
fn an_endless_line_is_cut_and_counted_and_the_next_is_whole() {
    let work = Work::new();
    let path = work.stdout("warm");
    append(&path, b"warm\n");
    let node = work.node().start();
    wait_for_lines(&node, r#"{container="warm"}"#, 1);
    let before = node.rss_anon();
    let sizes = [("long", 3 * MIB), ("longer", 40 * MIB)];
    for (name, bytes) in sizes {
        let path = work.stdout(name);
        let highest = endless(&node, &path, bytes);
        append(&path, b"\nok\n");
        let expected = [&vec![b'x'; LINE_BYTES_MAX][..], b"\nok\n"].concat();
        assert_same_bytes(&export(&node, name, 2), &expected, name);
        let grown = highest.saturating_sub(before);
        println!("{name}: RssAnon grew by {} KiB", grown >> 10);
        assert!(grown < RSS_GROWTH_MAX, "{name}: RssAnon grew by {grown} bytes");
    }
    // The terminators too are left out.
    let cut: usize = sizes.iter().map(|(_, bytes)| bytes - LINE_BYTES_MAX + 1).sum();
    assert_eq!(node.metric("sawlog_collector_cut_bytes_total"), cut as f64);
    assert_lost(&node, &[]);
}

#[test]
fn endless_lines_in_a_backlog_are_cut_as_they_are_live() {
    let work = Work::new();
    let sizes = [("long", 3 * MIB), ("longer", 40 * MIB)];
    for (name, bytes) in sizes {
        append(&work.stdout(name), &[&vec![b'x'; bytes][..], b"\nok\n"].concat());
    }
    let node = work.node().start();
    for (name, _) in sizes {
        let expected = [&vec![b'x'; LINE_BYTES_MAX][..], b"\nok\n"].concat();
        assert_same_bytes(&export(&node, name, 2), &expected, name);
    }
    let cut: usize = sizes.iter().map(|(_, bytes)| bytes - LINE_BYTES_MAX + 1).sum();
    assert_eq!(node.metric("sawlog_collector_cut_bytes_total"), cut as f64);
    assert_lost(&node, &[]);
}

#[test]
fn bytes_that_are_no_text_are_kept() {
    let bytes: &[u8] =
        b"bad \xff\xfe utf8\nnul \0 and \0\0\nlone \r in a line\n\n\r\n\xc3\n\xa9\nend\n";
    let work = Work::new();
    append(&work.stdout("backlog"), bytes);
    let node = work.node().start();
    let mut live = append_to(&work.stdout("live"));
    for byte in bytes {
        live.write_all(&[*byte]).unwrap();
        std::thread::sleep(Duration::from_millis(5));
    }
    for name in ["backlog", "live"] {
        assert_same_bytes(&export(&node, name, 8), bytes, name);
    }
    assert_lost(&node, &[]);
}

/// Entries of several languages, each as the lines that it has.
const ENTRIES: [&[&str]; 5] = [
    &["2026-03-01 10:00:00 INFO before anything happened"],
    &[
        "2026-03-01 10:00:01 ERROR java.lang.IllegalStateException: no cart",
        "\tat com.example.Cart.open(Cart.java:17)",
        "\tat com.example.Main.main(Main.java:3)",
        "Caused by: java.io.IOException: gone",
        "\tat com.example.Disk.read(Disk.java:99)",
        "\t... 2 more",
    ],
    &[
        "Traceback (most recent call last):",
        "  File \"/app/main.py\", line 12, in <module>",
        "    main()",
        "  File \"/app/main.py\", line 7, in main",
        "    raise ValueError(\"no cart\")",
        "ValueError: no cart",
    ],
    &[
        "panic: runtime error: index out of range [3] with length 3",
        "",
        "goroutine 1 [running]:",
        "main.main()",
        "\t/app/main.go:8 +0x1d",
        "exit status 2",
    ],
    &["2026-03-01 10:00:02 INFO after it all"],
];

/// Puts the edge of a block into the middle of the first trace.
fn filler() -> String {
    let line = format!("2026-03-01 09:59:59 INFO {}\n", "filler ".repeat(20));
    line.repeat((LINE_BYTES_MAX - 150) / line.len())
}

#[test]
fn stack_traces_are_the_same_entries_live_and_in_a_backlog() {
    let work = Work::new();
    let lines: Vec<String> = ENTRIES.concat().iter().map(|line| format!("{line}\n")).collect();
    let all = filler() + &lines.concat();
    append(&work.stdout("backlog"), all.as_bytes());
    append(&work.stdout("live"), filler().as_bytes());
    let node = work.node().start();
    let mut live = append_to(&work.stdout("live"));
    for (n, line) in lines.iter().enumerate() {
        live.write_all(line.as_bytes()).unwrap();
        // In the middle of each trace, and shorter ones elsewhere.
        let pause = if [2, 9, 15].contains(&n) { 2000 } else { 50 };
        std::thread::sleep(Duration::from_millis(pause));
    }
    drop(live);
    let entries = (filler().lines().count() + ENTRIES.len()) as u64;
    for name in ["backlog", "live"] {
        let selector = format!(r#"{{container="{name}"}}"#);
        let export = || node.export(&selector).len();
        eventually("all lines", export, |bytes| *bytes >= all.len());
        assert_same_bytes(&node.export(&selector), all.as_bytes(), name);
        let counted = node.count(&selector);
        println!("{name}: {counted} entries, {entries} expected");
        assert_eq!(counted, entries, "{name}");
    }
}
