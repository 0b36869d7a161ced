//! Through a real Kafka, what containers write comes back exactly once and in order, whoever is killed
//! on the way and however long the broker is away.

use std::time::{Duration, Instant};

use super::broker::Broker;
use super::client::Client;
use super::pipeline::{PARTITIONS, Pipeline, TOPIC, pause_for};
use super::tool;
use crate::agent::{Agent, wait_all};
use crate::node::{Node, eventually};
use crate::random::Random;

const WRITERS: u32 = 20;
const LINES: u32 = 15_000;
/// In flight 16 MiB as text, as encoded and as the client copies it, and what the process takes itself.
const COLLECTOR_RSS_MAX: u64 = 128 << 20;
const AGGREGATOR_RSS_MAX: u64 = 400 << 20;

/// The most that a process was seen to take.
#[derive(Default)]
struct Highest {
    collector: u64,
    aggregator: u64,
}

impl Highest {
    fn look(&mut self, collector: &Node, aggregator: &Node) {
        self.collector = self.collector.max(collector.rss_anon());
        self.aggregator = self.aggregator.max(aggregator.rss_anon());
    }

    fn check(&self) {
        let Self { collector, aggregator } = self;
        println!("RssAnon: collector {} MiB, aggregator {} MiB", collector >> 20, aggregator >> 20);
        assert!(*collector < COLLECTOR_RSS_MAX, "the collector took {collector} bytes");
        assert!(*aggregator < AGGREGATOR_RSS_MAX, "the aggregator took {aggregator} bytes");
    }
}

/// 300,000 lines with rotation, through a topic that the roles created themselves.
#[test]
fn each_line_once_and_in_order() {
    let Some(broker) = Broker::start(1, &[]) else { return };
    let pipeline = Pipeline::new(&broker, Agent::new(WRITERS, LINES));
    let aggregator = pipeline.aggregator("2s").start();
    let collector = pipeline.collector().start();
    let mut writers = pipeline.agent.spawn_writers(Duration::from_millis(20));
    let mut highest = Highest::default();
    while writers.iter_mut().any(|writer| writer.try_wait().unwrap().is_none()) {
        highest.look(&collector, &aggregator);
        std::thread::sleep(Duration::from_millis(50));
    }
    wait_all(writers);
    pipeline.agent.check(&aggregator);
    highest.look(&collector, &aggregator);
    highest.check();
    assert_topic(&broker);
    assert_eq!(collector.terminate(), Some(0));
    assert_eq!(aggregator.terminate(), Some(0));
    assert_group(&broker);
    // All of it is sealed, and nothing is read twice.
    let aggregator = pipeline.aggregator("2s").start().ready();
    pipeline.agent.check(&aggregator);
    assert_eq!(aggregator.metric("sawlog_aggregator_batches_total"), 0.0);
}

/// The topic is as the design wants it.
fn assert_topic(broker: &Broker) {
    let args = ["--describe", "--all", "--entity-type", "topics", "--entity-name", TOPIC];
    let settings = tool(broker, "kafka.admin.ConfigCommand", &args);
    for setting in [
        "message.timestamp.type=LogAppendTime ",
        "cleanup.policy=delete ",
        "retention.ms=86400000 ",
        "unclean.leader.election.enable=false ",
        "min.insync.replicas=1 ",
    ] {
        assert!(settings.contains(setting), "{setting} is not in {settings}");
    }
    let topic = Client::new(broker.bootstrap());
    assert_eq!(topic.partitions(TOPIC), PARTITIONS as usize);
}

/// The group's offsets tell tools how far the aggregator is: to the end.
fn assert_group(broker: &Broker) {
    let client = Client::new(broker.bootstrap());
    let lag = || client.lag("sawlog", TOPIC);
    let lag = eventually("the group's offsets", lag, |lag| lag.behind == 0 && lag.committed > 0);
    assert!(lag.committed > 10, "{lag:?}");
}

/// Who is killed next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Collector,
    Aggregator,
    Broker,
}

/// `kill -9` of each process three times, in any order, at random moments while containers write.
#[test]
fn each_line_once_through_kills_of_every_process() {
    let Some(mut broker) = Broker::start(1, &[]) else { return };
    let pipeline = Pipeline::new(&broker, Agent::new(WRITERS, LINES));
    let (collector, aggregator) = (pipeline.collector(), pipeline.aggregator("300ms"));
    let mut running = (collector.start(), aggregator.start());
    let writers = pipeline.agent.spawn_writers(pause_for(LINES, Duration::from_secs(40)));
    let mut random = Random::from_environment();
    let mut victims = [Victim::Collector, Victim::Aggregator, Victim::Broker].repeat(3);
    while !victims.is_empty() {
        let victim = victims.swap_remove(random.below(victims.len() as u64) as usize);
        std::thread::sleep(Duration::from_millis(200 + random.below(1_500)));
        println!("kill -9 of the {victim:?}");
        match victim {
            Victim::Collector => {
                running.0.kill();
                running.0 = collector.start();
            }
            Victim::Aggregator => {
                running.1.kill();
                running.1 = aggregator.start();
            }
            Victim::Broker => {
                broker.kill(1);
                std::thread::sleep(Duration::from_millis(random.below(2_000)));
                broker.start_again();
            }
        }
    }
    wait_all(writers);
    pipeline.agent.check(&running.1);
    assert_eq!(running.0.terminate(), Some(0));
    assert_eq!(running.1.terminate(), Some(0));
    // And what a clean stop leaves is the same again.
    pipeline.agent.check(&aggregator.start().ready());
}

/// The broker is away for a minute while containers write and rotate more than may be in flight, and
/// one of them ends and its sandbox is deleted.
#[test]
fn a_broker_that_is_away_for_a_minute_loses_nothing() {
    const OUTAGE: Duration = Duration::from_secs(60);
    let Some(mut broker) = Broker::start(1, &[]) else { return };
    let pipeline = Pipeline::new(&broker, Agent::new(WRITERS, LINES));
    let (collector, aggregator) = (pipeline.collector().start(), pipeline.aggregator("2s").start());
    let writers = pipeline.agent.spawn_writers(pause_for(LINES, OUTAGE + Duration::from_secs(15)));
    let lines = || aggregator.count(r#"{stream="stdout"}"#);
    eventually("lines before the outage", lines, |lines| *lines > 1_000);
    broker.stop(1);
    let (away, mut highest) = (Instant::now(), Highest::default());
    let sandbox = pipeline.agent.sandbox("gone");
    std::fs::create_dir_all(&sandbox).unwrap();
    std::fs::write(sandbox.join("stdout"), "its last words\n").unwrap();
    // Found and opened by then: that much of time a task takes to end.
    eventually("files that are open", || collector.has_open(&sandbox), |opened| *opened);
    std::fs::remove_dir_all(&sandbox).unwrap();
    while away.elapsed() < OUTAGE {
        highest.look(&collector, &aggregator);
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(aggregator.get("/loki/api/v1/labels", &[]).0, 200, "what is stored can be searched");
    broker.start_again();
    wait_all(writers);
    let last = || aggregator.count(r#"{container="cgone"} |= "its last words""#);
    eventually("the deleted container's line", last, |lines| *lines == 1);
    pipeline.agent.check(&aggregator);
    highest.look(&collector, &aggregator);
    highest.check();
    for (node, who) in [(&collector, "collector"), (&aggregator, "aggregator")] {
        assert!(node.log().contains("no broker can be reached"), "{who}: {}", node.log());
    }
}
