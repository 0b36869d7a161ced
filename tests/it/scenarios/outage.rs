//! Scenario 6, an outage with churn: the broker is away while containers write, rotate and end, and their
//! sandboxes are removed; what is deleted is held open within a budget, then spilled. 15 s instead of 120 s,
//! 20 MB/s instead of 200, files of 1 MiB instead of 10, and budgets an eighth of those.

use std::io::Write;
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
/// What may have been deleted since the collector last looked: a file of each container.
const PINNED_SLACK: u64 = (SLOTS as u64) << 20;
const RSS_MAX: u64 = 128 << 20;

fn name(slot: u32, life: u32) -> String {
    format!("c{slot}x{life}")
}

fn log(slot: u32, life: u32) -> Log {
    Log::new(&name(slot, life), 100..=400)
}

/// Containers one after the other; gives how many lines each wrote.
fn slot(work: &Work, slot: u32, over: &AtomicBool) -> Vec<u32> {
    let mut lives = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let life = lives.len() as u32;
        let path = work.stdout(&name(slot, life));
        lives.push(container(&log(slot, life), &path, over));
        std::thread::sleep(REMOVED_AFTER);
        // The last ones stay.
        if !over.load(Ordering::Relaxed) {
            std::fs::remove_dir_all(path.parent().expect("it is in a sandbox")).unwrap();
        }
    }
    lives
}

fn container(log: &Log, path: &std::path::Path, over: &AtomicBool) -> u32 {
    let mut logger = Logger::new(path, ROTATE_BYTES, KEEP);
    let (started, mut n, mut written) = (Instant::now(), 0, 0);
    while started.elapsed() < LIFE && !over.load(Ordering::Relaxed) {
        let lines = log.lines(n..n + 50);
        logger.write(&lines).unwrap();
        (n, written) = (n + 50, written + lines.len());
        let due = Duration::from_secs_f64(written as f64 / BYTES_PER_SECOND);
        std::thread::sleep(due.saturating_sub(started.elapsed()));
    }
    n
}

/// The most that was seen of what has a limit.
#[derive(Debug, Default)]
struct Highest {
    pinned: u64,
    rss: u64,
}

impl Highest {
    fn look(&mut self, node: &Node, work: &Work) {
        self.pinned = self.pinned.max(deleted_bytes(node, &work.work_dir()));
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
    let over = AtomicBool::new(false);
    let mut topic = Topic::new(broker.bootstrap(), TOPIC);
    let ready = || collector.get("/ready", &[]).0;
    eventually("the topic is found", ready, |status| *status == 200);
    let mut highest = Highest::default();
    let written = std::thread::scope(|scope| {
        let over = &over;
        let slots: Vec<_> =
            (0..SLOTS).map(|number| scope.spawn(move || slot(work, number, over))).collect();
        std::thread::sleep(Duration::from_secs(2));
        broker.stop(1);
        let away = Instant::now();
        while away.elapsed() < OUTAGE {
            highest.look(&collector, work);
            std::thread::sleep(Duration::from_millis(500));
        }
        broker.start_again();
        std::thread::sleep(Duration::from_secs(2));
        over.store(true, Ordering::Relaxed);
        slots.into_iter().map(|slot| slot.join().unwrap()).collect::<Vec<_>>()
    });
    let lines: u32 = written.iter().flatten().sum();
    topic.read_until(&collector, lines as usize, Duration::from_secs(20));
    highest.look(&collector, work);
    println!(
        "{lines} lines written, {} arrived; pinned at most {} MiB, RssAnon {} MiB",
        topic.received.lines(),
        highest.pinned >> 20,
        highest.rss >> 20
    );
    Outcome { collector, topic, written, highest }
}

impl Outcome {
    fn check_limits(&self) {
        let Highest { pinned, rss } = self.highest;
        assert!(pinned <= PINNED_MAX + PINNED_SLACK, "{pinned} bytes of deleted files were held");
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
