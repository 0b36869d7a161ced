//! Sandboxes that are made to exhaust the collector, and files that are not their tasks'.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, chown};
use std::time::Duration;

use super::fixture::{Fixture, RUN, stream};
use super::store::Mode;
use crate::discover::SANDBOX_DIRECTORIES_MAX;

const TIB: u64 = 1 << 40;
/// Some task's user.
const TASK_USER: u32 = 12_345;

fn out() -> String {
    format!("{RUN}/stdout")
}

fn steps(f: &mut Fixture, count: usize) {
    for _ in 0..count {
        f.step();
    }
}

/// One byte, and behind it a hole: it is a line without an end, and costs no read either.
#[test]
fn a_hole_inside_of_a_line_is_passed_over() {
    const HOLE: u64 = 64 << 20;
    for restart in [false, true] {
        let mut f = Fixture::new();
        f.config.redaction = false;
        f.restart();
        f.append(&out(), "x");
        let writer = OpenOptions::new().write(true).open(f.path(&out())).expect("open");
        writer.set_len(HOLE).expect("a file with a hole");
        steps(&mut f, 10);
        if restart {
            f.restart();
        }
        writer.write_all_at(b"\nafter\n", HOLE).expect("write");
        drop(writer);
        steps(&mut f, 30);
        let texts = f.stdout();
        assert_eq!(texts.last().map(String::as_str), Some("after"));
        assert_eq!((texts.len(), &texts[0][..2]), (2, "x\0"));
        let cut = f.store(|store| store.cut_bytes());
        assert_eq!((cut + texts[0].len()) as u64, HOLE + 1);
        f.assert_complete(&out());
        let turns = f.metrics.load.turns.get();
        assert!(turns < 80, "{turns} turns");
    }
}

/// What a deleted file holds of the disk are its blocks, whatever its size says.
#[test]
fn a_deleted_hole_holds_no_disk_space() {
    let mut f = Fixture::new();
    f.append(&out(), "x");
    f.pump();
    f.recorder.set(Mode::Full);
    let writer = OpenOptions::new().write(true).open(f.path(&out())).expect("open");
    writer.set_len(TIB).expect("a file with a hole");
    f.remove(&out());
    for _ in 0..60 {
        f.step();
        let pinned = f.metrics.load.pinned_deleted_bytes.get();
        assert!(pinned < 1 << 20, "{pinned} bytes are pinned");
    }
    drop(writer);
    assert!(!f.config.data_dir.join("spool").exists());
}

/// A kernel may let tasks link what is not theirs.
#[test]
fn a_hard_link_to_the_file_of_somebody_else_is_left_out() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: files of two owners need root");
        return;
    }
    let mut f = Fixture::new();
    let secret = f.path("shadow");
    fs::write(&secret, "secret\n").expect("write");
    f.append(&format!("{RUN}/stderr"), "of the agent\n");
    fs::hard_link(&secret, f.path(&out())).expect("link");
    chown(f.path(RUN), Some(TASK_USER), None).expect("chown");
    // Their own files tasks may link, and the same owner may do so everywhere.
    f.append(&format!("{RUN}/containers/n/stdout"), "linked by its owner\n");
    let nested = f.path(&format!("{RUN}/containers/n"));
    fs::hard_link(nested.join("stdout"), nested.join("stdout.1.linked")).expect("link");
    for path in [nested.clone(), nested.join("stdout")] {
        chown(path, Some(TASK_USER), None).expect("chown");
    }
    f.wait(Duration::from_secs(30));
    assert_eq!(f.stdout(), [""; 0]);
    assert_eq!(f.texts(stream(b"c1", b"stderr")), ["of the agent"]);
    assert_eq!(f.texts(stream(b"c1.n", b"stdout")), ["linked by its owner"]);
    assert_eq!(f.metrics.skipped_files.with_label_values(&["hard_link"]).get(), 1);
    // What was not the task's does not become so when its other name goes.
    fs::remove_file(&secret).expect("remove");
    f.wait(Duration::from_secs(120));
    assert_eq!(f.stdout(), [""; 0]);
}

