//! Scenario 3, second run: a truncation without a copy takes lines that the collector had seen, but could
//! not read, because the broker was away and all that may be in flight was.

use std::io::Write;
use std::time::Duration;

use sawlog_transport::limits::FRAME_TEXT_BYTES_MAX;

use super::mock::{Mock, opened};
use super::truncation::{a, b, u};
use super::verifier::assert_lost;
use super::work::Work;
use super::writer::{Log, append, append_to};
use crate::node::{Node, assert_same_bytes, eventually};

/// The default of what may be in flight; room for a frame is left.
const IN_FLIGHT_BYTES_MAX: usize = 16 << 20;
/// More than may be in flight.
const FILLER_LINES: u32 = 50_000;

fn lag(node: &Node) -> f64 {
    node.metric("sawlog_collector_lag_bytes")
}

#[test]
fn lines_that_were_seen_and_not_read_are_told_as_lost() {
    let work = Work::new();
    let mut mock = Mock::start();
    let setup = mock.collector(&work.data()).arg("--mesos-work-dir", work.work_dir());
    let mut writer = append_to(&work.stdout("c1"));
    writer.write_all(&a()).unwrap();
    let node = setup.start();
    opened(&node);
    mock.topic.read_until(&node, 200, Duration::from_secs(20));
    eventually("A is acknowledged", || lag(&node), |bytes| *bytes == 0.0);

    mock.cluster.broker_down(-1).unwrap();
    let filler = Log::new("f", 500..=500);
    append(&work.stdout("filler"), &filler.lines(0..FILLER_LINES));
    let unread = f64::from(FILLER_LINES) * 500.0;
    eventually("the filler is seen", || lag(&node), |bytes| *bytes == unread);
    let in_flight = || node.metric("sawlog_collector_in_flight_bytes") as usize;
    let is_full = |bytes: &usize| bytes + FRAME_TEXT_BYTES_MAX > IN_FLIGHT_BYTES_MAX;
    eventually("no more may be read", in_flight, is_full);
    writer.write_all(&u()).unwrap();
    eventually("the lines are seen", || lag(&node), |bytes| *bytes == unread + u().len() as f64);
    writer.set_len(0).unwrap();
    writer.write_all(&b()).unwrap();
    mock.cluster.broker_up(-1).unwrap();

    let lines = 700 + FILLER_LINES as usize;
    mock.topic.read_until(&node, lines, Duration::from_secs(20));
    assert_same_bytes(&mock.topic.received.text_of("c1"), &[a(), b()].concat(), "A and B");
    let lost = u().len() as u64;
    assert_lost(&node, &[("truncated", lost)]);
    assert_eq!(mock.topic.received.lost(), [("truncated".to_owned(), lost)].into());
}
