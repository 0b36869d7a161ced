//! The outbox of a tail: what waits, what is left out, and that both are bounded.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prometheus::IntCounter;
use proptest::prelude::*;
use sawlog_transport::{GenerationId, Labels, LineFlags, StreamId};

use super::outbox::{Frame, NAMED_MAX, Next, Outbox};
use crate::engine::Entry;
use crate::engine::entry::{Order, Uid};

fn entry(n: u64, len: usize) -> Entry {
    let mut line = format!("{n} ").into_bytes();
    line.resize(len.max(line.len()), b'x');
    let (stream, time) = (StreamId(n as u128 % 2), n as i64);
    let labels = Labels::from_pairs([("app", format!("app{}", n % 2))]).unwrap();
    Entry {
        order: Order { time, stream, arrival: n, line: 0 },
        uid: Uid { stream, generation: GenerationId(0), offset: n },
        time,
        read_time: time,
        labels: Arc::new(labels),
        metadata: Vec::new(),
        line: Bytes::from(line),
        flags: LineFlags::default(),
    }
}

fn outbox() -> (Outbox, IntCounter) {
    let dropped = IntCounter::new("dropped", "Left out.").unwrap();
    (Outbox::new(dropped.clone(), Duration::from_secs(600)), dropped)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

/// The next frame, if one waits.
fn frame(outbox: &Outbox) -> Option<Frame> {
    let next = runtime().block_on(async {
        tokio::select! {
            biased;
            next = outbox.next() => Some(next),
            () = std::future::ready(()) => None,
        }
    });
    match next? {
        Next::Frame(frame) => Some(frame),
        Next::Failed(why) => panic!("{why}"),
    }
}

fn numbers(frame: &Frame) -> Vec<u64> {
    frame.entries.iter().map(|entry| entry.time as u64).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever the reader's pace: sent and left out lines are all lines, in their order, each once;
    /// a gap stands where it belongs.
    #[test]
    fn sent_and_told_lines_are_all_lines_in_order(
        steps in proptest::collection::vec((0usize..400, 0usize..12, 0usize..3000), 1..30),
    ) {
        let (outbox, counter) = outbox();
        let (mut given, mut at, mut told) = (0, 0, 0);
        let mut check = |frame: &Frame| {
            told += frame.gap.lines;
            at += frame.gap.lines;
            for number in numbers(frame) {
                assert_eq!(number, at, "a line out of its place");
                at += 1;
            }
            at
        };
        for (offers, takes, len) in steps {
            for _ in 0..offers {
                outbox.offer(entry(given, len), || false);
                given += 1;
            }
            for _ in 0..takes {
                if let Some(frame) = frame(&outbox) {
                    check(&frame);
                }
            }
        }
        while let Some(frame) = frame(&outbox) {
            check(&frame);
        }
        prop_assert_eq!(at, given);
        prop_assert_eq!(counter.get(), told);
    }
}

#[test]
fn frames_are_bounded_in_number_entries_and_bytes() {
    for (len, entries) in [(10, 10 * 100), (300 * 1024, 10), (200 * 1024, 20)] {
        let (outbox, counter) = outbox();
        (0..2000).for_each(|n| outbox.offer(entry(n, len), || false));
        assert_eq!(counter.get(), 2000 - entries);
        let frames: Vec<Frame> = std::iter::from_fn(|| frame(&outbox)).collect();
        // Ten frames, and what was left out behind them.
        assert_eq!(frames.len(), 11);
        assert!(frames[10].entries.is_empty());
        let gap = &frames[10].gap;
        assert_eq!((gap.lines, gap.last_time), (2000 - entries, 1999));
        assert_eq!(gap.named.len() as u64, gap.lines.min(NAMED_MAX as u64));
        assert_eq!(gap.has_unnamed(), gap.lines > NAMED_MAX as u64);
        let (labels, time) = &gap.named[0];
        assert_eq!(*time, entries as i64);
        assert_eq!(labels.get("app"), Some(&b"app0"[..]));
    }
}

#[test]
fn who_may_wait_leaves_nothing_out() {
    let (outbox, counter) = outbox();
    let outbox = Arc::new(outbox);
    let writer = outbox.clone();
    let writing =
        std::thread::spawn(move || (0..5000).for_each(|n| writer.offer(entry(n, 10), || true)));
    let mut read = Vec::new();
    runtime().block_on(async {
        while read.len() < 5000 {
            let Next::Frame(frame) = outbox.next().await else { panic!("nothing failed") };
            assert_eq!(frame.gap.lines, 0);
            read.extend(numbers(&frame));
        }
    });
    writing.join().unwrap();
    assert_eq!(read, (0..5000).collect::<Vec<_>>());
    assert_eq!(counter.get(), 0);
}

#[test]
fn a_reader_that_is_gone_is_not_waited_for() {
    let (outbox, counter) = outbox();
    let outbox = Arc::new(outbox);
    let writer = outbox.clone();
    let writing =
        std::thread::spawn(move || (0..5000).for_each(|n| writer.offer(entry(n, 10), || true)));
    std::thread::sleep(Duration::from_millis(20));
    outbox.close();
    writing.join().unwrap();
    assert!(outbox.is_closed());
    assert_eq!(counter.get(), 0);
}

/// Whether the writer waits for room or for lines.
#[test]
fn a_reader_that_asks_for_nothing_is_given_up_and_told() {
    let dropped = IntCounter::new("dropped", "Left out.").unwrap();
    let outbox = Outbox::new(dropped, Duration::from_millis(30));
    (0..5000).for_each(|n| outbox.offer(entry(n, 10), || true));
    assert!(outbox.is_closed());
    let next = runtime().block_on(outbox.next());
    assert!(matches!(next, Next::Failed(why) if why.contains("took nothing")));

    let idle = Outbox::new(IntCounter::new("dropped", "Left out.").unwrap(), Duration::ZERO);
    std::thread::sleep(Duration::from_millis(1));
    assert!(idle.is_closed());
}

#[test]
fn a_failure_stands_behind_what_waits() {
    let (outbox, _) = outbox();
    outbox.offer(entry(0, 10), || false);
    outbox.missed(7, 5);
    outbox.fail("broken");
    assert_eq!(numbers(&frame(&outbox).unwrap()), [0]);
    let gap = frame(&outbox).unwrap().gap;
    assert_eq!((gap.lines, gap.last_time, gap.named.len(), gap.has_unnamed()), (7, 5, 0, true));
    let next = runtime().block_on(outbox.next());
    assert!(matches!(next, Next::Failed(why) if why == "broken"));
}
