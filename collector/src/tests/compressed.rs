//! Rotated files that were compressed: what was read of their originals is known again, by content.

use std::fs::File;
use std::io::Write;
use std::time::Duration;

use super::fixture::{Fixture, RUN};
use super::store::Mode;

const SECOND: Duration = Duration::from_secs(1);

fn out(suffix: &str) -> String {
    format!("{RUN}/stdout{suffix}")
}

/// As `gzip` does it: the compressed file is there before the original goes.
fn gzip(f: &Fixture, suffix: &str) {
    let path = f.path(&out(suffix));
    let content = std::fs::read(&path).expect("read");
    let to = File::create(f.path(&out(&format!("{suffix}.gz")))).expect("create");
    let mut encoder = flate2::write::GzEncoder::new(to, flate2::Compression::default());
    encoder.write_all(&content).expect("write");
    encoder.finish().expect("finish");
    std::fs::remove_file(&path).expect("remove");
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

/// Killed before anything was acknowledged: no checkpoint tells of the file, and yet the store has of it.
#[test]
fn what_was_sent_of_a_file_without_a_checkpoint_is_known_again_in_its_compressed_form() {
    for is_spread in [false, true] {
        let mut f = Fixture::new();
        let (a, b, unread) = (lines("A", 60), lines("B", 60), lines("U", 7));
        f.recorder.set(Mode::Hold);
        f.append(&out(""), if is_spread { &a } else { "" });
        f.pump();
        f.append(&out(""), if is_spread { b.clone() } else { a.clone() + &b });
        f.pump();
        assert_eq!(f.stdout(), expected(&[&a, &b]), "stored and not acknowledged");
        f.kill();
        f.append(&out(""), &unread);
        f.rename(&out(""), &out(".1"));
        gzip(&f, ".1");
        f.recorder.set(Mode::Acknowledge);
        f.append(&out(""), lines("new", 3));
        f.start();
        f.wait(20 * SECOND);
        f.restart();
        f.wait(20 * SECOND);
        assert_eq!(f.stdout(), expected(&[&a, &b, &unread, &lines("new", 3)]));
        assert_eq!(f.duplicates() as usize, a.len() + b.len(), "it comes under its own name");
        f.assert_nothing_lost();
    }
}

/// The file that was begun is gone, and the one that is found began as it did.
#[test]
fn a_compressed_file_that_begins_like_one_that_was_sent_is_another_one() {
    for same in [1, 25, 60] {
        let mut f = Fixture::new();
        let (banner, a, b) = (lines("same", same), lines("A", 60), lines("B", 80));
        f.recorder.set(Mode::Hold);
        f.append(&out(""), banner.clone() + &a);
        f.pump();
        f.kill();
        f.remove(&out(""));
        f.append(&out(""), banner.clone() + &b);
        f.rename(&out(""), &out(".1"));
        gzip(&f, ".1");
        f.recorder.set(Mode::Acknowledge);
        f.start();
        f.wait(20 * SECOND);
        assert_eq!(f.stdout(), expected(&[&banner, &a, &banner, &b]));
    }
}

/// Two files of which the same was sent: the second is not taken for the first.
#[test]
fn only_one_compressed_file_is_what_was_sent() {
    let mut f = Fixture::new();
    let (a, b, c) = (lines("A", 60), lines("B", 5), lines("C", 5));
    f.recorder.set(Mode::Hold);
    f.append(&out(""), &a);
    f.pump();
    f.kill();
    f.append(&out(""), &b);
    f.rename(&out(""), &out(".2"));
    gzip(&f, ".2");
    f.append(&out(".1"), a.clone() + &c);
    gzip(&f, ".1");
    f.recorder.set(Mode::Acknowledge);
    f.start();
    f.wait(20 * SECOND);
    let found = f.stdout();
    assert_eq!(found.len(), 60 + 5 + 60 + 5);
    assert!(expected(&[&b, &c]).iter().all(|line| found.contains(line)));
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
