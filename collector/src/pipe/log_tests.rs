//! The file that a pipe writes: what stays until it is acknowledged, and what is not written over.

use std::fs::File;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::log::{Log, is_disk_full};
use super::{Settings, Trusted, WhenFull};
use crate::identity::facts_at;
use crate::why::AcknowledgedFile;

fn settings(dir: &Path, when_full: WhenFull) -> Settings {
    Settings {
        sandbox: dir.to_owned(),
        name: "stdout",
        size_max: 10,
        keep: 1,
        keep_bytes_max: 20,
        when_full,
        mode: 0o640,
        collectors: Vec::new(),
        trusted: Trusted::Users(Vec::new()),
    }
}

fn open(settings: &Settings) -> Log {
    let directory = crate::directory::open_root(&settings.sandbox).expect("directory");
    Log::open(settings, directory).expect("opened")
}

fn read(dir: &Path, name: &str) -> Option<String> {
    std::fs::read_to_string(dir.join(name)).ok()
}

fn acknowledge(log: &mut Log, dir: &Path, name: &str, size: u64) {
    let key = facts_at(rustix::fs::CWD, dir.join(name).as_os_str()).expect("stat").key;
    let (device, inode, birth_time) = (key.device, key.inode, key.birth_time);
    log.acknowledged(&[AcknowledgedFile { device, inode, birth_time, acknowledged: size }]);
}

#[test]
fn rotated_files_stay_until_they_are_acknowledged() {
    let temp = tempfile::tempdir().expect("temp dir");
    let dir = temp.path();
    let mut log = open(&settings(dir, WhenFull::Block));
    for line in ["one\n", "two\n", "three\n", "fourth\n"] {
        log.write(line.as_bytes()).expect("written");
    }
    let found = |name: &str| read(dir, name);
    assert_eq!(found("stdout").as_deref(), Some("fourth\n"));
    assert_eq!(found("stdout.1").as_deref(), Some("three\n"));
    assert_eq!(found("stdout.2").as_deref(), Some("one\ntwo\n"));
    // Not far enough, then far enough: one acknowledged file is kept.
    acknowledge(&mut log, dir, "stdout.2", 7);
    assert!(log.rotated.is_anything_awaited() && found("stdout.2").is_some());
    acknowledge(&mut log, dir, "stdout.2", 8);
    assert!(found("stdout.2").is_some());
    acknowledge(&mut log, dir, "stdout.1", 99);
    assert!(found("stdout.2").is_none() && found("stdout.1").is_some());
    assert!(!log.rotated.is_anything_awaited());
}

#[test]
fn the_oldest_go_when_it_is_too_much_or_the_container_waits() {
    for when_full in [WhenFull::DropOldest, WhenFull::DropOldestOrFail, WhenFull::Block] {
        let temp = tempfile::tempdir().expect("temp dir");
        let mut log = open(&settings(temp.path(), when_full));
        for n in 0..6 {
            log.write(format!("line {n:03}\n").as_bytes()).expect("written");
        }
        let oldest = read(temp.path(), "stdout.5");
        match when_full {
            WhenFull::DropOldest | WhenFull::DropOldestOrFail => {
                assert_eq!((oldest, log.written.dropped_bytes), (None, 27));
                assert_eq!(read(temp.path(), "stdout.2").as_deref(), Some("line 003\n"));
            }
            WhenFull::Block => {
                assert!(log.rotated.is_full() && log.written.dropped_bytes == 0);
                assert_eq!(oldest.as_deref(), Some("line 000\n"));
            }
        }
    }
}

#[test]
fn a_full_disk_is_an_error_for_who_cannot_wait_once_nothing_can_be_removed() {
    let temp = tempfile::tempdir().expect("temp dir");
    let mut log = open(&settings(temp.path(), WhenFull::DropOldestOrFail));
    log.write(b"line 001\nline 002\n").expect("written");
    log.file = File::options().write(true).open("/dev/full").expect("opened");
    let error = log.append(b"more\n").expect_err("full");
    assert!(is_disk_full(&error), "{error}");
    assert_eq!((read(temp.path(), "stdout.1"), log.written.dropped_bytes), (None, 9));
}

#[test]
fn new_files_have_the_mode_that_was_asked_for() {
    use std::os::unix::fs::PermissionsExt;
    let temp = tempfile::tempdir().expect("temp dir");
    let mut log = open(&Settings { mode: 0o600, ..settings(temp.path(), WhenFull::Block) });
    log.write(b"line 001\nline 002\n").expect("written");
    for name in ["stdout", "stdout.1"] {
        let mode = temp.path().join(name).metadata().expect("stat").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn what_was_there_is_gone_on_with() {
    let temp = tempfile::tempdir().expect("temp dir");
    let dir = temp.path();
    for (name, text) in [("stdout", "begun"), ("stdout.1", "b\n"), ("stdout.7", "a\n")] {
        std::fs::write(dir.join(name), text).expect("write");
    }
    let mut log = open(&settings(dir, WhenFull::Block));
    log.write(b" and ended\nnext\n").expect("written");
    assert_eq!(read(dir, "stdout").as_deref(), Some("next\n"));
    assert_eq!(read(dir, "stdout.1").as_deref(), Some("begun and ended\n"));
    assert_eq!(read(dir, "stdout.2").as_deref(), Some("b\n"));
    assert_eq!(read(dir, "stdout.7").as_deref(), Some("a\n"));
}

#[test]
fn nothing_is_written_through_a_symlink_nor_over_somebody_elses_file() {
    let temp = tempfile::tempdir().expect("temp dir");
    let dir = temp.path().join("sandbox");
    std::fs::create_dir(&dir).expect("mkdir");
    let outside = temp.path().join("outside");
    std::fs::write(&outside, "mine\n").expect("write");
    symlink(&outside, dir.join("stdout")).expect("symlink");
    let mut log = open(&settings(&dir, WhenFull::Block));
    log.write(b"first\n").expect("written");
    symlink(&outside, dir.join("stdout.1")).expect("symlink");
    std::fs::write(dir.join("stdout.2"), "foreign\n").expect("write");
    log.write(b"second\n").expect("written");
    assert_eq!(std::fs::read_to_string(&outside).expect("read"), "mine\n");
    assert_eq!(read(&dir, "stdout").as_deref(), Some("second\n"));
    assert_eq!(read(&dir, "stdout.1").as_deref(), Some("first\n"));
    assert_eq!(read(&dir, "stdout.3").as_deref(), Some("foreign\n"));
    std::fs::create_dir(dir.join("stderr")).expect("mkdir");
    let settings = Settings { name: "stderr", ..settings(&dir, WhenFull::Block) };
    let directory = crate::directory::open_root(&dir).expect("directory");
    assert!(Log::open(&settings, directory).is_err());
}

#[test]
fn a_log_whose_name_was_taken_away_begins_again() {
    let temp = tempfile::tempdir().expect("temp dir");
    let dir = temp.path();
    let mut log = open(&settings(dir, WhenFull::Block));
    log.write(b"12345678\n").expect("written");
    std::fs::remove_file(dir.join("stdout")).expect("remove");
    log.write(b"12345678\n").expect("written");
    assert_eq!(read(dir, "stdout").as_deref(), Some("12345678\n"));
    assert_eq!(read(dir, "stdout.1"), None);
}
