//! Scenario 6, an outage with churn: the broker is away while containers write, rotate and end, and their
//! sandboxes are removed; what is deleted is held open within a budget, then spilled. 15 s instead of 120 s,
//! 20 MB/s instead of 200, files of 1 MiB instead of 10, and budgets an eighth of those.

use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::process::deleted_bytes;
use super::topic::Topic;
use super::verifier::{lost_bytes, verify};
use super::work::Work;
use super::writer::{Log, Logger};
use crate::kafka::broker::Broker;
use crate::node::{Node, Setup, eventually};

const TOPIC: &str = "logs";
const OUTAGE: Duration = Duration::from_secs(15);
/// How many containers there are at any time.
const SLOTS: u32 = 10;
const BYTES_PER_SECOND: f64 = 2e6;
/// How long a container lives, and how long its sandbox stays then.
const LIFE: Duration = Duration::from_secs(4);
const REMOVED_AFTER: Duration = Duration::from_millis(500);
const ROTATE_BYTES: usize = 1 << 20;
const KEEP: u32 = 2;
const PINNED_MAX: u64 = 32 << 20;
/// What was deleted within so much time may be held beyond the budget, for the collector has to see it
/// first and to read it into the spool, ...
const SEEN_AFTER: Duration = Duration::from_secs(1);
/// ... and what was deleted while the disk made so many syncs as slow as the slowest one: a batch waits for
/// the one under way, and for its own.
const SYNCS: u32 = 2;
const RSS_MAX: u64 = 128 << 20;

fn name(slot: u32, life: u32) -> String {
    format!("c{slot}x{life}")
}

fn log(slot: u32, life: u32) -> Log {
    Log::new(&name(slot, life), 100..=400)
}

/// What all writers know.
#[derive(Debug, Default)]
struct Scene {
    over: AtomicBool,
    /// When how many bytes were deleted.
    deletions: Mutex<Vec<(Instant, u64)>>,
    /// How long the disk took for a page at most.
    slowest_sync: Mutex<Duration>,
}

impl Scene {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    fn note_deletion(&self, bytes: usize) {
        self.deletions.lock().unwrap().push((Instant::now(), bytes as u64));
    }

