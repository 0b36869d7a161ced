//! Live feeds: a snapshot and the feed behind it give each line once, whatever happens between.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use crate::prune::Formula;
use crate::store_tests::{Bed, Lines, add_lines, line_of, message};
use crate::{Fed, Missed, Source, Subscription};

const NOW: Duration = Duration::ZERO;

impl Bed {
    /// As after a failed seal: the store is read from disk again, and what was not sealed is
    /// consumed again by the same process.
    fn recover(&mut self) {
        let (store, sealer) = self.open.take().unwrap();
        drop(sealer);
        let sealer = store.recover().unwrap();
        let from = store.position(0) as usize;
        for (offset, message) in self.log.iter().enumerate().skip(from) {
            store.ingest(0, offset as u64, message.clone()).unwrap();
        }
        self.open = Some((store, sealer));
    }

    fn before(&self, subscription: &Subscription) -> Lines {
        let seam = subscription.seam();
        self.lines_of(&Formula::Any, |run| seam.is_before(run.partition, run.arrival))
    }
}

/// Everything that waits, in one step.
fn fed(subscription: &Subscription) -> Vec<Fed> {
    std::iter::from_fn(|| subscription.next(NOW)).collect()
}

/// Texts in the order in which they were fed; a gap as a number.
fn told(subscription: &Subscription) -> Vec<String> {
    let text = |fed: Fed| match fed {
        Fed::Run(run) => String::from_utf8_lossy(&run.text).trim_end().replace('\n', ","),
        Fed::Missed(missed) => missed.lines.to_string(),
    };
    fed(subscription).into_iter().map(text).collect()
}

#[derive(Clone, Debug)]
enum Action {
    Send {
        stream: u8,
        from: u8,
        count: u8,
    },
    Seal,
    /// As while it runs.
    SealButLastEntries,
    Recover,
    Subscribe,
    /// Take what was fed so far.
    Take,
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        6 => (0u8..3, 0u8..30, 1u8..12)
            .prop_map(|(stream, from, count)| Action::Send { stream, from, count }),
        1 => Just(Action::Seal),
        2 => Just(Action::SealButLastEntries),
        1 => Just(Action::Recover),
        2 => Just(Action::Subscribe),
        1 => Just(Action::Take),
    ]
}

/// A subscriber, and what it has seen.
struct Subscriber {
    subscription: Subscription,
    before: Lines,
    seen: Lines,
}

