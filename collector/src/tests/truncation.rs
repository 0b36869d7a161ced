//! Files that are emptied while they are written, with and without a copy of what they held.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use super::fixture::{Fixture, RUN};
use super::store::Mode;

const SECOND: Duration = Duration::from_secs(1);

fn out(suffix: &str) -> String {
    format!("{RUN}/stdout{suffix}")
}

/// Lines of 50 bytes; those of one range begin alike if `banner` is set.
fn lines(tag: &str, count: usize) -> String {
    (0..count).map(|n| format!("{tag} {n:08} {}\n", "x".repeat(39 - tag.len()))).collect()
}

/// The same 2,000 bytes at the head of all.
fn with_banner(tag: &str, count: usize) -> String {
    lines("banner", 40) + &lines(tag, count)
}

fn expected(parts: &[&str]) -> Vec<String> {
    parts.concat().lines().map(str::to_owned).collect()
}

/// Scenario 3, first run: copied, truncated and regrown past the old position with an equal head,
/// while the collector stands still.
#[test]
fn what_only_a_copy_holds_is_read_from_it() {
    for restart in [false, true] {
        let mut f = Fixture::new();
        let (a, b) = (with_banner("A", 160), with_banner("B", 460));
        f.append(&out(""), &a);
        f.pump();
        if restart {
            f.kill();
        }
        let unread = lines("U", 17);
        f.append(&out(""), &unread);
        f.copy(&out(""), &out(".1"));
        f.truncate(&out(""));
        f.append(&out(""), &b);
        if restart {
            f.start();
        }
        f.pump();
        assert_eq!(f.stdout(), expected(&[&a, &unread, &b]));
        assert_eq!((f.duplicates(), f.lost("truncated")), (0, 0));
        assert_eq!(f.metrics.read_bytes.get() as usize, a.len() + unread.len() + b.len());
    }
}

/// Scenario 3, second run: nobody made a copy. Lost is what was ever seen and not read.
#[test]
fn what_no_copy_holds_is_declared_lost() {
    let mut f = Fixture::new();
    let (a, b) = (with_banner("A", 160), with_banner("B", 460));
    f.append(&out(""), &a);
    f.pump();
    f.append(&out(""), "seen and never ended");
    f.pump();
    f.truncate(&out(""));
    f.append(&out(""), &b);
    f.pump();
    assert_eq!(f.stdout(), expected(&[&a, &b]));
    assert_eq!((f.duplicates(), f.lost("truncated")), (0, 20));
    assert_eq!(f.store(|store| store.lost_bytes()), 20);
}

/// Scenario 3, third run: the writer goes on where it stood, and that tells how much is lost.
#[test]
fn a_hole_is_left_out_and_tells_what_was_lost() {
    for restart in [false, true] {
        let mut f = Fixture::new();
        let (a, unread, b) = (with_banner("A", 160), lines("U", 17), lines("B", 300));
        f.append(&out(""), &a);
        f.pump();
        if restart {
            f.kill();
        }
        f.append(&out(""), &unread);
        f.truncate(&out(""));
        let end = (a.len() + unread.len()) as u64;
        let writer = OpenOptions::new().write(true).open(f.path(&out(""))).expect("open");
        writer.write_all_at(b.as_bytes(), end).expect("write");
        if restart {
            f.start();
        }
        f.pump();
        assert_eq!(f.stdout(), expected(&[&a, &b]));
        assert_eq!(f.lost("truncated"), 17 * 50);
        assert_eq!(f.store(|store| (store.lost_bytes(), store.dropped_bytes() as u64)), (850, end));
        let text = f.store(|store| store.text_bytes());
        assert_eq!(text, a.len() + b.len());
    }
}

#[test]
fn a_hole_of_gigabytes_costs_nothing() {
    let mut f = Fixture::new();
    f.append(&out(""), "one\n");
    f.pump();
    f.truncate(&out(""));
    let writer = OpenOptions::new().write(true).open(f.path(&out(""))).expect("open");
    writer.write_all_at(b"two\n", 8 << 20).expect("write");
    f.pump();
    assert_eq!(f.stdout(), ["one", "two"]);
    assert_eq!(f.lost("truncated"), (8 << 20) - 4);
}