    /// Syncs a page again and again, as the spool does with its batches.
    fn sync_pages(&self, path: &Path) {
        let mut file = std::fs::File::create(path).unwrap();
        while !self.is_over() {
            let started = Instant::now();
            file.write_all(&[b'x'; 4096]).unwrap();
            file.sync_data().unwrap();
            let mut slowest = self.slowest_sync.lock().unwrap();
            *slowest = slowest.max(started.elapsed());
            drop(slowest);
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Since when what is deleted may be held beyond the budget.
    fn not_seen_since(&self) -> Instant {
        Instant::now() - SEEN_AFTER - SYNCS * *self.slowest_sync.lock().unwrap()
    }

    fn deleted_since(&self, since: Instant) -> u64 {
        let deletions = self.deletions.lock().unwrap();
        deletions.iter().filter(|(at, _)| *at >= since).map(|(_, bytes)| bytes).sum()
    }
}

/// Containers one after the other; gives how many lines each wrote. The slots end theirs in turn, as
/// containers of one node do.
fn slot(work: &Work, slot: u32, scene: &Scene) -> Vec<u32> {
    let mut lives = Vec::new();
    let mut life_time = LIFE * (slot + 1) / SLOTS;
    while !scene.is_over() {
        let life = lives.len() as u32;
        let path = work.stdout(&name(slot, life));
        let mut container = Container::new(log(slot, life), &path);
        lives.push(container.live(life_time, scene));
        std::thread::sleep(REMOVED_AFTER);
        // The last ones stay.
        if !scene.is_over() {
            std::fs::remove_dir_all(path.parent().expect("it is in a sandbox")).unwrap();
            scene.note_deletion(container.bytes());
        }
        life_time = LIFE;
    }
    lives
}

struct Container {
    log: Log,
    logger: Logger,
}

impl Container {
    fn new(log: Log, path: &Path) -> Self {
        Self { log, logger: Logger::new(path, ROTATE_BYTES, KEEP) }
    }

    /// Bytes of its files.
    fn bytes(&self) -> usize {
        self.logger.written + self.logger.rotations.min(KEEP) as usize * ROTATE_BYTES
    }

    /// Writes for so long; gives how many lines.
    fn live(&mut self, life_time: Duration, scene: &Scene) -> u32 {
        let (started, mut n, mut written) = (Instant::now(), 0, 0);
        while started.elapsed() < life_time && !scene.is_over() {
            let lines = self.log.lines(n..n + 50);
            let rotations = self.logger.rotations;
            self.logger.write(&lines).unwrap();
            if self.logger.rotations > rotations.max(KEEP) {
                scene.note_deletion(ROTATE_BYTES);
            }
            (n, written) = (n + 50, written + lines.len());
            let due = Duration::from_secs_f64(written as f64 / BYTES_PER_SECOND);
            std::thread::sleep(due.saturating_sub(started.elapsed()));
        }
        n
    }
}

/// The most that was seen of what has a limit.
#[derive(Debug, Default)]
struct Highest {
    /// Bytes of deleted files, as the kernel has them.
    pinned: u64,
    /// The same without what had only just been deleted.
    pinned_seen: u64,
    rss: u64,
}

impl Highest {
    fn look(&mut self, node: &Node, work: &Work, scene: &Scene) {
        let since = scene.not_seen_since();
        let pinned = deleted_bytes(node, &work.work_dir());
        self.pinned = self.pinned.max(pinned);
        self.pinned_seen = self.pinned_seen.max(pinned.saturating_sub(scene.deleted_since(since)));
        self.rss = self.rss.max(node.rss_anon());
    }
}

fn setup(work: &Work, broker: &Broker, spool: &str) -> Setup {
    let config = work.path().join("sawlog.toml");
    let mut file = std::fs::File::create(&config).unwrap();
    write!(file, "[collector]\npinned_bytes = \"32MiB\"\nspool_bytes = \"{spool}\"\n").unwrap();
    Setup::new(&work.data())
        .role("collector")
        .arg("--config", config)
        .arg("--mesos-work-dir", work.work_dir())
        .arg("--brokers", broker.bootstrap())
        .arg("--topic", TOPIC)
        .arg("--topic-partitions", "1")
}

/// What the outage left: the collector, all that the topic has, and what was written.
struct Outcome {
    collector: Node,
    topic: Topic,
    written: Vec<Vec<u32>>,
    highest: Highest,
}

/// The broker is there, away for a while, and there again; writers write all the time.
fn play(work: &Work, broker: &mut Broker, collector: Node) -> Outcome {
    let scene = Scene::default();
    let mut topic = Topic::new(broker.bootstrap(), TOPIC);
    let ready = || collector.get("/ready", &[]).0;
    eventually("the topic is found", ready, |status| *status == 200);
    let mut highest = Highest::default();
    let written = std::thread::scope(|scope| {
        let scene = &scene;
        let slots: Vec<_> =
            (0..SLOTS).map(|number| scope.spawn(move || slot(work, number, scene))).collect();
        scope.spawn(|| scene.sync_pages(&work.path().join("pages")));
        std::thread::sleep(Duration::from_secs(2));
        broker.stop(1);
        let away = Instant::now();
        while away.elapsed() < OUTAGE {
            highest.look(&collector, work, scene);
            std::thread::sleep(Duration::from_millis(500));
        }
        broker.start_again();
        std::thread::sleep(Duration::from_secs(2));
        scene.over.store(true, Ordering::Relaxed);
        slots.into_iter().map(|slot| slot.join().unwrap()).collect::<Vec<_>>()
    });
    let lines: u32 = written.iter().flatten().sum();
    topic.read_until(&collector, lines as usize, Duration::from_secs(20));
    highest.look(&collector, work, &scene);
    println!(
        "{lines} lines written, {} arrived; pinned at most {} MiB, {} but for what was new, RssAnon {} MiB, \
         slowest sync {:?}",
        topic.received.lines(),
        highest.pinned >> 20,
        highest.pinned_seen >> 20,
        highest.rss >> 20,
        scene.slowest_sync.lock().unwrap()
    );
    Outcome { collector, topic, written, highest }
}

impl Outcome {
    fn check_limits(&self) {
        let Highest { pinned_seen, rss, .. } = self.highest;
        assert!(pinned_seen <= PINNED_MAX, "{pinned_seen} bytes of deleted files were held");
        assert!(rss < RSS_MAX, "RssAnon reached {rss} bytes");
    }

    /// Bytes of lines that did not arrive; of each container at most one stretch, never its last line if
    /// it still ran when the broker was back.
    fn missing(&self) -> u64 {
        let mut missing = 0;
        for (number, lives) in (0..).zip(&self.written) {
            for (life, lines) in (0..).zip(lives) {
                let text = self.topic.received.text_of(&name(number, life));
                let report = verify(&text, &[(&log(number, life), 0..*lines)]);
                report.assert_clean_in_any_order();
                let gaps = report.missing.values().flatten().count();
                assert!(gaps <= 1, "what is lost is one stretch: {report:?}");
                let is_last = life + 1 == lives.len() as u32;
                assert!(!is_last || gaps == 0, "the newest is intact: {report:?}");
                missing += report.missing_bytes;
            }
        }
        missing
    }
}

#[test]
fn what_is_deleted_during_an_outage_is_held_within_its_budget_and_spilled() {
    let Some(mut broker) = Broker::start(1, &[]) else { return };
    let work = Work::new();
    let collector = setup(&work, &broker, "1GiB").start();
    let outcome = play(&work, &mut broker, collector);
    assert_eq!(outcome.missing(), 0);
    assert_eq!(lost_bytes(&outcome.collector), [].into());
    outcome.check_limits();
}

#[test]
fn beyond_all_budgets_the_oldest_goes_first_and_is_told() {
    let Some(mut broker) = Broker::start(1, &[]) else { return };
    let work = Work::new();
    let collector = setup(&work, &broker, "4MiB").start();
    let outcome = play(&work, &mut broker, collector);
    outcome.check_limits();
    let missing = outcome.missing();
    assert!(missing > 0, "it was more than all budgets together");
    let expected = [("budget".to_owned(), missing)].into();
    let told = (lost_bytes(&outcome.collector), outcome.topic.received.lost());
    assert_eq!(told, (expected, [("budget".to_owned(), missing)].into()));
}
