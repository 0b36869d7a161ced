//! Retention against simple models: what is gone, what is left, and what the ledger says of both.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use sawlog_transport::{GenerationId, Labels, StreamId};

use crate::clock::Clock;
use crate::disk_usage::DiskUsage;
use crate::prune::Formula;
use crate::slice::dir_of;
use crate::store_tests::{Bed, line_of, message, texts};
use crate::{Fate, StoreConfig};

const SECOND: i64 = 1_000_000_000;
const START: i64 = 1_700_000_000 * SECOND;
/// A line's place: stream, generation, offset.
type Key = (u128, u128, u64);

/// A store whose clock the test turns.
struct Kept {
    bed: Bed,
    now: Arc<AtomicI64>,
    /// What nobody sets.
    steady: Arc<AtomicI64>,
}

impl Kept {
    fn with(age: Option<Duration>, bytes: Option<u64>) -> Self {
        let now = Arc::new(AtomicI64::new(START));
        let steady = Arc::new(AtomicI64::new(0));
        let (told, told_steady) = (now.clone(), steady.clone());
        let bed = Bed::with(|config| StoreConfig {
            retention_age: age,
            retention_bytes: bytes,
            clock: Clock::new(
                move || told.load(Ordering::Relaxed),
                move || told_steady.load(Ordering::Relaxed),
            ),
            ..config
        });
        Self { bed, now, steady }
    }

    fn wait(&self, seconds: i64) {
        self.set_clock(seconds);
        self.steady.fetch_add(seconds * SECOND, Ordering::Relaxed);
    }

    /// Somebody sets the wall clock, ahead or back.
    fn set_clock(&self, seconds: i64) {
        self.now.fetch_add(seconds * SECOND, Ordering::Relaxed);
    }

    fn now(&self) -> i64 {
        self.now.load(Ordering::Relaxed)
    }

    /// A seal and a look at what is to be dropped, as the aggregator does it.
    fn seal(&mut self) {
        self.bed.seal();
        self.retain();
    }

    fn retain(&mut self) {
        self.bed.sealer().retain().unwrap();
    }

    /// Only the first half of dropping all that is due: the files stay.
    fn drop_due(&mut self) {
        let now = self.now();
        let sealer = self.bed.sealer();
        let doomed = sealer.doomed(now);
        if !doomed.is_empty() {
            sealer.drop_slices(&doomed).unwrap();
        }
    }

    fn found(&self) -> BTreeMap<Key, Vec<u8>> {
        self.bed.lines(&Formula::Any)
    }

    fn fate_bytes(&self, fate: Fate) -> u64 {
        let ledger = self.bed.store().ledger();
        ledger.iter().map(|(_, ranges)| ranges.bytes(fate)).sum()
    }

    fn streams(&self) -> BTreeSet<u128> {
        self.bed.store().streams().iter().map(|(_, info)| info.id.0).collect()
    }

