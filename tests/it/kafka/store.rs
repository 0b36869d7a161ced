//! The aggregator's store and the topic that fills it: pushes go through it, and no other topic may.

use super::broker::Broker;
use super::pipeline::{Pipeline, TOPIC};
use super::tool;
use crate::agent::Agent;
use crate::node::{Node, Setup, eventually};

fn push(node: &Node, line: &str) -> (u16, String) {
    let body = format!(
        r#"{{"streams":[{{"stream":{{"app":"pushed"}},"values":[["1700000000000000000","{line}"]]}}]}}"#
    );
    let json = [("Content-Type", "application/json")];
    node.post("/loki/api/v1/push", &json, body.as_bytes())
}

#[test]
fn pushes_go_through_the_topic_and_a_retry_adds_nothing() {
    let Some(broker) = Broker::start(1, &[]) else { return };
    let pipeline = Pipeline::new(&broker, Agent::new(1, 1));
    let setup = pipeline.aggregator("10m");
    let mut node = setup.start().ready();
    for line in ["one", "two", "one"] {
        let (status, text) = push(&node, line);
        assert_eq!(status, 204, "{text}");
    }
    assert_eq!(node.count(r#"{app="pushed"}"#), 2);
    // Nothing is sealed yet: it is in the topic.
    node.kill();
    let node = setup.start().ready();
    assert_eq!(push(&node, "two").0, 204);
    assert_eq!(node.count(r#"{app="pushed"}"#), 2);
    assert_eq!(node.metric("sawlog_push_retries_total"), 1.0);
}

/// A store that the topic has filled with one line.
fn filled(broker: &Broker) -> (Pipeline, Setup) {
    let pipeline = Pipeline::new(broker, Agent::new(1, 1));
    let setup = pipeline.aggregator("10m");
    let node = setup.start().ready();
    assert_eq!(push(&node, "one").0, 204);
    assert_eq!(node.terminate(), Some(0));
    (pipeline, setup)
}

#[test]
fn a_store_is_refused_to_another_topic_and_still_serves_its_own() {
    let Some(broker) = Broker::start(1, &[]) else { return };
    let (pipeline, setup) = filled(&broker);
    let other = Setup::new(&pipeline.agent.data())
        .role("aggregator")
        .arg("--brokers", broker.bootstrap())
        .arg("--topic", "other");
    let (code, said) = other.run_to_end();
    assert_eq!(code, Some(78), "{said}");
    assert!(
        said.contains(&format!("topic={TOPIC} id=")) && said.contains("topic=other id="),
        "{said}"
    );
    assert_eq!(setup.start().ready().count(r#"{app="pushed"}"#), 1);
}

/// The aggregator's positions would mean other messages in a new topic of that name.
#[test]
fn a_topic_that_filled_a_store_is_not_made_again() {
    let Some(broker) = Broker::start(1, &[]) else { return };
    let (pipeline, setup) = filled(&broker);
    tool(&broker, "org.apache.kafka.tools.TopicCommand", &["--delete", "--topic", TOPIC]);
    let (code, said) = setup.run_to_end();
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("no longer exists") && said.contains("empty --data"), "{said}");
    // A collector may make it again, and it may soon hold more than the store has read.
    let collector = pipeline.collector().start();
    eventually("a new topic", || collector.get("/ready", &[]).0, |status| *status == 200);
    let (code, said) = setup.run_to_end();
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains(&format!("topic={TOPIC} id=")), "{said}");
}
