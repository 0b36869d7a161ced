//! Entries of several lines: none is parted between blocks, and what a seal leaves hot for the next
//! line is bounded in time and bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use sawlog_transport::run::Addresses;

use crate::prune::Formula;
use crate::store_tests::{Bed, message, message_of_entries};
use crate::{Clock, Selection, Source, StoreConfig, StoreError};

impl Bed {
    fn sources(&self) -> Vec<Source> {
        let selection =
            Selection { streams: None, from: i64::MIN, to: i64::MAX, formula: &Formula::Any };
        self.store().select(&selection, || Ok::<(), StoreError>(())).unwrap()
    }

    fn hot(&self) -> usize {
        self.sources().iter().filter(|source| matches!(source, Source::Hot(_))).count()
    }

    /// Stream and offset of the first line of each stream in each source.
    fn firsts(&self) -> BTreeSet<(u128, u64)> {
        let mut firsts = BTreeSet::new();
        for source in self.sources() {
            let opened = source.open().unwrap();
            let lines = opened.lines().unwrap();
            let mut seen = BTreeSet::new();
            for run in opened.runs.iter().filter(|run| seen.insert(run.number)) {
                let len = lines.source_lens[run.run.first_line as usize];
                let (_, offset) = Addresses::new(&run.run.pieces).next_line(len).unwrap();
                firsts.insert((run.stream.0, offset));
            }
        }
        firsts
    }
}

/// Lines of a stream: their length, and whether they continue an entry. Some runs are large enough
/// for a frame of their own.
fn run() -> impl Strategy<Value = (u128, Vec<(usize, bool)>)> {
    let line = (0usize..6000, proptest::bool::weighted(0.8));
    (0u128..3, proptest::collection::vec(line, 1..60))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn blocks_and_hot_sources_end_between_entries(
        runs in proptest::collection::vec((run(), 0u8..6), 1..30),
    ) {
        let mut bed = Bed::new();
        let mut offsets: BTreeMap<u128, u64> = BTreeMap::new();
        let mut begins: BTreeSet<(u128, u64)> = BTreeSet::new();
        for ((stream, lines), then) in runs {
            let offset = offsets.entry(stream).or_default();
            let from = *offset;
            for (len, continues) in &lines {
                // The limit of bytes is not reached but by very few: those begin an entry too.
                if !continues || *offset == 0 {
                    begins.insert((stream, *offset));
                }
                *offset += *len as u64 + 1;
            }
            let texts: Vec<_> = lines.iter().map(|(len, more)| (vec![b'x'; *len], *more)).collect();
            let texts: Vec<_> = texts.iter().map(|(text, more)| (&text[..], *more)).collect();
            bed.send(message_of_entries(stream, 1, from, &texts));
            if then == 0 {
                bed.sealer().seal_but_last_entries().unwrap();
            }
        }
        for _ in 0..2 {
            let parted: Vec<_> = bed.firsts().difference(&begins).copied().collect();
            prop_assert!(parted.is_empty(), "{parted:?}");
            bed.seal();
        }
    }
}

#[test]
fn a_frame_of_whole_entries_is_stored_as_it_came_and_others_are_parted() {
    let mut bed = Bed::new();
    let line = vec![b'z'; 1000];
    let mut lines: Vec<(&[u8], bool)> = vec![(&line, false); 100];
    bed.send(message_of_entries(1, 1, 0, &lines));
    bed.send(message_of_entries(1, 1, 100_100, &lines));
    bed.seal();
    assert_eq!(bed.store().metrics.adopted_frames.get(), 2);
    lines[0].1 = true;
    bed.send(message_of_entries(1, 1, 200_200, &lines));
    lines[0].1 = false;
    bed.send(message_of_entries(1, 1, 300_300, &lines));
    bed.seal();
    assert_eq!(bed.store().metrics.adopted_frames.get(), 4, "what it continued is sealed");
    bed.send(message_of_entries(1, 1, 400_400, &lines));
    lines[0].1 = true;
    bed.send(message_of_entries(1, 1, 500_500, &lines));
    bed.seal();
    assert_eq!(bed.store().metrics.adopted_frames.get(), 4, "an entry lies in both");
}