/// Whoever links what a task wrote later takes nothing from it.
#[test]
fn a_file_that_gets_another_name_later_is_read_on() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: files of two owners need root");
        return;
    }
    for begins_with in ["", "one\n"] {
        for restarted in [false, true] {
            let mut f = Fixture::new();
            // The agent writes as root what lies in a sandbox of the task's user.
            f.append(&out(), begins_with);
            chown(f.path(RUN), Some(TASK_USER), None).expect("chown");
            f.wait(Duration::from_secs(30));
            // So long that the file is closed.
            f.wait(Duration::from_secs(700));
            if restarted && !begins_with.is_empty() {
                f.restart();
            }
            fs::hard_link(f.path(&out()), f.path("elsewhere")).expect("link");
            f.append(&out(), "two\n");
            f.wait(Duration::from_secs(120));
            let lines: Vec<&str> = begins_with.lines().chain(["two"]).collect();
            assert_eq!(f.stdout(), lines);
            fs::remove_file(f.path("elsewhere")).expect("remove");
            f.append(&out(), "three\n");
            f.wait(Duration::from_secs(120));
            assert_eq!(f.stdout().last().map(String::as_str), Some("three"));
        }
    }
}

/// Files that wait for ever for the end of a line use up what their own sandbox may have open.
#[test]
fn files_of_one_sandbox_leave_descriptors_for_others() {
    const MOST: usize = 48;
    let mut f = Fixture::new();
    f.config.open_files_max = MOST;
    f.restart();
    let endless: Vec<File> = (0..200)
        .map(|n| {
            let mut writer = f.writer(&format!("{RUN}/containers/n{n}/stdout"));
            writer.write_all(b"x").expect("write");
            writer
        })
        .collect();
    f.wait(Duration::from_secs(15));
    let runs = "slaves/S1/frameworks/F/executors/E/runs";
    for n in 0..20 {
        f.append(&format!("{runs}/good{n}/stdout"), "good\n");
        f.pump();
        let good = format!("good{n}");
        assert_eq!(f.texts(stream(good.as_bytes(), b"stdout")), ["good"], "{good}");
    }
    assert!(f.collector().status().files_open < MOST);
    drop(endless);
    for _ in 0..40 {
        f.wait(Duration::from_secs(11));
    }
    let all = (0..200).filter(|n| {
        let nested = format!("c1.n{n}");
        f.texts(stream(nested.as_bytes(), b"stdout")) == ["x"]
    });
    assert_eq!(all.count(), 200, "what waited is read when the others are finished");
}

fn sandbox(n: usize) -> String {
    format!("slaves/S1/frameworks/F/executors/E/runs/c{n}")
}

fn lines_of(f: &Fixture, n: usize) -> Vec<String> {
    f.texts(stream(format!("c{n}").as_bytes(), b"stdout"))
}

/// What a file got after it was closed to make room, and took along before anybody looked, is not known:
/// that it may be lost is.
#[test]
fn a_parked_file_that_vanishes_is_told_of() {
    const FILES: usize = 60;
    let mut f = Fixture::new();
    f.config.open_files_max = 16;
    f.restart();
    let path = |n: usize| format!("{}/stdout", sandbox(n));
    let mut writers: Vec<File> = (0..FILES).map(|n| f.writer(&path(n))).collect();
    for (n, writer) in writers.iter_mut().enumerate() {
        writeln!(writer, "first of {n}").expect("write");
    }
    f.wait(Duration::from_secs(5));
    assert!((0..FILES).all(|n| lines_of(&f, n).len() == 1));
    for (n, writer) in writers.iter_mut().enumerate() {
        writeln!(writer, "last of {n}").expect("write");
        f.remove(&path(n));
    }
    drop(writers);
    f.wait(Duration::from_secs(60));
    let read = (0..FILES).filter(|n| lines_of(&f, *n).len() == 2).count();
    assert!(read > 0 && read <= 16, "{read} were open");
    let told = f.metrics.sandboxes.parked_files_vanished.get() as usize;
    assert_eq!(read + told, FILES, "each is read or told of");
}

