//! A transport that takes only smaller messages than before: everything arrives in parts, a death in between
//! loses nothing, and a line that is too large by itself is waited for and told.

use std::time::Duration;

use super::fixture::{Fixture, RUN};
use super::store::Mode;

fn stdout() -> String {
    format!("{RUN}/stdout")
}

/// Numbered lines of which none becomes much shorter when compressed.
fn lines(count: u64) -> Vec<String> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let line = |n| {
        let words = (0..5).map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            format!("{state:016x}")
        });
        format!("{n:06} {}", words.collect::<Vec<_>>().join(" "))
    };
    (0..count).map(line).collect()
}

#[test]
fn what_is_too_large_arrives_in_parts_in_order_also_through_deaths() {
    let mut f = Fixture::new();
    f.recorder.set(Mode::AtMost(3000));
    let expected = lines(2000);
    f.append(&stdout(), expected.join("\n") + "\n");
    let mut steps = 0;
    while f.store(|store| store.texts(super::fixture::stream(b"c1", b"stdout")).len()) < 2000 {
        f.step();
        steps += 1;
        if steps % 40 == 0 && steps <= 400 {
            f.restart();
        }
        assert!(steps < 20_000, "it ends");
    }
    f.pump();
    assert_eq!(f.stdout(), expected);
    f.assert_complete(&stdout());
    assert!(f.metrics.load.divided_batches.get() >= 30);
    // All is acknowledged: another start reads nothing again.
    f.wait(Duration::from_secs(2));
    let batches = f.store(|store| store.batches);
    f.restart();
    f.pump();
    assert_eq!(f.store(|store| store.batches), batches);
    f.assert_nothing_lost();
}

#[test]
fn a_line_that_is_too_large_by_itself_is_waited_for_and_told() {
    let mut f = Fixture::new();
    f.recorder.set(Mode::AtMost(60));
    let expected = lines(100);
    f.append(&stdout(), expected.join("\n") + "\n");
    for _ in 0..200 {
        f.step();
    }
    let trouble = f.collector().trouble().expect("it is told");
    assert!(trouble.contains("at most 60 bytes"), "{trouble}");
    assert!(f.metrics.load.refused_line_bytes.get() > 60);
    assert_eq!(f.stdout().len(), 0, "nothing overtakes it");
    assert_eq!(f.metrics.acked_bytes.get(), 0);
    f.recorder.set(Mode::Acknowledge);
    f.wait(Duration::from_secs(60));
    assert_eq!((f.stdout(), f.collector().trouble()), (expected, None));
    assert_eq!(f.metrics.load.refused_line_bytes.get(), 0);
    f.assert_complete(&stdout());
    f.assert_nothing_lost();
    assert_eq!(f.duplicates(), 0);
}