/// Zeros that somebody wrote are bytes like others.
#[test]
fn written_zeros_stay() {
    let mut f = Fixture::new();
    f.append(&out(""), b"\0\0head\nin\0side\n\0\n");
    f.pump();
    assert_eq!(f.stdout(), ["\0\0head", "in\0side", "\0"]);
    assert_eq!(f.store(|store| store.dropped_bytes()), 0);
}

/// `copytruncate` running: the copy is there before the original is emptied.
#[test]
fn nothing_is_read_from_a_copy_whose_original_is_still_there() {
    let mut f = Fixture::new();
    f.append(&out(""), "1\n2\n");
    f.pump();
    f.copy(&out(""), &out(".1"));
    f.pump();
    f.append(&out(""), "3\n");
    f.wait(60 * SECOND);
    assert_eq!(f.stdout(), ["1", "2", "3"]);
    assert_eq!(f.metrics.read_bytes.get(), 6);
    f.truncate(&out(""));
    f.append(&out(""), "4\n");
    f.pump();
    f.restart();
    f.wait(60 * SECOND);
    assert_eq!(f.stdout(), ["1", "2", "3", "4"]);
    assert_eq!((f.duplicates(), f.lost("truncated"), f.metrics.read_bytes.get()), (0, 0, 8));
}

#[test]
fn a_copy_that_is_still_being_written_is_waited_for() {
    let mut f = Fixture::new();
    f.append(&out(""), "1\n2\n");
    f.recorder.set(Mode::Full);
    f.pump();
    std::thread::sleep(Duration::from_millis(11));
    let mut copy = f.writer(&out(".1"));
    copy.write_all(b"1\n").expect("write");
    f.append(&out(""), "3\n");
    f.pump();
    copy.write_all(b"2\n3\n").expect("write");
    f.truncate(&out(""));
    f.append(&out(""), "4\n");
    drop(copy);
    f.recorder.set(Mode::Acknowledge);
    f.pump();
    assert_eq!(f.stdout(), ["1", "2", "3", "4"]);
    assert_eq!((f.duplicates(), f.lost("truncated")), (0, 0));
}

/// A copy that lacks what was written between copying and truncating.
#[test]
fn what_fell_between_copy_and_truncation_is_lost() {
    let mut f = Fixture::new();
    f.append(&out(""), "1\nopen");
    f.pump();
    f.copy(&out(""), &out(".1"));
    f.pump();
    f.append(&out(""), " end");
    f.pump();
    f.truncate(&out(""));
    f.append(&out(""), "2\n");
    f.pump();
    // The line was cut by the rotation, and goes on in the new file, as far as anybody knows.
    assert_eq!(f.stdout(), ["1", "open2"]);
    assert_eq!(f.lost("truncated"), 4);
}

#[test]
fn several_copies_are_told_apart_and_renamed_ones_are_known() {
    let mut f = Fixture::new();
    let banner = lines("banner", 40);
    for round in 0..4 {
        f.append(&out(""), format!("{banner}read {round}\n"));
        f.pump();
        f.append(&out(""), format!("unread {round}\n"));
        for n in (1..=round).rev() {
            f.rename(&out(&format!(".{n}")), &out(&format!(".{}", n + 1)));
        }
        f.copy(&out(""), &out(".1"));
        f.truncate(&out(""));
        if round % 2 == 0 {
            f.restart();
        }
    }
    f.append(&out(""), "last\n");
    f.wait(60 * SECOND);
    f.restart();
    f.wait(60 * SECOND);
    let texts = f.stdout();
    assert_eq!(texts.len(), 4 * 42 + 1);
    let own: Vec<&String> = texts.iter().filter(|text| !text.starts_with("banner")).collect();
    let rounds = (0..4).flat_map(|n| [format!("read {n}"), format!("unread {n}")]);
    let all: Vec<String> = rounds.chain(["last".to_owned()]).collect();
    assert_eq!(own, all.iter().collect::<Vec<_>>());
    assert_eq!((f.duplicates(), f.lost("truncated")), (0, 0));
}