impl Subscriber {
    fn take(&mut self) {
        for fed in fed(&self.subscription) {
            let Fed::Run(run) = fed else { panic!("there is room for all of it") };
            add_lines(&mut self.seen, &Source::Hot(run.into()), |_| true);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_was_there_and_what_is_fed_give_each_line_once(
        actions in proptest::collection::vec(action(), 1..50),
    ) {
        let mut bed = Bed::new();
        let mut subscribers: Vec<Subscriber> = Vec::new();
        for action in actions {
            match action {
                Action::Send { stream, from, count } => {
                    let lines: Vec<_> = (from..from + count).map(|n| line_of(stream, n)).collect();
                    let texts: Vec<&[u8]> = lines.iter().map(|(_, text)| text.as_bytes()).collect();
                    bed.send(message(u128::from(stream), 9, lines[0].0, &texts));
                }
                Action::Seal => bed.seal(),
                Action::SealButLastEntries => bed.sealer().seal_but_last_entries().unwrap(),
                Action::Recover => bed.recover(),
                Action::Subscribe => {
                    let subscription = bed.store().subscribe(1 << 20);
                    let before = bed.before(&subscription);
                    subscribers.push(Subscriber { subscription, seen: before.clone(), before });
                }
                Action::Take => subscribers.iter_mut().for_each(Subscriber::take),
            }
        }
        let all = bed.lines_of(&Formula::Any, |_| true);
        for mut subscriber in subscribers {
            subscriber.take();
            prop_assert_eq!(&subscriber.seen, &all);
            // Also a snapshot that is taken much later tells the two sides apart.
            prop_assert_eq!(bed.before(&subscriber.subscription), subscriber.before);
        }
    }
}

#[test]
fn a_full_queue_counts_what_it_leaves_out_and_where() {
    let mut bed = Bed::new();
    bed.send(message(1, 1, 0, &[b"old"]));
    let probe = bed.store().subscribe(usize::MAX);
    bed.send(message(1, 1, 4, &[b"a", b"b"]));
    let Some(Fed::Run(run)) = probe.next(NOW) else { panic!("a run was fed") };
    assert_eq!((probe.queued_bytes(), told(&probe).len()), (0, 0));

    // Room for two runs of this size.
    let narrow = bed.store().subscribe(2 * run.memory_bytes());
    let wide = bed.store().subscribe(usize::MAX);
    for n in 0..5 {
        bed.send(message(1, 1, 8 + 4 * n, &[b"c", b"d"]));
    }
    assert_eq!(narrow.queued_bytes(), 2 * run.memory_bytes());
    let Some(Fed::Run(_)) = narrow.next(NOW) else { panic!("the first run was fed") };
    bed.send(message(1, 1, 28, &[b"e", b"f"]));
    assert_eq!(narrow.queued_bytes(), 2 * run.memory_bytes());
    let rest = fed(&narrow);
    let missed = Missed { lines: 6, min_time: 16, max_time: 25 };
    assert!(
        matches!(&rest[..], [Fed::Run(_), Fed::Missed(found), Fed::Run(_)] if *found == missed)
    );
    assert_eq!(narrow.queued_bytes(), 0);
    assert_eq!(told(&wide), ["c,d", "c,d", "c,d", "c,d", "c,d", "e,f"]);
    // With a smaller bound than any run, nothing but the count is kept.
    let nothing = bed.store().subscribe(0);
    bed.send(message(1, 1, 32, &[b"g", b"h"]));
    bed.send(message(1, 1, 36, &[b"i", b"j"]));
    assert_eq!(told(&nothing), ["4"]);
}

#[test]
fn a_dropped_subscriber_keeps_no_run() {
    let mut bed = Bed::new();
    let gone = bed.store().subscribe(usize::MAX);
    let stays = bed.store().subscribe(usize::MAX);
    bed.send(message(1, 1, 0, &[b"a"]));
    let Some(Fed::Run(run)) = stays.next(NOW) else { panic!("a run was fed") };
    let holders = Arc::strong_count(&run);
    drop(gone);
    assert_eq!(Arc::strong_count(&run), holders - 1);
    bed.send(message(1, 1, 2, &[b"b"]));
    assert_eq!(told(&stays), ["b"]);
}

#[test]
fn the_replay_of_a_start_is_not_news() {
    let mut bed = Bed::new();
    bed.store().subscribers.begin_at(0, 2);
    let subscription = bed.store().subscribe(usize::MAX);
    bed.send(message(1, 1, 0, &[b"stored before"]));
    bed.send(message(1, 1, 14, &[b"stored before too"]));
    bed.store().set_ready();
    bed.send(message(1, 1, 32, &[b"new"]));
    // A later recovery replays what was fed already; nothing is passed over either.
    bed.store().subscribers.begin_at(0, 9);
    bed.recover();
    bed.send(message(1, 1, 36, &[b"newer"]));
    assert_eq!(told(&subscription), ["new", "newer"]);
}

/// Also one that was over before anybody looked again.
#[test]
fn a_recovery_between_two_looks_is_seen() {
    let mut bed = Bed::new();
    assert_eq!(bed.store().whole(), None, "the replay of the start");
    bed.store().set_ready();
    let before = bed.store().whole();
    assert!(before.is_some());
    assert_eq!(bed.store().whole(), before);
    bed.recover();
    assert_eq!(bed.store().whole(), None);
    bed.store().set_ready();
    assert!(bed.store().whole().is_some());
    assert_ne!(bed.store().whole(), before);
}

#[test]
fn a_waiting_subscriber_is_woken() {
    let mut bed = Bed::new();
    let subscription = bed.store().subscribe(usize::MAX);
    let waiting = std::thread::spawn(move || subscription.next(Duration::from_secs(60)).is_some());
    bed.send(message(1, 1, 0, &[b"a"]));
    assert!(waiting.join().unwrap());
}