/// Files that somebody writes to stay open as long as others can be closed.
#[test]
fn files_without_writers_are_parked_first() {
    const WRITTEN: usize = 8;
    let mut f = Fixture::new();
    f.config.open_files_max = 24;
    // The others would be closed soon anyway.
    f.config.release_after = Duration::from_secs(3600);
    f.restart();
    let path = |n: usize| format!("{}/stdout", sandbox(n));
    let mut writers: Vec<File> = (0..WRITTEN).map(|n| f.writer(&path(n))).collect();
    for (n, writer) in writers.iter_mut().enumerate() {
        writeln!(writer, "first of {n}").expect("write");
    }
    f.wait(Duration::from_secs(1));
    for n in 100..200 {
        f.append(&path(n), "short\n");
        f.wait(Duration::from_secs(1));
    }
    assert!(f.metrics.load.parked_files.get() >= 70, "files were closed");
    for (n, writer) in writers.iter_mut().enumerate() {
        writeln!(writer, "last of {n}").expect("write");
        f.remove(&path(n));
    }
    fs::remove_dir_all(f.path(&sandbox(150))).expect("remove");
    f.wait(Duration::from_secs(5));
    for n in 0..WRITTEN {
        assert_eq!(lines_of(&f, n), [format!("first of {n}"), format!("last of {n}")]);
    }
    assert_eq!(f.metrics.sandboxes.parked_files_vanished.get(), 0);
}

/// The system has too few watches: what it does not tell of is listed.
#[test]
fn too_few_watches_cost_time_and_nothing_else() {
    let mut f = Fixture::new();
    f.collector().limit_watches(10);
    for n in 0..20 {
        f.append(&format!("{}/stdout", sandbox(n)), "first\n");
    }
    f.pump();
    let errors = f.metrics.load.watch_errors.get();
    assert!(errors >= 17, "{errors} directories without a watch");
    // What is open flows on, and nobody else is looked at for that.
    for n in 0..20 {
        f.append(&format!("{}/stdout", sandbox(n)), "second\n");
    }
    f.wait(f.config.sweep_every);
    f.wait(f.config.sweep_every);
    assert!((0..20).all(|n| lines_of(&f, n) == ["first", "second"]));
    // New files are found by a rescan, in old directories and in new ones.
    for n in 0..20 {
        f.append(&format!("{}/stderr", sandbox(n)), "new\n");
    }
    f.append(&format!("{}/stdout", sandbox(20)), "new\n");
    f.wait(f.config.rescan_every);
    f.wait(f.config.sweep_every);
    let has_new = |f: &Fixture, n: usize| f.texts(stream(format!("c{n}").as_bytes(), b"stderr"));
    assert!((0..20).all(|n| has_new(&f, n) == ["new"]));
    assert_eq!(lines_of(&f, 20), ["new"]);
    // There are watches again.
    f.collector().limit_watches(1000);
    f.wait(f.config.rescan_every);
    let errors = f.metrics.load.watch_errors.get();
    f.append(&format!("{}/stderr", sandbox(20)), "told\n");
    f.pump();
    assert_eq!(has_new(&f, 20), ["told"], "the kernel tells");
    let before = (f.metrics.load.listings.get(), f.metrics.load.turns.get());
    for _ in 0..40 {
        f.step();
        f.pass(Duration::from_secs(1));
    }
    let after = (f.metrics.load.listings.get(), f.metrics.load.turns.get());
    assert!(after.0 <= before.0 + 5 && after.1 <= before.1 + 100, "{before:?}, {after:?}");
    assert_eq!(f.metrics.load.watch_errors.get(), errors);
}