/// The collector forgets how far it was, not which generation the file is in.
#[test]
fn lost_checkpoints_after_a_truncation_repeat_nothing_and_lose_nothing() {
    let mut f = Fixture::new();
    f.append(&out(""), "first generation\n");
    f.pump();
    f.append(&out(""), "unread\n");
    f.copy(&out(""), &out(".1"));
    f.truncate(&out(""));
    f.append(&out(""), "second\n");
    f.pump();
    f.kill();
    f.forget_checkpoints();
    f.append(&out(""), "third\n");
    f.start();
    f.pump();
    assert_eq!(f.stdout(), ["first generation", "unread", "second", "third"]);
    f.assert_nothing_lost();
}

#[test]
fn a_restart_does_not_forget_what_was_lost() {
    let mut f = Fixture::new();
    f.append(&out(""), "read\nseen");
    f.pump();
    f.recorder.set(Mode::Full);
    f.truncate(&out(""));
    f.append(&out(""), "new\n");
    f.pump();
    f.restart();
    f.recorder.set(Mode::Acknowledge);
    f.pump();
    assert_eq!(f.stdout(), ["read", "new"]);
    assert_eq!(f.store(|store| store.lost_bytes()), 4);
}

/// A rotated file whose end waits for the rest of its line is emptied.
#[test]
fn the_beginning_of_a_cut_line_that_is_truncated_away_is_lost() {
    let mut f = Fixture::new();
    f.append(&out(".1"), "1\ncut ");
    f.append(&out(""), "on");
    f.pump();
    f.truncate(&out(".1"));
    f.pump();
    f.append(&out(""), "ly\n2\n");
    f.wait(6 * SECOND);
    assert_eq!(f.stdout(), ["1", "only", "2"]);
    assert_eq!(f.lost("truncated"), 4);
}

/// `cp` onto the copy before: the same inode each time.
#[test]
fn a_copy_that_is_overwritten_by_the_next_one_is_a_copy_again() {
    for restart in [false, true] {
        let mut f = Fixture::new();
        let mut all = String::new();
        for round in 0..5 {
            let (read, unread) = (lines(&format!("R{round}"), 30), lines(&format!("U{round}"), 3));
            f.append(&out(""), &read);
            f.wait(SECOND);
            if restart {
                f.kill();
            }
            f.append(&out(""), &unread);
            f.copy(&out(""), &out(".1"));
            f.truncate(&out(""));
            if restart {
                f.start();
            }
            f.wait(20 * SECOND);
            all += &(read + &unread);
        }
        f.restart();
        f.wait(20 * SECOND);
        assert_eq!(f.stdout(), expected(&[&all]));
        assert_eq!((f.duplicates(), f.lost("truncated")), (0, 0));
        assert_eq!(f.metrics.read_bytes.get() as usize, all.len(), "nothing is read twice");
    }
}

/// The copy is overwritten while its original is still there, so that nothing was read from it.
#[test]
fn an_idle_copy_that_is_overwritten_is_known_after_a_restart() {
    let mut f = Fixture::new();
    let (a, b, c) = (lines("A", 130), lines("B", 90), lines("C", 2));
    f.append(&out(""), &a);
    f.pump();
    f.copy(&out(""), &out(".1"));
    f.wait(20 * SECOND);
    f.truncate(&out(""));
    f.append(&out(""), &b);
    f.copy(&out(""), &out(".1"));
    f.wait(20 * SECOND);
    f.restart();
    f.wait(20 * SECOND);
    f.append(&out(""), &c);
    f.copy(&out(""), &out(".1"));
    f.truncate(&out(""));
    f.wait(20 * SECOND);
    assert_eq!(f.stdout(), expected(&[&a, &b, &c]));
    assert_eq!((f.duplicates(), f.lost("truncated")), (0, 0));
}
