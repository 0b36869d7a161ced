//! The real logrotate, beyond the ten: several rotations in a row by each of the usual configurations,
//! while a writer goes on, and where it says so, two of them while the collector is down.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::reopener::Reopener;
use super::verifier::{assert_lost, verify, verify_container, wait_for_lines};
use super::work::Work;
use crate::node::{Node, Setup};
use crate::tools;

const ROTATIONS: u32 = 6;
/// The first of the two rotations that a collector may not see.
const UNSEEN: u32 = 3;
/// Between two rotations.
const PAUSE: Duration = Duration::from_millis(300);
/// The names of `dateext` tell seconds at best.
const DATE_PAUSE: Duration = Duration::from_millis(1100);

/// When the writer opens its file again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reopens {
    /// Told by logrotate before it compresses.
    Within,
    /// Behind the rotation: what it writes meanwhile gets into a file that has another name.
    Behind,
    Never,
}

/// One configuration of logrotate.
struct Logrotate {
    program: PathBuf,
    config: PathBuf,
}

impl Logrotate {
    /// `None` without logrotate.
    fn new(dir: &Path, files: &[PathBuf], options: &str) -> Option<Self> {
        let program = tools::find("logrotate", "logrotate")?;
        let config = dir.join("logrotate.conf");
        let names: Vec<String> = files.iter().map(|file| format!("{:?}", file)).collect();
        std::fs::write(&config, format!("{} {{\n{options}\n}}\n", names.join(" "))).unwrap();
        Some(Self { program, config })
    }

