//! The journal's files: each line once over a crash, and nothing kept that is of no more use.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::files::{Files, OPEN_MAX};
use super::tidying::IDLE;
use super::tree;
use crate::why::AcknowledgedFile;

/// The journal: entry `n` is a line of one of two logs, its cursor is `n`.
fn add(files: &mut Files, n: usize) {
    let key = (PathBuf::from(format!("runs/c{}", n % 2)), "stdout");
    let text = format!("line {n}");
    files.add(key, text.as_bytes(), n.to_string().as_bytes(), Instant::now()).expect("added");
}

/// All files of a log, the oldest first.
fn content(root: &Path, log: usize) -> String {
    let directory = root.join(format!("runs/c{log}"));
    let path = |n: u32| directory.join(format!("stdout.{n}"));
    let mut rotated = (1..).map(path).take_while(|path| path.exists()).collect::<Vec<_>>();
    rotated.reverse();
    rotated.push(directory.join("stdout"));
    rotated.iter().map(|path| std::fs::read_to_string(path).unwrap_or_default()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// It may end anywhere between two saves, and goes on behind the cursor: no line is missing
    /// and none is there twice.
    #[test]
    fn each_line_is_there_once_whenever_it_ends(
        steps in prop::collection::vec(prop_oneof![8 => Just(0), 2 => Just(1), 1 => Just(2)], 1..60),
    ) {
        let temp = tempfile::tempdir().expect("temp dir");
        let open = || Files::open(temp.path(), 40, Instant::now()).expect("opened");
        let mut files = open();
        let (mut n, mut most) = (0, 0);
        for step in steps {
            match step {
                0 => {
                    add(&mut files, n);
                    n += 1;
                    most = most.max(n);
                }
                1 => files.save().expect("saved"),
                _ => {
                    files = open();
                    n = files.cursor().parse::<usize>().map_or(0, |last| last + 1);
                }
            }
        }
        for n in n..most {
            add(&mut files, n);
        }
        for log in 0..2 {
            let lines = (0..most).filter(|n| n % 2 == log).map(|n| format!("line {n}\n"));
            prop_assert_eq!(content(temp.path(), log), lines.collect::<String>());
        }
    }
}

/// The journal was vacuumed: what was to come again does not, and nothing else is taken for it.
#[test]
fn other_lines_are_not_taken_for_those_that_were_to_come_again() {
    let temp = tempfile::tempdir().expect("temp dir");
    let open = || Files::open(temp.path(), 1000, Instant::now()).expect("opened");
    let mut files = open();
    add(&mut files, 0);
    files.save().expect("saved");
    for n in [2, 4, 6] {
        add(&mut files, n);
    }
    drop(files);
    let mut files = open();
    for n in [4, 8] {
        add(&mut files, n);
    }
    let expected = [0, 2, 4, 6, 4, 8].map(|n| format!("line {n}\n")).concat();
    assert_eq!(content(temp.path(), 0), expected);
    // And a line that was written in part before the machine died.
    let path = temp.path().join("runs/c0/stdout");
    let mut text = std::fs::read(&path).expect("read");
    text.extend_from_slice(b"lin");
    std::fs::write(&path, text).expect("write");
    drop(files);
    let mut files = open();
    let key = (PathBuf::from("runs/c0"), "stdout");
    files.add(key, b"other", b"9", Instant::now()).expect("added");
    assert_eq!(content(temp.path(), 0), format!("{expected}lin\nother\n"));
}

#[test]
fn what_is_acknowledged_and_idle_goes_with_its_directories() {
    let temp = tempfile::tempdir().expect("temp dir");
    let mut files = Files::open(temp.path(), 40, Instant::now()).expect("opened");
    add(&mut files, 0);
    add(&mut files, 1);
    let file = temp.path().join("runs/c0/stdout");
    let inode = std::os::unix::fs::MetadataExt::ino(&file.metadata().expect("stat"));
    let known =
        |acknowledged| vec![AcknowledgedFile { device: 0, inode, birth_time: 0, acknowledged }];
    files.tidy(Instant::now(), |_| known(7)).expect("tidied");
    let later = Instant::now() + IDLE;
    files.tidy(later, |_| known(6)).expect("tidied");
    assert!(file.exists());
    files.tidy(later, |_| known(7)).expect("tidied");
    assert!(!temp.path().join("runs/c0").exists());
    assert!(temp.path().join("runs/c1/stdout").exists());
}

#[test]
fn logs_that_were_closed_are_tidied_as_well() {
    let temp = tempfile::tempdir().expect("temp dir");
    let now = Instant::now();
    let mut files = Files::open(temp.path(), 40, now).expect("opened");
    for n in 0..=OPEN_MAX {
        let key = (PathBuf::from(format!("runs/c{n}")), "stdout");
        let used = now + Duration::from_millis(n as u64);
        files.add(key, b"line", n.to_string().as_bytes(), used).expect("added");
    }
    let first = temp.path().join("runs/c0/stdout");
    let inode = std::os::unix::fs::MetadataExt::ino(&first.metadata().expect("stat"));
    let known =
        |_: PathBuf| vec![AcknowledgedFile { device: 0, inode, birth_time: 0, acknowledged: 5 }];
    files.tidy(now + IDLE / 2, known).expect("tidied");
    assert!(files.open.len() == OPEN_MAX && first.exists());
    // Also by a process that did not close it.
    let mut files = Files::open(temp.path(), 40, now).expect("opened");
    files.tidy(now + IDLE, known).expect("tidied");
    assert!(!temp.path().join("runs/c0").exists());
    assert!(temp.path().join("runs/c1/stdout").exists());
}

#[test]
fn all_together_stay_within_the_limit_and_the_oldest_rotated_go_first() {
    let temp = tempfile::tempdir().expect("temp dir");
    let mut files = Files::open(temp.path(), 40, Instant::now()).expect("opened");
    for n in 0..40 {
        add(&mut files, n);
    }
    files.tree_bytes_max = 100;
    files.tidy(Instant::now(), |_| Vec::new()).expect("tidied");
    let left = tree::files(temp.path());
    assert!(left.iter().map(|file| file.size).sum::<u64>() <= 100);
    assert_eq!(left.iter().filter(|file| !file.is_rotated).count(), 2, "what is written stays");
    let all: u64 = (0..40).map(|n| format!("line {n}\n").len() as u64).sum();
    assert_eq!(all - files.dropped_bytes, left.iter().map(|file| file.size).sum::<u64>());
    files.tree_bytes_max = 0;
    files.tidy(Instant::now(), |_| Vec::new()).expect("tidied");
    assert!(tree::files(temp.path()).is_empty());
    add(&mut files, 40);
    assert_eq!(content(temp.path(), 0), "line 40\n");
}

/// More logs are written than are open at once, before what was there already comes again.
#[test]
fn lines_that_come_again_to_a_log_that_was_closed_meanwhile_are_there_once() {
    let temp = tempfile::tempdir().expect("temp dir");
    let now = Instant::now();
    let open = || Files::open(temp.path(), 1000, now).expect("opened");
    let mut files = open();
    add(&mut files, 0);
    files.save().expect("saved");
    add(&mut files, 2);
    add(&mut files, 4);
    // It ends before the next save: two lines come again.
    let mut files = {
        drop(files);
        open()
    };
    for n in 0..OPEN_MAX {
        let key = (PathBuf::from(format!("others/c{n}")), "stdout");
        let used = now + Duration::from_secs(1);
        files.add(key, b"line", b"0", used).expect("added");
    }
    assert!(!files.open.keys().any(|key| key.0.ends_with("runs/c0")), "it was closed");
    for n in [2, 4, 6] {
        add(&mut files, n);
    }
    assert_eq!(content(temp.path(), 0), "line 0\nline 2\nline 4\nline 6\n");
}

#[test]
fn of_many_logs_a_few_are_asked_about_at_once_and_each_in_turn() {
    let temp = tempfile::tempdir().expect("temp dir");
    let now = Instant::now();
    let mut files = Files::open(temp.path(), 1000, now).expect("opened");
    for n in 0..OPEN_MAX {
        let key = (PathBuf::from(format!("runs/c{n}")), "stdout");
        files.add(key, b"line", b"0", now).expect("added");
    }
    let asked = std::cell::RefCell::new(Vec::new());
    let mut most = 0;
    for round in 1..=OPEN_MAX as u32 {
        let before = asked.borrow().len();
        let ask = |log: PathBuf| {
            asked.borrow_mut().push(log);
            Vec::new()
        };
        files.tidy(now + IDLE + Duration::from_secs(round.into()), ask).expect("tidied");
        most = most.max(asked.borrow().len() - before);
    }
    assert!((1..=OPEN_MAX / 4).contains(&most), "{most} at once");
    let mut asked = asked.into_inner();
    asked.sort_unstable();
    asked.dedup();
    assert_eq!(asked.len(), OPEN_MAX);
}
