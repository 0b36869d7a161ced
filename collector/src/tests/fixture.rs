//! A directory with sandboxes, a collector on it, and a clock.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use prometheus::Registry;
use sawlog_transport::{GenerationId, StreamId};
use tempfile::TempDir;

use super::store::{Recorder, Store};
use crate::clock::Now;
use crate::config::Config;
use crate::identity::{facts, facts_of_path, identify};
use crate::metrics::Metrics;
use crate::run::Loop;
use crate::start::StartError;

/// Steps without any progress after which nothing more will happen at this moment.
const IDLE_STEPS: usize = 4;
/// What passes between two steps: more than the linger of a batch.
const TICK: Duration = Duration::from_millis(60);

/// Files made before the inode number of a deleted one is given up for lost.
const REUSE_ATTEMPTS_MAX: usize = 4;

/// How often a start is tried, a millisecond apart, while the data directory is locked.
const LOCKED_ATTEMPTS_MAX: u32 = 10_000;

pub(super) const RUN: &str = "slaves/S1/frameworks/F/executors/E/runs/c1";

pub(super) struct Fixture {
    pub recorder: Arc<Recorder>,
    pub config: Config,
    pub metrics: Metrics,
    collector: Option<Loop>,
    now: Now,
    temp: TempDir,
    _data: TempDir,
}

impl Fixture {
    /// A collector on an empty work directory.
    pub(super) fn new() -> Self {
        Self::with(|config, root| config.mesos_work_dirs = vec![root.join("work")])
    }

    /// A collector on the globs, which are relative to the directory `work`.
    pub(super) fn on_paths(globs: &[&str]) -> Self {
        Self::with(|config, root| {
            let below = root.join("work");
            let absolute = |glob: &&str| below.join(glob).to_str().expect("text").to_owned();
            config.paths = globs.iter().map(absolute).collect();
        })
    }

    /// A collector on an empty work directory in a file system in memory.
    pub(super) fn in_memory() -> Self {
        let temp = tempfile::tempdir_in("/dev/shm").expect("temp dir");
        Self::in_dir(temp, |config, root| config.mesos_work_dirs = vec![root.join("work")])
    }

    fn with(set: impl FnOnce(&mut Config, &Path)) -> Self {
        Self::in_dir(tempfile::tempdir().expect("temp dir"), set)
    }

    fn in_dir(temp: TempDir, set: impl FnOnce(&mut Config, &Path)) -> Self {
        fs::create_dir(temp.path().join("work")).expect("mkdir");
        let data = data_dir();
        let mut config = Config::new(data.path(), "h1");
        set(&mut config, temp.path());
        let mut this = Self {
            recorder: Arc::new(Recorder::default()),
            config,
            metrics: Metrics::register(&Registry::new()).expect("metrics"),
            collector: None,
            now: Now { monotonic: Duration::ZERO, wall: 1_800_000_000_000_000_000 },
            temp,
            _data: data,
        };
        this.start();
        this
    }

    /// A collector that died and starts again.
    pub(super) fn restart(&mut self) {
        self.kill();
        self.start();
    }

    pub(super) fn kill(&mut self) {
        self.collector = None;
    }

    pub(super) fn start(&mut self) {
        for attempt in 0.. {
            let (config, metrics) = (self.config.clone(), self.metrics.clone());
            match Loop::open(config, self.recorder.clone(), metrics, self.now) {
                // A child that another test forks has the lock of who was killed until it executes.
                Err(StartError::Locked { .. }) if attempt < LOCKED_ATTEMPTS_MAX => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                collector => {
                    self.collector = Some(collector.expect("the collector starts"));
                    return;
                }
            }
        }
    }

    /// Loses all checkpoints of a collector that is not running.
    pub(super) fn forget_checkpoints(&self) {
        fs::remove_file(self.config.data_dir.join("checkpoints")).expect("remove");
        self.recorder.store.lock().forgotten = true;
    }

    pub(super) fn collector(&mut self) -> &mut Loop {
        self.collector.as_mut().expect("the collector runs")
    }

    /// One turn of the loop; tells whether it wants the next one at once.
    pub(super) fn step(&mut self) -> bool {
        let now = self.now;
        let sleep = self.collector().step(now);
        self.pass(if sleep.is_zero() { Duration::from_millis(1) } else { TICK });
        sleep.is_zero()
    }

    pub(super) fn now(&self) -> Now {
        self.now
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now.monotonic += time;
        self.now.wall += time.as_nanos() as i64;
    }

