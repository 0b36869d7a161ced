//! Tests against a real Apache Kafka; here those that show that the tests have one.

mod bad_messages;
pub(crate) mod broker;
mod client;
mod exactly_once;
mod pipeline;
mod store;
mod too_large;
mod topics;

use self::broker::Broker;
use self::client::Client;
use crate::node::eventually;

/// The lines that a tool of Kafka prints, after it has succeeded.
fn tool(broker: &Broker, class: &str, args: &[&str]) -> String {
    let output = broker.tool(class, args);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{class} {args:?}: {stderr}");
    String::from_utf8(output.stdout).expect("tools print text")
}

fn runs(pid: u32) -> bool {
    // Of a process that has ended and was not waited for yet it is empty.
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|args| !args.is_empty())
}

#[test]
fn a_killed_broker_comes_back_with_what_it_acknowledged() {
    let Some(mut broker) = Broker::start(1, &[("message.max.bytes", "1234567")]) else { return };
    let bootstrap = broker.bootstrap().to_owned();
    let client = Client::new(&bootstrap);
    client.create_topic("logs", 1, &[]);
    client.produce("logs", &["before"]);
    assert_eq!(client.read("logs"), ["before"]);

    broker.kill(1);
    assert_eq!(broker.processes(), [0_u32; 0], "the node is gone");
    broker.start_again();
    assert_eq!(broker.bootstrap(), bootstrap);
    assert_eq!(client.read("logs"), ["before"]);
    client.produce("logs", &["after"]);
    assert_eq!(client.read("logs"), ["before", "after"]);

    let args = ["--describe", "--all", "--entity-type", "brokers", "--entity-name", "1"];
    let settings = tool(&broker, "kafka.admin.ConfigCommand", &args);
    assert!(settings.contains("message.max.bytes=1234567 "), "kept for restarts: {settings}");
}

#[test]
fn a_broker_ends_with_the_process_that_started_it() {
    let Some(mut broker) = Broker::start(1, &[]) else { return };
    let processes = broker.processes();
    assert!(processes.len() == 1 && runs(processes[0]), "{processes:?}");
    broker.cut_lifelines();
    eventually("the node ended", || runs(processes[0]), |runs| !runs);
}

#[test]
fn three_brokers_take_messages_without_one_of_them() {
    let Some(mut broker) = Broker::start(3, &[]) else { return };
    let client = Client::new(broker.bootstrap());
    assert_eq!(client.brokers(), [1, 2, 3]);
    client.create_topic("logs", 3, &[("min.insync.replicas", "2")]);
    client.produce("logs", &["three"]);

    broker.kill(client.leader("logs"));
    client.produce("logs", &["two"]);
    assert_eq!(client.read("logs"), ["three", "two"]);

    broker.start_again();
    assert_eq!(client.brokers(), [1, 2, 3]);
    in_sync(&broker);
    broker.stop(client.leader("logs"));
    client.produce("logs", &["another two"]);
    assert_eq!(client.read("logs"), ["three", "two", "another two"]);
    assert_eq!(broker.processes().len(), 2);
}

/// Waits until each replica has what its leader has.
fn in_sync(broker: &Broker) {
    let class = "org.apache.kafka.tools.TopicCommand";
    let lagging = || tool(broker, class, &["--describe", "--under-replicated-partitions"]);
    eventually("all replicas are in sync", lagging, String::is_empty);
}