    #[track_caller]
    fn rotate(&self) {
        let state = self.config.with_extension("state");
        let mut command = Command::new(&self.program);
        command.arg("--force").arg("--state").arg(state).arg(&self.config);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// A writer, its logrotate, and who collects what it writes.
struct Scene {
    work: Work,
    writer: Reopener,
    logrotate: Logrotate,
    reopens: Reopens,
    pause: Duration,
}

impl Scene {
    /// `None` without logrotate.
    fn new(options: &str, reopens: Reopens) -> Option<Self> {
        let work = Work::new();
        let file = work.stdout("c1");
        Self::of(work, &file, options, reopens)
    }

    fn of(work: Work, file: &Path, options: &str, reopens: Reopens) -> Option<Self> {
        let writer = Reopener::start(work.path(), file, "w");
        let mut options = options.to_owned();
        if reopens == Reopens::Within {
            options = format!("{options}\npostrotate\n{}endscript", writer.script());
        }
        let pause = if options.contains("dateext") { DATE_PAUSE } else { PAUSE };
        let logrotate = Logrotate::new(work.path(), &[file.to_owned()], &options)?;
        Some(Self { work, writer, logrotate, reopens, pause })
    }

    fn rotate(&self) {
        std::thread::sleep(self.pause);
        self.logrotate.rotate();
        if self.reopens == Reopens::Behind {
            self.writer.reopen();
        }
    }

    fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.work.runs().join("c1")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// Rotates all the times; each line is to be found once. Gives the files that are there then.
    fn each_line_once(self, setup: &Setup, is_down: bool) -> Vec<String> {
        let mut node = setup.start();
        for n in 0..ROTATIONS {
            if is_down && n == UNSEEN {
                node.kill();
            }
            self.rotate();
            if is_down && n == UNSEEN + 1 {
                node = setup.start().ready();
            }
        }
        let (files, log) = (self.files(), self.writer.log.clone());
        let lines = self.writer.end();
        verify_container(&node, "c1", &[(&log, 0..lines)]).assert_exactly();
        assert_lost(&node, &[]);
        println!("{lines} lines, files {files:?}");
        files
    }
}

/// A usual configuration, two rotations of which the collector does not see.
fn usual(options: &str, reopens: Reopens) -> Option<Vec<String>> {
    let scene = Scene::new(&format!("rotate 9\n{options}"), reopens)?;
    let setup = scene.work.node();
    Some(scene.each_line_once(&setup, true))
}

fn ending_with(files: &[String], end: &str) -> usize {
    files.iter().filter(|name| name.ends_with(end)).count()
}

#[test]
fn files_that_are_renamed() {
    let Some(files) = usual("create", Reopens::Behind) else { return };
    assert_eq!(files.len(), 1 + ROTATIONS as usize, "{files:?}");
}

#[test]
fn files_with_dates_in_their_names() {
    let Some(files) = usual("dateext\ndateformat -%Y%m%d-%H%M%S", Reopens::Behind) else { return };
    assert_eq!(files.len(), 1 + ROTATIONS as usize, "{files:?}");
}

#[test]
fn files_that_are_compressed_at_once() {
    let Some(files) = usual("compress", Reopens::Within) else { return };
    assert_eq!(ending_with(&files, ".gz"), ROTATIONS as usize, "{files:?}");
}

#[test]
fn files_that_are_compressed_one_rotation_later() {
    let Some(files) = usual("compress\ndelaycompress", Reopens::Behind) else { return };
    assert_eq!(ending_with(&files, ".gz"), ROTATIONS as usize - 1, "{files:?}");
}

#[test]
fn files_that_are_deleted_at_once() {
    let Some(scene) = Scene::new("rotate 0\ncreate", Reopens::Behind) else { return };
    let setup = scene.work.node();
    let files = scene.each_line_once(&setup, false);
    assert_eq!(files, ["stdout"]);
}

/// What logrotate does between copying and truncating is in no file: that alone may be missing.
#[test]
fn files_that_are_copied_and_truncated() {
    let Some(scene) = Scene::new("rotate 9\ncopytruncate", Reopens::Never) else { return };
    let node = scene.work.node().start();
    for _ in 0..ROTATIONS {
        scene.rotate();
    }
    let (files, log) = (scene.files(), scene.writer.log.clone());
    assert_eq!(files.len(), 1 + ROTATIONS as usize, "{files:?}");
    let lines = scene.writer.end();
    let mut there = Vec::new();
    for name in &files {
        there.extend(std::fs::read(scene.work.runs().join("c1").join(name)).unwrap());
    }
    let found = verify_container(&node, "c1", &[(&log, 0..lines)]);
    found.assert_clean();
    let in_files = verify(&there, &[(&log, 0..lines)]);
    assert_eq!((in_files.duplicates, in_files.foreign), (0, 0), "{in_files:?}");
    let is_missing = |n: u32, of: &super::verifier::Report| {
        of.missing.values().flatten().any(|range| range.contains(&n))
    };
    let wrong: Vec<u32> =
        (0..lines).filter(|n| is_missing(*n, &found) && !is_missing(*n, &in_files)).collect();
    assert!(wrong.is_empty(), "in a file and not found: {wrong:?}");
    println!("{lines} lines, {} bytes in no file", in_files.missing_bytes);
}

/// Two files of one configuration, and one script behind both.
#[test]
fn one_script_for_two_writers() {
    let work = Work::new();
    let containers = ["c1", "c2"];
    let files = containers.map(|container| work.stdout(container));
    let writers = [("v", &files[0]), ("w", &files[1])]
        .map(|(tag, file)| Reopener::start(work.path(), file, tag));
    let scripts = writers.each_ref().map(Reopener::script).concat();
    let options = format!("rotate 9\ncompress\nsharedscripts\npostrotate\n{scripts}endscript");
    let Some(logrotate) = Logrotate::new(work.path(), &files, &options) else { return };
    let node = work.node().start();
    for _ in 0..ROTATIONS {
        std::thread::sleep(PAUSE);
        logrotate.rotate();
    }
    for (container, writer) in containers.into_iter().zip(writers) {
        let log = writer.log.clone();
        let lines = writer.end();
        verify_container(&node, container, &[(&log, 0..lines)]).assert_exactly();
    }
    assert_lost(&node, &[]);
}

fn everything(node: &Node, lines: u32) -> Vec<u8> {
    let all = r#"{host=~".+"}"#;
    wait_for_lines(node, all, u64::from(lines));
    node.export(all)
}

/// Rotated files go into another directory, which is watched as well.
#[test]
fn files_that_are_moved_to_another_directory() {
    let work = Work::new();
    let dir = work.path().join("app");
    let old = dir.join("old");
    std::fs::create_dir_all(&old).unwrap();
    let setup =
        Setup::new(&work.data()).arg("--path", dir.join("*.log")).arg("--path", old.join("*.log"));
    let options = format!("rotate 9\ncreate\nolddir {}", old.display());
    let file = dir.join("app.log");
    let Some(scene) = Scene::of(work, &file, &options, Reopens::Behind) else { return };
    let node = setup.start();
    for _ in 0..ROTATIONS {
        scene.rotate();
    }
    let log = scene.writer.log.clone();
    let lines = scene.writer.end();
    assert_eq!(std::fs::read_dir(&old).unwrap().count(), ROTATIONS as usize);
    verify(&everything(&node, lines), &[(&log, 0..lines)]).assert_exactly();
    assert_lost(&node, &[]);
}
