//! A topic whose `max.message.bytes` is lowered under a running collector: what is too large is sent in
//! parts, and a line that is too large by itself is waited for, loudly, until the limit is raised.

use std::time::Duration;

use super::broker::Broker;
use super::pipeline::{Pipeline, TOPIC};
use super::tool;
use crate::agent::{Agent, wait_all};
use crate::node::{Node, eventually};

const WRITERS: u32 = 5;
const LINES: u32 = 8_000;
/// More than any line of the writers takes.
const LOWERED: &str = "max.message.bytes=20000";
const RAISED: &str = "max.message.bytes=8454144";

fn alter(broker: &Broker, setting: &str) {
    let args = ["--alter", "--entity-type", "topics", "--entity-name", TOPIC];
    tool(broker, "kafka.admin.ConfigCommand", &[&args[..], &["--add-config", setting]].concat());
}

/// A line that stays larger than the lowered limit when it is compressed.
fn large_line() -> String {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let words = (0..8_000).map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        format!("{state:016x}")
    });
    words.collect::<Vec<_>>().join(" ")
}

fn ready(node: &Node) -> (u16, String) {
    let (status, body) = node.get("/ready", &[]);
    (status, String::from_utf8_lossy(&body).into_owned())
}

#[test]
fn a_limit_that_is_lowered_under_a_running_collector_loses_nothing() {
    let Some(broker) = Broker::start(1, &[]) else { return };
    let pipeline = Pipeline::new(&broker, Agent::new(WRITERS, LINES));
    let aggregator = pipeline.aggregator("2s").start();
    let collector = pipeline.collector().start();
    eventually("the topic is there", || ready(&collector), |(status, _)| *status == 200);
    alter(&broker, LOWERED);
    wait_all(pipeline.agent.spawn_writers(Duration::from_millis(1)));
    pipeline.agent.check(&aggregator);
    let divided = collector.metric("sawlog_collector_divided_batches_total");
    assert!(divided > 0.0, "batches were sent in parts");
    println!("{divided} batches and parts were divided");

    let sandbox = pipeline.agent.sandbox("large");
    std::fs::create_dir_all(&sandbox).unwrap();
    let text = format!("before\n{}\nbehind\n", large_line());
    std::fs::write(sandbox.join("stdout"), &text).unwrap();
    let told = eventually("it is told", || ready(&collector), |(status, _)| *status == 503).1;
    assert!(told.contains(RAISED) && told.contains(TOPIC), "{told}");
    assert!(collector.metric("sawlog_collector_refused_line_bytes") > 20_000.0);
    assert!(collector.log().contains("too large for the transport"), "{}", collector.log());
    let selector = r#"{container="clarge"}"#;
    let first = || aggregator.count(selector);
    eventually("what is before it", first, |lines| *lines == 1);

    alter(&broker, RAISED);
    eventually("the line", first, |lines| *lines == 3);
    assert!(aggregator.export(selector) == text.as_bytes(), "whole and in order");
    eventually("ready again", || ready(&collector), |(status, _)| *status == 200);
    let lost = collector.get("/metrics", &[]).1;
    assert!(!String::from_utf8_lossy(&lost).contains("collector_lost_bytes_total{"));
    assert_eq!(collector.terminate(), Some(0));
    assert_eq!(aggregator.terminate(), Some(0));
}