/// A store whose clock goes when it is told to, in tenths of a second.
fn clocked(seal_interval: Duration, seal_bytes: usize) -> (Bed, Arc<AtomicI64>) {
    let tenths = Arc::new(AtomicI64::new(5));
    let time = tenths.clone();
    let steady = move || time.load(Ordering::Relaxed) * 100_000_000;
    let clock = Clock::new(|| 0, steady);
    let bed = Bed::with(|config| StoreConfig { clock, seal_interval, seal_bytes, ..config });
    (bed, tenths)
}

#[test]
fn an_entry_waits_for_its_next_line_for_ten_seconds_or_a_seals_interval() {
    for (interval, wait) in [(600, 100), (3, 30), (0, 10)] {
        let (mut bed, tenths) = clocked(Duration::from_secs(interval), 64 << 20);
        bed.send(message(1, 1, 0, &[b"one", b"two"]));
        bed.send(message(2, 1, 0, &[b"three"]));
        tenths.fetch_add(wait - 1, Ordering::Relaxed);
        bed.send(message(2, 1, 6, &[b"four"]));
        bed.sealer().seal_but_last_entries().unwrap();
        assert_eq!((bed.hot(), bed.store().position(0)), (2, 3));
        // What is hot is consumed again after a crash, and what is not is known.
        assert_eq!(bed.store().sealed.lock()[&0], 0);
        assert_eq!(bed.store().metrics.blocks.get(), 1);
        tenths.fetch_add(1, Ordering::Relaxed);
        bed.sealer().seal_but_last_entries().unwrap();
        assert_eq!((bed.hot(), bed.store().sealed.lock()[&0]), (1, 2));
        tenths.fetch_add(wait, Ordering::Relaxed);
        bed.sealer().seal_but_last_entries().unwrap();
        assert_eq!((bed.hot(), bed.store().sealed.lock()[&0]), (0, 3));
        assert_eq!(bed.store().data.read().hot_bytes, 0);
    }
}

#[test]
fn an_entry_that_goes_on_slowly_is_let_go_after_a_minute() {
    let (mut bed, tenths) = clocked(Duration::from_secs(600), 64 << 20);
    bed.send(message_of_entries(1, 1, 0, &[(b"entry", false)]));
    for n in 1..=24 {
        tenths.fetch_add(50, Ordering::Relaxed);
        bed.send(message_of_entries(1, 1, 100 * n, &[(b"entry", true)]));
        bed.sealer().seal_but_last_entries().unwrap();
        // A minute has passed with the twelfth line, and then with the entry that begins behind it,
        // whose first line is the thirteenth.
        let sealed = if n < 12 { 0 } else { 13 };
        assert_eq!(bed.store().sealed.lock()[&0], sealed, "{n}");
        assert_eq!(bed.store().position(0), n + 1);
    }
    tenths.fetch_add(50, Ordering::Relaxed);
    bed.sealer().seal_but_last_entries().unwrap();
    assert_eq!((bed.hot(), bed.store().sealed.lock()[&0]), (0, 25));
    assert_eq!(bed.lines(&Formula::Any).len(), 25);
}

#[test]
fn what_a_seal_leaves_hot_is_bounded() {
    let (mut bed, _) = clocked(Duration::from_secs(600), 64 << 10);
    let line = [b'x'; 1500];
    for stream in 0..50 {
        bed.send(message(stream, 1, 0, &[&line, &line]));
    }
    bed.sealer().seal_but_last_entries().unwrap();
    // An eighth of what begins a seal.
    assert_eq!(bed.hot(), 4);
    let bytes = bed.store().data.read().hot_bytes;
    assert!((4 * 1500..8 << 10).contains(&bytes), "{bytes}");
    assert_eq!(bed.lines(&Formula::Any).len(), 100);
}