    /// Steps until nothing happens any more; little time passes.
    pub(super) fn pump(&mut self) {
        let mut idle = 0;
        let mut before = None;
        while idle < IDLE_STEPS {
            let goes_on = self.step();
            let batches = self.recorder.store.lock().batches;
            let after = Some((self.collector().status(), batches));
            idle = if after == before && !goes_on { idle + 1 } else { 0 };
            before = after;
        }
    }

    /// Lets so much time pass, and what it brings happen.
    pub(super) fn wait(&mut self, time: Duration) {
        self.pump();
        self.pass(time);
        self.pump();
    }

    pub(super) fn path(&self, below: &str) -> PathBuf {
        self.temp.path().join("work").join(below)
    }

    /// Adds bytes to a file, made with its directories if need be, and closes it.
    pub(super) fn append(&self, below: &str, bytes: impl AsRef<[u8]>) {
        self.writer(below).write_all(bytes.as_ref()).expect("write");
    }

    /// A file open for appending.
    pub(super) fn writer(&self, below: &str) -> File {
        let path = self.path(below);
        fs::create_dir_all(path.parent().expect("a parent")).expect("mkdir");
        OpenOptions::new().create(true).append(true).open(path).expect("open")
    }

    pub(super) fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).expect("rename");
    }

    pub(super) fn remove(&self, below: &str) {
        fs::remove_file(self.path(below)).expect("remove");
    }

    /// Makes an empty file with the inode number of one that was deleted; `false` if the file system does
    /// not give it again soon. There is no file then.
    pub(super) fn make_again(&self, path: &Path, number: u64) -> bool {
        (0..REUSE_ATTEMPTS_MAX).any(|_| {
            File::create(path).expect("create");
            let is_it = inode(path) == number;
            if !is_it {
                fs::remove_file(path).expect("remove");
            }
            is_it
        })
    }

    /// Empties a file as `copytruncate` and `truncate -s 0` do.
    pub(super) fn truncate(&self, below: &str) {
        OpenOptions::new().write(true).truncate(true).open(self.path(below)).expect("truncate");
    }

    /// Copies a file, a tick of the file system's clock after it was made: no copy takes less.
    pub(super) fn copy(&self, from: &str, to: &str) {
        let birth = |path: &Path| facts_of_path(path).expect("stat").key.birth_time;
        let (from, probe) = (self.path(from), self.temp.path().join("probe"));
        loop {
            fs::write(&probe, "").expect("write");
            let now = birth(&probe);
            fs::remove_file(&probe).expect("remove");
            if now > birth(&from) {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        fs::copy(from, self.path(to)).expect("copy");
    }

    /// Bytes that the collector declared lost, by reason.
    pub(super) fn lost(&self, reason: &str) -> u64 {
        self.metrics.lost_bytes.with_label_values(&[reason]).get()
    }

    /// Looks into what was stored.
    pub(super) fn store<T>(&self, look: impl FnOnce(&Store) -> T) -> T {
        look(&self.recorder.store.lock())
    }

    /// The lines of `stdout` in [`RUN`].
    pub(super) fn stdout(&self) -> Vec<String> {
        self.texts(stream(b"c1", b"stdout"))
    }

    pub(super) fn texts(&self, stream: StreamId) -> Vec<String> {
        let texts = self.store(|store| store.texts(stream));
        texts.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect()
    }

    /// Asserts that every byte of a file is accounted for.
    pub(super) fn assert_complete(&self, below: &str) {
        let (generation, content) = generation(&self.path(below));
        let complete = self.store(|store| store.is_complete(generation, content.len() as u64));
        assert!(complete, "'{below}' is not complete");
    }

    /// Asserts that nothing was declared lost.
    pub(super) fn assert_nothing_lost(&self) {
        assert_eq!(self.store(|store| store.lost_bytes()), 0);
    }

    pub(super) fn duplicates(&self) -> u64 {
        self.store(|store| store.duplicates)
    }
}

/// A data directory in memory where there is one: thousands of starts would wait for the disk.
fn data_dir() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("temp dir")
}

pub(super) fn inode(path: &Path) -> u64 {
    fs::metadata(path).expect("stat").ino()
}

/// A stream in the executor of [`RUN`].
pub(super) fn stream(container: &[u8], file: &[u8]) -> StreamId {
    StreamId::of_file(b"S1", b"F", b"E", container, file)
}

/// What a file that was never truncated is called, and what is in it.
pub(super) fn generation(path: &Path) -> (GenerationId, Vec<u8>) {
    let file = File::open(path).expect("open");
    let found = facts(&file).expect("stat");
    let mut content = vec![0; found.size as usize];
    file.read_exact_at(&mut content, 0).expect("read");
    (GenerationId::of_file(&identify(&file, &found), 0), content)
}