    fn folders(&self) -> BTreeSet<String> {
        let entries = std::fs::read_dir(self.bed.config.dir.join("slices")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
    }

    /// The slices that queries read.
    fn slices(&self) -> Vec<u64> {
        self.bed.store().data.read().slices.iter().map(|slice| slice.id).collect()
    }

    /// Whether the folders are those of the slices that queries read.
    fn folders_are_read(&self) -> bool {
        let dirs = self.slices().into_iter().map(|id| dir_of("".as_ref(), id));
        dirs.map(|dir| dir.to_string_lossy().into_owned()).collect::<BTreeSet<_>>()
            == self.folders()
    }

    fn disk_bytes(&self) -> u64 {
        let mut usage = DiskUsage::of_catalog(&self.bed.config.dir).unwrap();
        for name in self.folders() {
            usage
                .add(&DiskUsage::of_slice(&self.bed.config.dir.join("slices").join(name)).unwrap());
        }
        usage.total()
    }

    /// Lines `from..from + count` of a stream's file.
    fn send(&mut self, stream: u8, from: u8, count: u8) -> Vec<(Key, Vec<u8>)> {
        let lines: Vec<_> = (from..from + count).map(|n| line_of(stream, n)).collect();
        let texts: Vec<&[u8]> = lines.iter().map(|(_, text)| text.as_bytes()).collect();
        self.bed.send(message(u128::from(stream), 9, lines[0].0, &texts));
        let key = |offset| (u128::from(stream), 9, offset);
        lines.into_iter().map(|(at, text)| (key(at), text.into_bytes())).collect()
    }

    /// What the ledger says of a line's bytes, if it says the same of all.
    fn fate_of(&self, key: Key, text: &[u8]) -> Option<Fate> {
        let end = key.2 + text.len() as u64 + 1;
        let ledger = self.bed.store().ledger();
        let ranges = ledger.get(StreamId(key.0), GenerationId(key.1))?;
        let range = ranges.iter().find(|range| range.from <= key.2 && key.2 < range.to)?;
        (range.to >= end).then_some(range.fate)
    }
}

const AGE: Duration = Duration::from_secs(100);

/// Also the slice that is written to, and though nothing arrives any more.
#[test]
fn a_slice_leaves_when_its_last_line_was_stored_long_enough_ago() {
    let mut kept = Kept::with(Some(AGE), None);
    kept.send(1, 0, 2);
    kept.seal();
    kept.wait(60);
    kept.send(2, 0, 1);
    kept.seal();
    assert_eq!(kept.slices().len(), 1, "both are in the slice that is written to");
    kept.wait(100);
    kept.retain();
    assert_eq!(kept.found().len(), 3, "not before its age, counted from the last line");
    kept.wait(1);
    kept.retain();
    assert_eq!((kept.found().len(), kept.slices()), (0, vec![]));
    assert!(kept.folders().is_empty() && kept.streams().is_empty());
    assert_eq!(kept.fate_bytes(Fate::Held), 0);
    // Neither the slice's id nor the streams' numbers are given again, also after a restart.
    kept.bed.reopen();
    kept.send(2, 1, 1);
    kept.seal();
    assert_eq!(kept.slices(), [2]);
    let numbers: Vec<_> = kept.bed.store().streams().iter().map(|(n, _)| n).collect();
    assert_eq!((numbers, texts(&kept.bed).len()), (vec![2], 1));
}

const YEAR: i64 = 365 * 24 * 3600;

/// Seen while it runs: ages stay what they are, also after a restart.
#[test]
fn a_clock_that_is_set_makes_no_line_older_or_younger() {
    for step in [YEAR, -YEAR, 3600, -3600] {
        let mut kept = Kept::with(Some(AGE), None);
        kept.send(1, 0, 2);
        kept.seal();
        kept.wait(50);
        kept.set_clock(step);
        kept.retain();
        kept.bed.reopen();
        kept.wait(50);
        kept.retain();
        assert_eq!(kept.found().len(), 2, "{step}: not before its age");
        kept.wait(1);
        kept.retain();
        assert_eq!(kept.found().len(), 0, "{step}: not kept for ever");
    }
}

/// The seal is the first to see it: what it writes is not set a second time.
#[test]
fn a_clock_that_is_set_before_a_seal_is_seen_by_the_seal() {
    for step in [YEAR, -YEAR] {
        let mut kept = Kept::with(Some(AGE), None);
        kept.send(1, 0, 1);
        kept.seal();
        kept.wait(50);
        kept.set_clock(step);
        kept.send(1, 1, 1);
        kept.seal();
        kept.wait(100);
        kept.retain();
        assert_eq!(kept.found().len(), 2, "{step}: both are in one slice");
        kept.wait(1);
        kept.retain();
        assert_eq!(kept.found().len(), 0, "{step}");
    }
}

/// Not seen while it runs: a mark from the future counts from when the clock is believed.
#[test]
fn lines_of_a_wrong_future_live_one_more_age() {
    let mut kept = Kept::with(Some(AGE), None);
    kept.set_clock(YEAR);
    kept.bed.reopen();
    kept.send(1, 0, 1);
    kept.seal();
    kept.set_clock(-YEAR);
    kept.bed.reopen();
    kept.wait(1);
    let fresh = kept.send(1, 1, 1);
    kept.seal();
    assert_eq!(kept.slices(), [1, 2], "no slice goes on whose age is not known");
    kept.wait(600);
    kept.retain();
    assert_eq!(kept.slices(), [1], "the other one is old enough: {fresh:?}");
    kept.wait(101);
    kept.retain();
    assert_eq!(kept.slices(), [] as [u64; 0]);
}

/// As on a machine without a battery: nothing is lost, and old lines leave when they would have.
#[test]
fn a_start_in_1970_changes_no_age() {
    let mut kept = Kept::with(Some(AGE), None);
    kept.send(1, 0, 1);
    kept.seal();
    kept.set_clock(5 - START / SECOND);
    kept.bed.reopen();
    kept.wait(20);
    let second = kept.send(2, 0, 1);
    kept.seal();
    kept.set_clock(START / SECOND - 5);
    kept.retain();
    assert_eq!((kept.found().len(), kept.slices()), (2, vec![1, 2]));
    kept.wait(81);
    kept.retain();
    assert_eq!(kept.found(), second.into_iter().collect());
}

#[test]
fn what_expired_is_not_stored_again() {
    let mut kept = Kept::with(Some(AGE), None);
    let sent = kept.send(1, 0, 3);
    kept.seal();
    kept.wait(101);
    kept.retain();
    let bytes: u64 = sent.iter().map(|(_, text)| text.len() as u64 + 1).sum();
    assert_eq!(kept.fate_bytes(Fate::Expired), bytes);
    kept.send(1, 0, 4);
    assert_eq!(texts(&kept.bed).len(), 1, "only the line that is new");
    kept.seal();
    kept.bed.reopen();
    assert_eq!(texts(&kept.bed).len(), 1);
    assert_eq!(kept.fate_bytes(Fate::Expired), bytes);
}

#[test]
fn a_line_that_comes_again_when_it_has_expired_brings_no_stream_back() {
    let mut kept = Kept::with(Some(AGE), None);
    let sent = kept.send(4, 28, 13);
    kept.bed.seal();
    kept.wait(1000);
    kept.retain();
    assert!(kept.streams().is_empty() && kept.fate_bytes(Fate::Held) == 0);
    let expired = kept.fate_bytes(Fate::Expired);
    kept.send(4, 28, 1);
    assert!(kept.found().is_empty() && kept.streams().is_empty(), "{:?}", sent[0]);
    assert_eq!(kept.fate_bytes(Fate::Expired), expired);
    kept.send(4, 40, 2);
    assert_eq!((kept.found().len(), kept.streams()), (1, [4].into()), "one of the two is new");
}

/// What is sent between a seal's begin and its retention is hot: it stays, with its stream.
#[test]
fn a_stream_that_comes_back_while_its_slice_is_dropped_stays() {
    let mut kept = Kept::with(Some(AGE), None);
    kept.send(1, 0, 2);
    kept.send(2, 0, 1);
    kept.seal();
    kept.wait(101);
    let fresh = kept.send(1, 2, 1);
    kept.retain();
    assert_eq!(kept.found(), fresh.iter().cloned().collect());
    assert_eq!(kept.streams(), BTreeSet::from([1]));
    for _ in 0..2 {
        let store = kept.bed.store();
        let (lines, bytes) = store
            .streams()
            .iter()
            .fold((0, 0), |(lines, bytes), (_, info)| (lines + info.lines, bytes + info.bytes));
        assert_eq!((lines, bytes), (1, fresh[0].1.len() as u64), "expired lines are counted off");
        assert_eq!(kept.found(), fresh.iter().cloned().collect());
        kept.seal();
        kept.bed.reopen();
    }
}

#[test]
fn the_oldest_leave_while_the_store_is_too_big() {
    let mut kept = Kept::with(None, None);
    for n in 0..40 {
        kept.send(n, 0, 20);
        kept.seal();
    }
    let (before, all) = (kept.disk_bytes(), kept.slices());
    assert_eq!(all.len(), 40);
    kept.bed.config.retention_bytes = Some(before / 2);
    kept.bed.reopen();
    kept.retain();
    assert!(kept.disk_bytes() <= before / 2, "{} of {before}", kept.disk_bytes());
    let left = kept.slices();
    assert!(all.ends_with(&left) && left.len() >= 15, "{left:?}");
    assert!(kept.folders_are_read());
    let newest: BTreeSet<u128> = (40 - left.len() as u128..40).collect();
    assert_eq!(kept.streams(), newest);
    assert_eq!(kept.bed.store().streams().iter().count(), left.len());
    // Nothing is left but the slice that is written to.
    kept.bed.config.retention_bytes = Some(1);
    kept.bed.reopen();
    kept.retain();
    assert_eq!(kept.slices(), [40]);
}

/// The manifest's last record may be lost: what the one before it names must be there.
#[test]
fn a_lost_record_of_a_retention_brings_its_slices_back() {
    let mut kept = Kept::with(Some(AGE), None);
    let sent = kept.send(1, 0, 5);
    kept.seal();
    kept.wait(101);
    kept.drop_due();
    assert!(kept.found().is_empty());
    // An open in between removes nothing that the record before the last one names.
    kept.bed.reopen();
    assert_eq!((kept.found().len(), kept.folders().len()), (0, 1));
    kept.bed.open = None;
    let path = kept.bed.config.dir.join("manifest");
    let mut bytes = std::fs::read(&path).unwrap();
    let last = bytes.len() - 3;
    bytes[last] ^= 4;
    std::fs::write(&path, bytes).unwrap();
    kept.bed.reopen();
    assert_eq!(kept.found(), sent.into_iter().collect());
    assert_eq!(kept.fate_bytes(Fate::Expired), 0);
    kept.retain();
    assert!(kept.found().is_empty() && kept.folders().is_empty());
}

/// A query that has a slice's view reads it to its end.
#[test]
fn readers_keep_what_they_hold() {
    let mut kept = Kept::with(Some(AGE), None);
    kept.send(1, 0, 5);
    kept.seal();
    let formula = Formula::Any;
    let selection =
        crate::Selection { streams: None, from: i64::MIN, to: i64::MAX, formula: &formula };
    let store = kept.bed.store().clone();
    let view = store.data.read().slices[0].clone();
    let sources = store.select(&selection, || Ok::<(), crate::StoreError>(())).unwrap();
    kept.wait(101);
    kept.retain();
    assert!(kept.folders().is_empty());
    let text = sources[0].open().unwrap().text().unwrap();
    assert_eq!(text.iter().filter(|byte| **byte == b'\n').count(), 5);
    let again = view.index.blocks(&Formula::literal(b"line"), None, i64::MIN, i64::MAX).unwrap();
    assert_eq!(again.len(), 1, "the index too");
}

/// A damaged block costs what it costs: its bytes are not called expired, the rest goes on.
#[test]
fn a_damaged_block_does_not_keep_its_slice() {
    let mut kept = Kept::with(Some(AGE), None);
    kept.send(1, 0, 1);
    kept.seal();
    let second = kept.send(2, 0, 1);
    kept.seal();
    let path = kept.bed.config.dir.join("slices/00000001/blocks");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[50] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    kept.wait(101);
    kept.retain();
    assert!(kept.folders().is_empty());
    assert_eq!(kept.fate_bytes(Fate::Expired), second[0].1.len() as u64 + 1);
}

#[test]
fn stats_tell_what_is_kept_and_what_expired() {
    let mut kept = Kept::with(Some(AGE), Some(1 << 30));
    let mut raw = 0;
    for n in 0..3 {
        raw = kept.send(n, 0, 20).iter().map(|(_, text)| text.len() as u64 + 1).sum();
        kept.seal();
        assert_eq!(kept.bed.store().metrics.hot_bytes.get(), 0, "the gauge after a seal");
        kept.wait(60);
    }
    let hot = kept.send(7, 0, 1)[0].1.len() as u64 + 1;
    for _ in 0..2 {
        let stats = kept.bed.store().stats().unwrap();
        assert_eq!((stats.lines, stats.streams, stats.raw_bytes), (41, 3, 2 * raw + hot));
        assert_eq!((stats.expired_slices, stats.expired_bytes), (1, raw));
        assert_eq!(stats.disk.total(), kept.disk_bytes());
        assert!(stats.disk.blocks > 0 && stats.disk.index > 0 && stats.hot_bytes > hot);
        assert_eq!(stats.hot_text_bytes, hot, "text, not the memory that it takes");
        assert_eq!((stats.retention_age, stats.retention_bytes), (Some(AGE), Some(1 << 30)));
        let ids: Vec<u64> = stats.slices.iter().map(|slice| slice.id).collect();
        assert_eq!(ids, [2, 3]);
        let first = &stats.slices[0];
        assert_eq!((first.blocks, first.raw_bytes), (1, raw));
        assert_eq!(first.times, Some((0, 19 + line_of(1, 0).0 as i64)));
        assert_eq!(first.created_at, START + 60 * SECOND);
        let disk: u64 = stats.slices.iter().map(|slice| slice.disk_bytes).sum();
        assert_eq!(disk + stats.disk.catalog, stats.disk.total());
        kept.bed.reopen();
    }
}

#[test]
fn slices_are_a_tenth_of_a_retention() {
    let config = |age, bytes| {
        let config = StoreConfig::new("x".into()).with_retention(age, bytes);
        (config.slice_age.as_secs(), config.slice_bytes)
    };
    let days = |n: u64| Some(Duration::from_secs(n * 86_400));
    assert_eq!(config(None, None), (86_400, 4 << 30));
    assert_eq!(config(days(1), Some(10 << 30)), (8640, 1 << 30));
    assert_eq!(config(days(365), Some(1 << 40)), (86_400, 4 << 30));
    assert_eq!(config(Some(Duration::from_secs(5)), Some(1)), (60, 1 << 20));
}

#[derive(Clone, Debug)]
enum Action {
    Send {
        stream: u8,
        from: u8,
        count: u8,
    },
    Seal,
    Wait(u8),
    Retain,
    /// A retention that is interrupted before it removes files.
    DropDue,
    Crash,
    /// The collector lost its memory and sends everything again.
    Redeliver,
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        8 => (0u8..5, 0u8..40, 1u8..15)
            .prop_map(|(stream, from, count)| Action::Send { stream, from, count }),
        5 => Just(Action::Seal),
        3 => (1u8..60).prop_map(Action::Wait),
        3 => Just(Action::Retain),
        1 => Just(Action::DropDue),
        2 => Just(Action::Crash),
        1 => Just(Action::Redeliver),
    ]
}