/// Directories beyond a sandbox's share are not even looked into, until there is room.
#[test]
fn directories_of_one_sandbox_are_limited() {
    const MADE: usize = SANDBOX_DIRECTORIES_MAX + 500;
    let mut f = Fixture::new();
    let nested = f.path(&format!("{RUN}/containers"));
    for n in 0..MADE {
        fs::create_dir_all(nested.join(format!("n{n}"))).expect("mkdir");
    }
    f.append(&format!("{}/containers/n/stdout", sandbox(2)), "good\n");
    f.pump();
    assert_eq!(f.texts(stream(b"c2.n", b"stdout")), ["good"]);
    // The sandbox and its `containers` count too.
    let left_out = f.metrics.sandboxes.left_out_directories.get();
    assert_eq!(left_out as usize, MADE + 2 - SANDBOX_DIRECTORIES_MAX);
    assert_eq!(f.metrics.load.watch_errors.get(), 0);
    let now = f.now();
    let told = f.collector().view(now).why("c1.unheard");
    assert!(told.notes.iter().any(|note| note.contains("502 more directories")), "{told:?}");
    let listings = f.metrics.load.listings.get();
    assert!(listings < SANDBOX_DIRECTORIES_MAX as u64 + 100, "{listings} listings");
    // What was left out is looked into when others are gone.
    for n in 0..MADE - 10 {
        fs::remove_dir(nested.join(format!("n{n}"))).expect("remove");
    }
    for n in MADE - 10..MADE {
        f.append(&format!("{RUN}/containers/n{n}/stdout"), "at last\n");
    }
    f.wait(f.config.rescan_every);
    f.wait(f.config.rescan_every);
    assert_eq!(f.metrics.sandboxes.left_out_directories.get(), 0);
    for n in MADE - 10..MADE {
        let id = stream(format!("c1.n{n}").as_bytes(), b"stdout");
        assert_eq!(f.texts(id), ["at last"], "n{n}");
    }
    fs::remove_dir_all(f.path(RUN)).expect("remove");
    f.pump();
}

/// Files that waited for a descriptor and never got one are lost to the byte that was seen.
#[test]
fn files_that_vanish_while_they_wait_are_counted() {
    const FILES: usize = 30;
    let mut f = Fixture::new();
    f.config.open_files_max = 12;
    f.restart();
    let nested = |n: usize| format!("{RUN}/containers/n{n}");
    let writers: Vec<File> = (0..FILES)
        .map(|n| {
            let mut writer = f.writer(&format!("{}/stdout", nested(n)));
            writer.write_all(b"byte").expect("write");
            writer
        })
        .collect();
    f.pump();
    let open = f.collector().status().files_open;
    assert!(open < FILES);
    for n in 0..FILES {
        match n % 2 {
            0 => f.remove(&format!("{}/stdout", nested(n))),
            _ => fs::remove_dir_all(f.path(&nested(n))).expect("remove"),
        }
    }
    f.pump();
    drop(writers);
    f.wait(Duration::from_secs(10));
    f.wait(Duration::from_secs(10));
    let id = |n: usize| stream(format!("c1.n{n}").as_bytes(), b"stdout");
    let read = (0..FILES).filter(|n| f.texts(id(*n)) == ["byte"]).count();
    assert_eq!(read, open);
    assert_eq!(f.lost("vanished"), 4 * (FILES - open) as u64);
    assert_eq!(f.store(|store| store.lost_bytes()), 4 * (FILES - open));
}

#[test]
fn what_was_read_of_a_file_that_waits_in_a_sandbox_that_goes_is_not_lost() {
    let mut f = Fixture::new();
    let nested = format!("{RUN}/containers/n/stdout");
    f.append(&nested, "acknowledged\n");
    f.pump();
    f.wait(Duration::from_secs(1));
    f.kill();
    f.append(&nested, "and not");
    let mut writers = Vec::new();
    for n in 0..30 {
        let other = f.path(&format!("{RUN}/stdout.{}", n + 1));
        fs::create_dir_all(other.parent().expect("a parent")).expect("mkdir");
        let mut writer = File::create(other).expect("create");
        writer.write_all(b"x").expect("write");
        writers.push(writer);
    }
    f.config.open_files_max = 5;
    f.start();
    f.pump();
    fs::remove_dir_all(f.path(&format!("{RUN}/containers"))).expect("remove");
    f.pump();
    f.wait(Duration::from_secs(1));
    let id = stream(b"c1.n", b"stdout");
    assert_eq!(f.texts(id), ["acknowledged"]);
    assert_eq!((f.lost("vanished"), f.store(|store| store.lost_bytes_of(id))), (7, 7));
}
