//! A topic is created if it may be, and refused if it would lose data, with a command that works.

use std::time::Duration;

use sawlog_transport::kafka::{KafkaConfig, Topic, TopicError, TopicWishes, ensure_topic};

use super::broker::Broker;
use super::client::Client;
use super::pipeline::{Pipeline, TOPIC};
use super::tool;
use crate::agent::Agent;
use crate::node::{Setup, eventually};

const CONFIGS: (&str, &str) = ("kafka-configs.sh ", "kafka.admin.ConfigCommand");
const TOPICS: (&str, &str) = ("kafka-topics.sh ", "org.apache.kafka.tools.TopicCommand");

/// Runs the command that a refusal names, with the class that Kafka's script of that name runs.
#[track_caller]
fn obey(refusal: &str, broker: &Broker, (script, class): (&str, &str)) {
    let line = refusal.lines().find(|line| line.trim_start().starts_with(script));
    let line = line.unwrap_or_else(|| panic!("no command of {script} in:\n{refusal}"));
    let words: Vec<&str> = line.split_whitespace().skip(1).collect();
    let ["--bootstrap-server", address, args @ ..] = &words[..] else { panic!("{line}") };
    assert_eq!(*address, broker.bootstrap());
    tool(broker, class, args);
}

/// What a role says that refuses its topic.
#[track_caller]
fn refusal(setup: &Setup) -> String {
    let (code, said) = setup.run_to_end();
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains(&format!("topic {TOPIC} ")) && !said.contains("panicked"), "{said}");
    // Before it the log, with times and ports.
    let from = said.rfind("\nsawlog ").map_or(0, |at| at + 1);
    said[from..].to_owned()
}

#[test]
fn a_missing_topic_is_only_created_where_that_is_allowed() {
    let Some(broker) = Broker::start(1, &[]) else { return };
    let pipeline = Pipeline::new(&broker, Agent::new(1, 1));
    for role in [pipeline.collector(), pipeline.aggregator("1s")] {
        let said = refusal(&role.flag("--no-create-topic"));
        assert!(said.contains("does not exist") && said.contains(broker.bootstrap()), "{said}");
    }
    let said = refusal(&pipeline.collector().flag("--no-create-topic"));
    obey(&said, &broker, TOPICS);
    let collector = pipeline.collector().flag("--no-create-topic").start();
    eventually("ready", || collector.get("/ready", &[]).0, |status| *status == 200);
}

#[test]
fn a_topic_that_would_lose_data_is_refused_until_it_is_mended() {
    let Some(broker) = Broker::start(1, &[]) else { return };
    let pipeline = Pipeline::new(&broker, Agent::new(1, 1));
    // Kafka's defaults, and a retention that ends before the aggregator is back from lunch.
    Client::new(broker.bootstrap()).create_topic(TOPIC, 2, &[("retention.ms", "60000")]);
    let said = refusal(&pipeline.aggregator("1s"));
    assert_eq!(said, refusal(&pipeline.collector()).replace("collector", "aggregator"));
    for fault in
        ["message.timestamp.type is CreateTime", "max.message.bytes is", "retention.ms is 60000"]
    {
        assert!(said.contains(fault), "{fault}: {said}");
    }
    obey(&said, &broker, CONFIGS);
    for role in [pipeline.collector(), pipeline.aggregator("1s")] {
        let node = role.start();
        eventually("ready", || node.get("/ready", &[]).0, |status| *status == 200);
    }
}

fn ensure(broker: &Broker, topic: &str) -> Result<Topic, TopicError> {
    let config = KafkaConfig {
        brokers: broker.bootstrap().to_owned(),
        topic: topic.to_owned(),
        client_id: "test".to_owned(),
        tls_ca: None,
    };
    let wishes = TopicWishes {
        create: true,
        partitions: 3,
        replication: None,
        retention: Duration::from_secs(86_400),
        retention_min: Duration::from_secs(3_600),
    };
    ensure_topic(&config, &wishes, Duration::from_secs(30))
}

#[test]
fn three_brokers_hold_three_replicas_of_which_two_must_acknowledge() {
    let Some(broker) = Broker::start(3, &[]) else { return };
    let topic = ensure(&broker, "good").unwrap();
    assert_eq!((topic.partitions, &topic.doubts[..]), (3, &[][..]));
    assert!(!topic.cluster.is_empty());
    assert_eq!(ensure(&broker, "good").unwrap(), topic, "found again as it was created");
    let args = ["--describe", "--topic", "good"];
    let described = tool(&broker, TOPICS.1, &args);
    assert!(described.contains("ReplicationFactor: 3"), "{described}");
    assert!(described.contains("min.insync.replicas=2"), "{described}");

    let create = |name: &str, replicas: &str| {
        let args =
            ["--create", "--topic", name, "--partitions", "1", "--replication-factor", replicas];
        tool(&broker, TOPICS.1, &args);
    };
    create("one", "1");
    let error = ensure(&broker, "one").unwrap_err();
    assert!(matches!(error, TopicError::OneReplica { brokers: 3, .. }), "{error}");
    create("three", "3");
    let refused = ensure(&broker, "three").unwrap_err();
    assert!(!refused.is_transient());
    obey(&refused.to_string(), &broker, CONFIGS);
    // A setting takes a moment to reach the broker that is asked.
    let mended = || ensure(&broker, "three").map_err(|error| error.to_string());
    assert_eq!(eventually("the mended topic", mended, Result::is_ok).unwrap().partitions, 1);
}