/// What the model knows of a line.
struct Sent {
    text: Vec<u8>,
    /// When it was sent first.
    at: i64,
    gone: bool,
}

/// The lines ever sent, and what must be true of them.
#[derive(Default)]
struct Model(BTreeMap<Key, Sent>);

impl Model {
    fn send(&mut self, lines: Vec<(Key, Vec<u8>)>, at: i64) {
        for (key, text) in lines {
            self.0.entry(key).or_insert(Sent { text, at, gone: false });
        }
    }

    /// Each line is found once and held, or expired and gone for good; none before its age.
    fn check(&mut self, kept: &Kept, age: Option<Duration>) {
        let mut found = kept.found();
        for (key, sent) in &mut self.0 {
            let fate = kept.fate_of(*key, &sent.text);
            match found.remove(key) {
                Some(text) => {
                    assert_eq!((&text, fate), (&sent.text, Some(Fate::Held)));
                    assert!(!sent.gone, "{key:?} is back");
                }
                None => {
                    assert_eq!(fate, Some(Fate::Expired), "{key:?}");
                    let old = age.is_none_or(|age| kept.now() - sent.at > age.as_nanos() as i64);
                    assert!(old || sent.gone, "{key:?} left too early");
                    sent.gone = true;
                }
            }
        }
        assert!(found.is_empty(), "never sent: {found:?}");
        let bytes = |gone| {
            let lines = self.0.values().filter(|sent| sent.gone == gone);
            lines.map(|sent| sent.text.len() as u64 + 1).sum::<u64>()
        };
        assert_eq!(kept.fate_bytes(Fate::Held), bytes(false));
        assert_eq!(kept.fate_bytes(Fate::Expired), bytes(true));
    }

