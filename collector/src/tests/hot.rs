//! Files that are written all the time: the kernel is not asked to tell of each write, and nothing is missed.

use std::fs::File;
use std::io::Write;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::fixture::{Fixture, RUN, stream};

/// More writes than make a directory hot, each of them seen.
const MANY: usize = 40;
/// Longer than a directory stays hot.
const SILENCE: Duration = Duration::from_millis(1500);

fn out() -> String {
    format!("{RUN}/stdout")
}

/// Writes lines, and lets the collector see each of them.
fn write_all_the_time(f: &mut Fixture, writer: &mut File) {
    for n in 0..MANY {
        writeln!(writer, "line {n}").expect("write");
        let now = f.now();
        f.collector().step(now);
        f.pass(Duration::from_millis(5));
    }
}

/// Whether the kernel has something to tell.
fn is_told(f: &mut Fixture) -> bool {
    let events = f.collector().events().expect("there is inotify");
    let mut sources = [PollFd::from_borrowed_fd(events, PollFlags::IN)];
    poll(&mut sources, Some(&Timespec::default())).expect("poll") > 0
}

fn hot() -> (Fixture, File) {
    let mut f = Fixture::new();
    let mut writer = f.writer(&out());
    f.pump();
    write_all_the_time(&mut f, &mut writer);
    assert_eq!(f.collector().hot_directories(), 1);
    (f, writer)
}

#[test]
fn nothing_is_told_of_a_file_that_is_written_all_the_time_and_each_line_is_read() {
    let (mut f, mut writer) = hot();
    f.pump();
    assert!(!is_told(&mut f));
    writer.write_all(b"not told of\n").expect("write");
    assert!(!is_told(&mut f));
    f.pump();
    assert_eq!(f.stdout().len(), MANY + 1);
    assert_eq!(f.collector().hot_directories(), 1);
}

#[test]
fn after_a_silence_writes_are_told_of_again() {
    let (mut f, mut writer) = hot();
    f.wait(SILENCE);
    assert_eq!(f.collector().hot_directories(), 0);
    assert!(!is_told(&mut f));
    writer.write_all(b"told of\n").expect("write");
    assert!(is_told(&mut f));
    f.pump();
    assert_eq!(f.stdout().len(), MANY + 1);
}

#[test]
fn a_finished_file_beside_one_that_is_written_all_the_time_is_seen_to_grow() {
    let err = format!("{RUN}/stderr");
    let mut f = Fixture::new();
    f.append(&err, "one\n");
    f.pump();
    f.wait(Duration::from_secs(11));
    assert_eq!(f.collector().status().files_open, 0);
    let mut writer = f.writer(&out());
    f.pump();
    write_all_the_time(&mut f, &mut writer);
    assert_eq!(f.collector().hot_directories(), 1);
    // It stays open for writing: nobody tells that it was closed.
    let mut other = f.writer(&err);
    other.write_all(b"two\n").expect("write");
    f.pump();
    f.pass(Duration::from_millis(500));
    f.pump();
    assert_eq!(f.texts(stream(b"c1", b"stderr")), ["one", "two"]);
}

#[test]
fn rotations_of_what_is_written_all_the_time_are_told_of() {
    let (mut f, mut writer) = hot();
    f.pump();
    for n in 0..3 {
        writer.write_all(b"before\n").expect("write");
        f.rename(&out(), &format!("{RUN}/stdout.{n}"));
        assert!(is_told(&mut f));
        writer = f.writer(&out());
        writer.write_all(b"after\n").expect("write");
        f.pump();
    }
    assert_eq!(f.stdout().len(), MANY + 6);
    f.assert_nothing_lost();
}

#[test]
fn a_directory_of_many_logs_stays_watched() {
    let mut f = Fixture::on_paths(&["*.log"]);
    for n in 0..20 {
        f.append(&format!("quiet-{n}.log"), "one\n");
    }
    let mut writer = f.writer("loud.log");
    f.pump();
    write_all_the_time(&mut f, &mut writer);
    assert_eq!(f.collector().hot_directories(), 0);
    f.pump();
    writer.write_all(b"told of\n").expect("write");
    assert!(is_told(&mut f));
}
