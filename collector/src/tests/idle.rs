//! What files cost that nobody writes to, counted in work; and that nothing of them is missed for it.

use std::fs::{self, File};
use std::io::Write;
use std::time::Duration;

use sawlog_transport::StreamId;

use super::fixture::Fixture;

const FILES: usize = 1000;
const HOUR: u64 = 3600;
/// Directories on the way to the sandboxes, and three for each of them.
const DIRECTORIES: usize = 20 + 3 * FILES;

fn sandbox(n: usize) -> String {
    format!("slaves/S1/frameworks/F/executors/E{n}/runs/c{n}/stdout")
}

/// Turns, checks of files, checks of directories, listings, and bytes read.
fn work(f: &Fixture) -> [u64; 5] {
    let load = &f.metrics.load;
    [&load.turns, &load.file_checks, &load.directory_checks, &load.listings, &f.metrics.read_bytes]
        .map(|counter| counter.get())
}

/// The work of so many seconds.
fn work_of(f: &mut Fixture, seconds: u64) -> [usize; 5] {
    let before = work(f);
    let end = f.now().monotonic + Duration::from_secs(seconds);
    while f.now().monotonic < end {
        if !f.step() {
            f.pass(Duration::from_secs(1));
        }
    }
    let after = work(f);
    std::array::from_fn(|n| (after[n] - before[n]) as usize)
}

/// Files of a line each; the writers live.
fn write(f: &Fixture, path: impl Fn(usize) -> String) -> Vec<File> {
    let begin = |n: usize| {
        let mut writer = f.writer(&path(n));
        writeln!(writer, "container {n}").expect("write");
        writer
    };
    (0..FILES).map(begin).collect()
}

/// A check of each file a minute and of each directory ever more rarely, a question for writers after
/// ever longer silence, and nothing else.
#[test]
fn an_hour_of_a_thousand_quiet_sandboxes() {
    let mut f = Fixture::new();
    let writers = write(&f, sandbox);
    f.pump();
    let [turns, files, directories, listings, read] = work_of(&mut f, HOUR);
    assert_eq!(read, 0);
    assert!(turns <= FILES * 8, "{turns} turns");
    assert!(files <= FILES * 61, "{files} looks at files");
    assert!(directories <= DIRECTORIES * 10, "{directories} looks at directories");
    // What changed just before it was listed is listed once more.
    assert!(listings <= DIRECTORIES, "{listings} listings");

    let [turns, _, directories, listings, _] = work_of(&mut f, HOUR);
    assert!(turns <= FILES * 5, "{turns} turns in the second hour");
    assert!(
        directories <= DIRECTORIES * 7,
        "{directories} looks at directories in the second hour"
    );
    assert_eq!(listings, 0, "in the second hour");
    assert_eq!(f.collector().status().files_open, FILES);
    drop(writers);
    work_of(&mut f, 1);
    assert_eq!(f.collector().status().files_open, 0, "who closes a file is heard at once");
}

/// The same in one directory, where each file that comes has all of them listed.
#[test]
fn a_crowd_in_one_directory_sleeps_on_when_one_comes() {
    let mut f = Fixture::on_paths(&["*.log"]);
    let writers = write(&f, |n| format!("{n}.log"));
    f.wait(Duration::from_secs(120));
    let [turns, files, _, listings, read] = work_of(&mut f, HOUR);
    assert!(turns <= FILES * 7, "{turns} turns");
    assert!(files <= FILES * 61, "{files} looks at files");
    assert!(listings <= 1, "{listings} listings");
    assert_eq!(read, 0);
    work_of(&mut f, 60);
    f.append("new.log", "the only one that wakes\n");
    let [turns, ..] = work_of(&mut f, 3);
    assert!(turns < 20, "{turns} turns for one new file");
    assert_eq!(f.metrics.read_lines.get() as usize, FILES + 1);
    drop(writers);
}

/// Where no watch covers the directory of a name, nothing is told of what is written through it.
#[test]
fn what_the_kernel_does_not_tell_is_found_by_the_next_check() {
    let mut f = Fixture::new();
    let writer = f.writer(&sandbox(1));
    f.append(&sandbox(1), "told\n");
    f.wait(Duration::from_secs(HOUR));
    let elsewhere = f.path("elsewhere");
    fs::hard_link(f.path(&sandbox(1)), &elsewhere).expect("link");
    let mut untold = File::options().append(true).open(&elsewhere).expect("open");
    untold.write_all(b"untold\n").expect("write");
    work_of(&mut f, 90);
    let id = StreamId::of_file(b"S1", b"F", b"E1", b"c1", b"stdout");
    assert_eq!(f.texts(id), ["told", "untold"]);
    // The last writer goes unheard too.
    drop(writer);
    f.pump();
    assert_eq!(f.collector().status().files_open, 1);
    drop(untold);
    work_of(&mut f, 20 * 60);
    assert_eq!(f.collector().status().files_open, 0);
}
