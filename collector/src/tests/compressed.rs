//! Rotated files that were compressed: what was read of their originals is known again, by content.

use std::process::Command;
use std::time::Duration;

use super::fixture::{Fixture, RUN};

const SECOND: Duration = Duration::from_secs(1);

fn out(suffix: &str) -> String {
    format!("{RUN}/stdout{suffix}")
}

/// As `gzip` does it: the compressed file is there before the original goes.
fn gzip(f: &Fixture, suffix: &str) {
    let done = Command::new("gzip").arg(f.path(&out(suffix))).status().expect("gzip runs");
    assert!(done.success());
}

fn lines(tag: &str, count: usize) -> String {
    (0..count).map(|n| format!("banner {tag} {n:06} {}\n", "x".repeat(40))).collect()
}

fn expected(parts: &[&str]) -> Vec<String> {
    parts.concat().lines().map(str::to_owned).collect()
}

#[test]
fn what_was_read_before_it_was_compressed_is_not_repeated() {
    for down in [false, true] {
        let mut f = Fixture::new();
        let (a, unread, b) = (lines("A", 500), lines("U", 100), lines("B", 3));
        f.append(&out(""), &a);
        f.wait(SECOND);
        if down {
            f.kill();
        }
        f.append(&out(""), &unread);
        f.rename(&out(""), &out(".1"));
        f.append(&out(""), &b);
        if !down {
            f.pump();
        }
        gzip(&f, ".1");
        if down {
            f.start();
        }
        f.wait(20 * SECOND);
        f.restart();
        f.wait(20 * SECOND);
        assert_eq!(f.stdout(), expected(&[&a, &unread, &b]));
        let all = a.len() + unread.len() + b.len();
        assert_eq!(f.metrics.read_bytes.get() as usize, all, "nothing is read twice");
        f.assert_nothing_lost();
    }
}

#[test]
fn a_compressed_file_of_which_nothing_is_known_is_read_whole_and_only_once() {
    let mut f = Fixture::new();
    f.kill();
    let (old, new) = (lines("old", 20_000), lines("new", 2));
    f.append(&out(".2"), &old);
    gzip(&f, ".2");
    f.append(&out(""), &new);
    f.start();
    f.wait(20 * SECOND);
    assert!(f.stdout() == expected(&[&old, &new]));
    f.kill();
    f.forget_checkpoints();
    f.start();
    f.wait(20 * SECOND);
    assert_eq!(f.stdout().len(), 20_002);
    let read = f.metrics.read_bytes.get();
    f.restart();
    f.wait(20 * SECOND);
    assert_eq!(f.metrics.read_bytes.get(), read, "it is known to be finished");
}

/// `copytruncate` and `compress` together, while nobody looks.
#[test]
fn a_compressed_copy_of_a_truncated_file_gives_what_was_not_read() {
    let mut f = Fixture::new();
    let (a, unread, b) = (lines("A", 50), lines("U", 5), lines("B", 80));
    f.append(&out(""), &a);
    f.wait(SECOND);
    f.kill();
    f.append(&out(""), &unread);
    f.copy(&out(""), &out(".1"));
    f.truncate(&out(""));
    gzip(&f, ".1");
    f.append(&out(""), &b);
    f.start();
    f.wait(20 * SECOND);
    assert_eq!(f.stdout(), expected(&[&a, &unread, &b]));
    assert_eq!((f.duplicates(), f.lost("truncated")), (0, 0));
}

/// A restart between the time when the copy is known and when it is read on.
#[test]
fn a_known_compressed_copy_is_inflated_before_anything_counts_as_lost() {
    let mut f = Fixture::new();
    let (a, unread, b) = (lines("A", 50), lines("U", 5), lines("B", 80));
    f.append(&out(""), &a);
    f.wait(SECOND);
    f.append(&out(""), &unread);
    f.copy(&out(""), &out(".1"));
    gzip(&f, ".1");
    f.wait(20 * SECOND);
    f.kill();
    f.truncate(&out(""));
    f.append(&out(""), &b);
    f.start();
    f.wait(20 * SECOND);
    f.wait(20 * SECOND);
    assert_eq!(f.stdout(), expected(&[&a, &unread, &b]));
    assert_eq!((f.duplicates(), f.lost("truncated")), (0, 0));
}

/// Where damage is noticed depends on the bytes: at once, or only by the checksum at the end.
#[test]
fn a_damaged_file_gives_what_inflates_and_tells_of_the_rest() {
    let mut told = 0;
    for fill in [0xff, 0x00, 0xaa, 0x77] {
        let mut f = Fixture::new();
        f.kill();
        let content = lines("A", 20_000);
        f.append(&out(".1"), &content);
        gzip(&f, ".1");
        let path = f.path(&out(".1.gz"));
        let mut bytes = std::fs::read(&path).expect("read");
        let middle = bytes.len() / 2;
        bytes[middle..middle + 64].fill(fill);
        std::fs::write(&path, &bytes).expect("write");
        f.start();
        f.wait(20 * SECOND);
        let (read, lost) = (f.metrics.read_bytes.get(), f.lost("corrupt"));
        assert!(read > 0 && f.metrics.scan_errors.get() > 0);
        assert!(f.stdout().starts_with(&expected(&[&lines("A", 5_000)])));
        if lost > 0 {
            told += 1;
            assert_eq!(read + lost, content.len() as u64);
        }
    }
    assert!(told > 0);
}
