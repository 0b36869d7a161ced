//! Scenario 9, broker misery: whatever a broker does, each line arrives, no restart is needed, and nothing
//! is taken for acknowledged that is not stored. Downtimes are 15 s instead of 6 min: librdkafka's own
//! limit for messages is off, the one for requests is 10 s.

use std::time::{Duration, Instant};

use rdkafka::types::RDKafkaRespErr;

use super::mock::{Mock, TOPIC, opened};
use super::verifier::{assert_lost, verify};
use super::work::Work;
use super::writer::{Log, append};
use crate::node::Node;

const CONTAINERS: u32 = 4;
/// Written before, during, and after the misery, by each container.
const PART: u32 = 2_000;
const QUIET: Duration = Duration::from_secs(40);
/// Longer than any request may take.
const DOWN: Duration = Duration::from_secs(15);

fn log(n: u32) -> Log {
    Log::new(&format!("m{n}"), 80..=200)
}

/// A collector whose first lines have arrived.
struct Case {
    work: Work,
    mock: Mock,
    collector: Node,
    parts: u32,
}

impl Case {
    fn start() -> Self {
        Self::start_with(Mock::start())
    }

    fn start_with(mock: Mock) -> Self {
        let work = Work::new();
        let setup = mock.collector(&work.data()).arg("--mesos-work-dir", work.work_dir());
        let collector = setup.start();
        let mut this = Self { work, mock, collector, parts: 0 };
        this.write();
        opened(&this.collector);
        this.arrived();
        this
    }

    /// Each container writes its next part.
    fn write(&mut self) {
        for n in 0..CONTAINERS {
            let part = log(n).lines(self.parts * PART..(self.parts + 1) * PART);
            append(&self.work.stdout(&format!("c{n}")), &part);
        }
        self.parts += 1;
    }

    /// Waits until all that was written has arrived.
    fn arrived(&mut self) {
        let lines = (self.parts * CONTAINERS * PART) as usize;
        let started = Instant::now();
        self.mock.topic.read_until(&self.collector, lines, QUIET);
        println!(
            "{} of {lines} lines after {:?}, {} came again",
            self.mock.topic.received.lines(),
            started.elapsed(),
            self.mock.topic.received.repeated
        );
        for n in 0..CONTAINERS {
            let text = self.mock.topic.received.text_of(&format!("c{n}"));
            verify(&text, &[(&log(n), 0..self.parts * PART)]).assert_exactly();
        }
    }

    /// Writes on for a while, and looks each 100 ms at what is acknowledged.
    fn go_on_for(&mut self, time: Duration) {
        let started = Instant::now();
        self.write();
        while started.elapsed() < time {
            self.mock.topic.sample(&self.collector);
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// After the misery: the same process goes on, and ends as it should.
    fn recover(mut self) {
        self.write();
        self.arrived();
        assert_lost(&self.collector, &[]);
        assert_eq!(self.collector.terminate(), Some(0));
    }

    /// Some requests to store something are refused, then all is well.
    fn refused(mut self, error: RDKafkaRespErr, times: usize) -> Self {
        self.mock.refuse(error, times);
        self.write();
        self.arrived();
        self
    }
}

#[test]
fn a_leader_that_moved_three_times() {
    Case::start().refused(RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, 3).recover();
}

#[test]
fn a_request_that_timed_out_at_the_broker() {
    Case::start().refused(RDKafkaRespErr::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT, 3).recover();
}

/// Stored, but the answer takes longer than it is waited for: the client must ask again.
#[test]
fn an_answer_that_comes_too_late_after_the_append() {
    let mut case = Case::start();
    let stored = case.mock.topic.received.messages;
    case.mock.cluster.broker_round_trip_time(-1, Duration::from_secs(12)).unwrap();
    case.write();
    std::thread::sleep(Duration::from_secs(11));
    case.mock.cluster.broker_round_trip_time(-1, Duration::ZERO).unwrap();
    case.arrived();
    assert!(case.mock.topic.received.messages > stored);
    case.recover();
}

/// More refusals than there are requests under way: one of them is of a batch that is alone.
#[test]
fn a_block_that_is_refused_as_too_large_is_sent_in_parts() {
    let error = RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE;
    let case = Case::start().refused(error, 8);
    let divided = case.collector.metric("sawlog_collector_divided_batches_total");
    assert!(divided >= 1.0, "it was divided");
    case.recover();
}

/// For 6 s instead of 60: longer than the pause between two attempts.
#[test]
fn a_topic_that_may_not_be_used_for_a_while() {
    let mut case = Case::start();
    let error = RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
    case.mock.refuse(error, 10_000);
    let before = case.mock.topic.received.lines();
    case.go_on_for(Duration::from_secs(6));
    assert_eq!(case.mock.topic.received.lines(), before, "it may not be used");
    case.mock.refuse_nothing();
    case.arrived();
    case.recover();
}

/// Gone for the brokers' metadata and for requests, then there again.
#[test]
fn a_topic_that_is_unknown_for_a_while() {
    let mut case = Case::start();
    let unknown = RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    case.mock.cluster.topic_error(TOPIC, unknown).unwrap();
    case.mock.refuse(unknown, 3);
    case.go_on_for(Duration::from_secs(5));
    let fine = RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR;
    case.mock.cluster.topic_error(TOPIC, fine).unwrap();
    case.arrived();
    case.recover();
}

/// Fatal for an idempotent producer: it must be built anew.
#[test]
fn a_sequence_that_is_out_of_order() {
    let error = RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
    let case = Case::start().refused(error, 3);
    let log = case.collector.log();
    assert!(log.contains("built anew"), "{log}");
    case.recover();
}

#[test]
fn round_trips_of_two_seconds() {
    let mut case = Case::start();
    case.mock.cluster.broker_round_trip_time(-1, Duration::from_secs(2)).unwrap();
    case.write();
    case.arrived();
    case.recover();
}

#[test]
fn long_round_trips_from_the_start() {
    let mock = Mock::start();
    mock.cluster.broker_round_trip_time(-1, Duration::from_secs(2)).unwrap();
    Case::start_with(mock).recover();
}

#[test]
fn a_broker_that_is_down_for_longer_than_a_request_may_take() {
    let mut case = Case::start();
    case.mock.cluster.broker_down(-1).unwrap();
    case.go_on_for(DOWN);
    case.mock.cluster.broker_up(-1).unwrap();
    case.arrived();
    case.recover();
}
