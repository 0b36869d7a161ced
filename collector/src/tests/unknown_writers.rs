//! A collector that may take no leases: nobody tells it who writes a file, and it is honest about that.

use std::io::Write;
use std::time::Duration;

use super::fixture::{Fixture, RUN};

/// More than a cut line waits for, less than a line without an end.
const SOON: Duration = Duration::from_secs(6);
/// Just less, and just more, than a file without a name stays open.
const ALMOST: Duration = Duration::from_secs(55);
const REST: Duration = Duration::from_secs(8);

fn without_leases() -> Fixture {
    let mut f = Fixture::new();
    f.config.pretended.no_leases = true;
    f.restart();
    f
}

fn out() -> String {
    format!("{RUN}/stdout")
}

fn rotated() -> String {
    format!("{RUN}/stdout.1")
}

fn files_open(f: &mut Fixture) -> u64 {
    f.collector().status().files_open as u64
}

fn unsure(f: &Fixture) -> u64 {
    f.metrics.sandboxes.unsure_releases.get()
}

#[test]
fn a_deleted_file_is_held_for_a_minute_after_its_last_byte() {
    let mut f = without_leases();
    let mut writer = f.writer(&out());
    writer.write_all(b"one\n").expect("write");
    f.pump();
    f.remove(&out());
    f.wait(ALMOST);
    writer.write_all(b"late\n").expect("write");
    f.wait(Duration::from_secs(2));
    assert_eq!(f.stdout(), ["one", "late"]);
    f.wait(ALMOST);
    assert_eq!((files_open(&mut f), unsure(&f)), (1, 0));
    f.wait(REST);
    assert_eq!((files_open(&mut f), unsure(&f)), (0, 1));
}

#[test]
fn a_rotated_file_that_is_moved_away_and_written_late_is_read() {
    let mut f = without_leases();
    let mut writer = f.writer(&out());
    writer.write_all(b"one\n").expect("write");
    f.pump();
    f.rename(&out(), &rotated());
    f.append(&out(), "new\n");
    f.wait(Duration::from_secs(20));
    f.rename(&rotated(), "aside");
    f.wait(Duration::from_secs(20));
    writer.write_all(b"late\n").expect("write");
    f.wait(Duration::from_secs(2));
    assert_eq!(f.stdout(), ["one", "new", "late"]);
}

#[test]
fn deleted_files_are_held_within_their_budget_the_oldest_is_closed_first() {
    const FILES: usize = 4;
    const LINES: usize = 6_000;
    let mut f = Fixture::new();
    f.config.pretended.no_leases = true;
    // Two of them, and something.
    f.config.pinned_bytes_max = 2_000_000;
    f.restart();
    let path = |n: usize| RUN.replace("c1", &format!("c{n}")) + "/stdout";
    let text: String = (0..LINES).map(|n| format!("{n:0>120}\n")).collect();
    let mut writers = Vec::new();
    for n in 0..FILES {
        let mut writer = f.writer(&path(n));
        writer.write_all(text.as_bytes()).expect("write");
        writers.push(writer);
        f.pump();
        f.remove(&path(n));
        f.wait(Duration::from_secs(2));
    }
    f.wait(Duration::from_secs(2));
    assert_eq!((files_open(&mut f), unsure(&f)), (2, 2));
    for writer in &mut writers {
        writer.write_all(b"late\n").expect("write");
    }
    f.wait(Duration::from_secs(2));
    let late = |n: usize| {
        let stream = super::fixture::stream(format!("c{n}").as_bytes(), b"stdout");
        f.texts(stream).iter().filter(|text| *text == "late").count()
    };
    assert_eq!([0, 1, 2, 3].map(late), [0, 0, 1, 1]);
    f.assert_nothing_lost();
}

#[test]
fn the_last_line_of_a_file_that_was_closed_comes_soon_and_another_after_a_minute() {
    let mut f = without_leases();
    let mut pausing = f.writer(&out());
    pausing.write_all(b"half").expect("write");
    f.append(&format!("{RUN}/stderr"), "begins\n");
    f.pump();
    f.append(&format!("{RUN}/stderr"), "the end");
    f.wait(SOON);
    let texts = |f: &Fixture, file: &str| f.texts(super::fixture::stream(b"c1", file.as_bytes()));
    assert_eq!(texts(&f, "stderr"), ["begins", "the end"]);
    assert_eq!(f.stdout(), Vec::<String>::new());
    f.wait(ALMOST);
    assert_eq!(f.stdout(), ["half"]);
}

#[test]
fn a_file_that_was_closed_before_it_was_open_has_its_last_line_soon() {
    let mut f = without_leases();
    f.append(&out(), "begins\n");
    f.pump();
    f.append(&format!("{RUN}/stderr"), "at once");
    f.wait(SOON);
    assert_eq!(f.texts(super::fixture::stream(b"c1", b"stderr")), ["at once"]);
}

/// A file that is rotated inside a line while `before` is true of it, and what comes of it.
fn rotated_inside_a_line(begin: impl FnOnce(&mut Fixture) -> Option<std::fs::File>) -> Fixture {
    let mut f = without_leases();
    f.append(&out(), "one\n");
    f.pump();
    let writer = begin(&mut f);
    f.pump();
    f.rename(&out(), &rotated());
    f.append(&out(), "whole\n");
    f.wait(SOON);
    if let Some(mut writer) = writer {
        writer.write_all(b" done\n").expect("write");
    }
    f.wait(SOON);
    f
}

#[test]
fn a_line_whose_writer_pauses_is_not_glued_to_what_another_one_writes() {
    let f = rotated_inside_a_line(|f| {
        let mut writer = f.writer(&out());
        writer.write_all(b"half").expect("write");
        Some(writer)
    });
    assert_eq!(f.stdout(), ["one", "whole", "half done"]);
}

#[test]
fn a_line_goes_on_behind_a_file_that_was_closed() {
    let f = rotated_inside_a_line(|f| {
        f.append(&out(), "half and ");
        None
    });
    assert_eq!(f.stdout(), ["one", "half and whole"]);
    assert_eq!(f.metrics.lines_rejoined.get(), 1);
}

/// What the Mesos logger left while nobody looked: a file of `size` bytes that ends inside a line.
fn cut_by_the_logger(size: usize) -> Fixture {
    let mut f = without_leases();
    f.kill();
    let conf = format!("\"{}\" {{\n  rotate 3\n  size 4096\n}}\n", f.path(&out()).display());
    f.append(&format!("{RUN}/stdout.logrotate.conf"), conf);
    f.append(&rotated(), format!("{}\nhalf", "x".repeat(size - 5)));
    f.append(&out(), " done\n");
    f.start();
    f.wait(SOON);
    f
}

#[test]
fn a_line_that_the_mesos_logger_cut_is_joined_and_no_other() {
    for (size, last) in
        [(4_097, "half done"), (8_192, "half done"), (4_096, " done"), (8_193, " done")]
    {
        let mut f = cut_by_the_logger(size);
        assert_eq!(f.stdout().last().map(String::as_str), Some(last), "{size}");
        f.wait(ALMOST);
        let halves = f.stdout().iter().filter(|text| *text == "half").count();
        assert_eq!(halves, usize::from(last == " done"), "{size}");
        assert_eq!((f.duplicates(), f.store(|store| store.lost_bytes())), (0, 0));
    }
}

#[test]
fn a_current_file_is_not_closed_though_nothing_comes() {
    let mut f = without_leases();
    f.append(&out(), "one\n");
    f.wait(ALMOST);
    f.wait(ALMOST);
    assert_eq!((files_open(&mut f), unsure(&f)), (1, 0));
}