    /// Every stream with lines is in the table with its labels, and counts what it holds.
    fn check_streams(&self, kept: &Kept) {
        let mut held: BTreeMap<u128, (u64, u64)> = BTreeMap::new();
        for (key, sent) in self.0.iter().filter(|(_, sent)| !sent.gone) {
            let counts = held.entry(key.0).or_default();
            *counts = (counts.0 + 1, counts.1 + sent.text.len() as u64);
        }
        let store = kept.bed.store();
        let told: BTreeMap<u128, (u64, u64)> = store
            .streams()
            .iter()
            .filter(|(_, info)| info.lines > 0)
            .map(|(number, info)| {
                assert_eq!(store.streams().find(info.id).unwrap().0, number);
                let labels = Labels::from_pairs([("app", format!("app{}", info.id.0))]).unwrap();
                assert_eq!(*info.labels, labels);
                (info.id.0, (info.lines, info.bytes))
            })
            .collect();
        assert_eq!(told, held);
    }
}

fn play(actions: Vec<Action>, age: Option<Duration>, bytes: Option<u64>) {
    let mut kept = Kept::with(age, bytes);
    let mut model = Model::default();
    for action in actions {
        match action {
            Action::Send { stream, from, count } => {
                let at = kept.now();
                model.send(kept.send(stream, from, count), at);
            }
            Action::Seal => kept.bed.seal(),
            Action::Wait(seconds) => kept.wait(i64::from(seconds)),
            Action::Retain => {
                kept.retain();
                assert!(kept.folders_are_read(), "{:?}", kept.folders());
                let few = kept.slices().len() <= 1;
                assert!(few || bytes.is_none_or(|bytes| kept.disk_bytes() <= bytes));
            }
            Action::DropDue => kept.drop_due(),
            Action::Crash => kept.bed.reopen(),
            Action::Redeliver => {
                for message in kept.bed.log.clone() {
                    kept.bed.send(message);
                }
            }
        }
        model.check(&kept, age.filter(|_| bytes.is_none()));
        model.check_streams(&kept);
    }
    kept.bed.seal();
    kept.wait(1000);
    kept.retain();
    model.check(&kept, age.filter(|_| bytes.is_none()));
    if age.is_some() {
        assert!(kept.found().is_empty() && kept.streams().is_empty());
        assert_eq!(kept.folders().len(), 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn each_line_is_found_once_or_belongs_to_a_dropped_slice(
        actions in proptest::collection::vec(action(), 1..50),
        age in proptest::option::weighted(0.6, 20u64..150),
        bytes in proptest::option::weighted(0.6, 8_000u64..60_000),
    ) {
        play(actions, age.map(Duration::from_secs), bytes);
    }
}
