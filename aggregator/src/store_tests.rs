//! The store as a whole: redelivery, seals, restarts, pruning, against simple models.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use sawlog_transport::batch::RunInput;
use sawlog_transport::{
    BatchBuilder, BatchHeader, Codec, CollectorId, GenerationId, Labels, Level, LineColumns,
    LineFlags, Piece, PieceKind, StreamId,
};

use crate::prune::Formula;
use crate::{Fate, OpenedRun, Sealer, Selection, Source, Store, StoreConfig};

const HEADER: BatchHeader =
    BatchHeader { collector: CollectorId(1), incarnation: 1, number: 0, config_generation: 0 };

/// A store in a folder of its own, with the messages it was given.
pub(crate) struct Bed {
    dir: tempfile::TempDir,
    pub(crate) config: StoreConfig,
    pub(crate) open: Option<(Arc<Store>, Sealer)>,
    pub(crate) log: Vec<Bytes>,
}

impl Bed {
    pub(crate) fn new() -> Self {
        Self::with(|config| config)
    }

    pub(crate) fn with(configure: impl FnOnce(StoreConfig) -> StoreConfig) -> Self {
        let dir = tempfile::tempdir().unwrap();
        // Slices roll after a few lines, so that every run of a test crosses some.
        let config = StoreConfig { slice_bytes: 400, ..StoreConfig::new(dir.path().join("store")) };
        let mut bed = Self { dir, config: configure(config), open: None, log: Vec::new() };
        bed.reopen();
        bed
    }

    pub(crate) fn store(&self) -> &Arc<Store> {
        &self.open.as_ref().unwrap().0
    }

    /// As after a crash: what was not sealed is consumed again.
    pub(crate) fn reopen(&mut self) {
        self.open = None;
        self.open = Some(Store::open(self.config.clone(), &prometheus::Registry::new()).unwrap());
        let from = self.store().position(0) as usize;
        for (offset, message) in self.log.iter().enumerate().skip(from) {
            self.store().ingest(0, offset as u64, message.clone()).unwrap();
        }
    }

    pub(crate) fn send(&mut self, message: Bytes) {
        self.store().ingest(0, self.log.len() as u64, message.clone()).unwrap();
        self.log.push(message);
    }

    pub(crate) fn seal(&mut self) {
        self.sealer().seal_now().unwrap();
    }

    pub(crate) fn sealer(&mut self) -> &mut Sealer {
        &mut self.open.as_mut().unwrap().1
    }

    /// All lines that the formula leaves: stream → generation → offset → text.
    pub(crate) fn lines(&self, formula: &Formula) -> Lines {
        self.lines_of(formula, |_| true)
    }

    /// Those of them whose run is kept.
    pub(crate) fn lines_of(&self, formula: &Formula, keep: impl Fn(&OpenedRun) -> bool) -> Lines {
        let selection = Selection { streams: None, from: i64::MIN, to: i64::MAX, formula };
        let mut found = BTreeMap::new();
        for source in self.store().select(&selection, || Ok::<(), crate::StoreError>(())).unwrap() {
            add_lines(&mut found, &source, &keep);
        }
        found
    }
}

/// Stream, generation and offset → text.
pub(crate) type Lines = BTreeMap<(u128, u128, u64), Vec<u8>>;

/// Adds the lines of a source; none may be there already.
pub(crate) fn add_lines(found: &mut Lines, source: &Source, keep: impl Fn(&OpenedRun) -> bool) {
    let opened = source.open().unwrap();
    let (lines, text) = (opened.lines().unwrap(), opened.text().unwrap());
    let starts: Vec<usize> = std::iter::once(0)
        .chain(lines.text_lens.iter().scan(0, |at, len| {
            *at += *len as usize + 1;
            Some(*at)
        }))
        .collect();
    for run in opened.runs.iter().filter(|run| keep(run)) {
        let mut addresses = sawlog_transport::run::Addresses::new(&run.run.pieces);
        for line in run.run.lines() {
            let (generation, offset) = addresses.next_line(lines.source_lens[line]).unwrap();
            let key = (run.stream.0, generation.0, offset);
            let line = text[starts[line]..starts[line + 1] - 1].to_vec();
            assert_eq!(found.insert(key, line), None, "a line twice");
        }
    }
}

/// One run of whole lines of one generation, as a message.
pub(crate) fn message(stream: u128, generation: u128, from: u64, lines: &[&[u8]]) -> Bytes {
    let lines: Vec<(&[u8], bool)> = lines.iter().map(|line| (*line, false)).collect();
    message_of_entries(stream, generation, from, &lines)
}

/// The same with lines that continue the entry before them.
pub(crate) fn message_of_entries(
    stream: u128,
    generation: u128,
    from: u64,
    lines: &[(&[u8], bool)],
) -> Bytes {
    let mut columns = LineColumns::default();
    let mut text = Vec::new();
    for (n, (line, continues)) in lines.iter().enumerate() {
        let len = line.len() as u32;
        let flags = if *continues { LineFlags::CONTINUES } else { 0 };
        columns.push((from + n as u64) as i64, len, len + 1, LineFlags::new(Level::Info, flags));
        text.extend_from_slice(line);
        text.push(b'\n');
    }
    let to = from + columns.source_bytes();
    let piece = Piece { generation: GenerationId(generation), from, to, kind: PieceKind::Text };
    let mut builder = BatchBuilder::new(HEADER, Codec::Zstd(1));
    let labels = Arc::new(Labels::from_pairs([("app", format!("app{stream}"))]).unwrap());
    let run = RunInput { read_time: 7, pieces: &[piece], lines: &columns, text: &text };
    builder.push_run(StreamId(stream), &labels, run).unwrap();
    builder.finish()
}

pub(crate) fn texts(bed: &Bed) -> Vec<String> {
    let all = bed.lines(&Formula::Any);
    all.values().map(|line| String::from_utf8_lossy(line).into_owned()).collect()
}

#[test]
fn redelivery_is_taken_once_also_after_seals_and_restarts() {
    let mut bed = Bed::new();
    let both = message(1, 1, 0, &[b"one", b"two"]);
    bed.send(both.clone());
    bed.send(both.clone());
    assert_eq!(texts(&bed), ["one", "two"]);
    bed.seal();
    bed.send(both.clone());
    bed.reopen();
    bed.send(both);
    bed.send(message(1, 1, 4, &[b"two", b"three"]));
    assert_eq!(texts(&bed), ["one", "two", "three"]);
    assert_eq!(bed.store().streams().iter().next().unwrap().1.lines, 3);
    let ledger = bed.store().ledger();
    let ranges = ledger.get(StreamId(1), GenerationId(1)).unwrap();
    assert_eq!((ranges.iter().count(), ranges.bytes(Fate::Held)), (1, 14));
}

/// Labels that become known without a line hold for older lines, also after a seal and a restart; of
/// a stream that the store does not hold they make none.
#[test]
fn labels_without_lines_label_older_lines_and_make_no_stream() {
    let tell = |stream: u128, app: &str| {
        let mut builder = BatchBuilder::new(HEADER, Codec::Zstd(1));
        let labels = Arc::new(Labels::from_pairs([("app", app)]).unwrap());
        let lines = LineColumns::default();
        let run = RunInput { read_time: 1, pieces: &[], lines: &lines, text: &[] };
        builder.push_run(StreamId(stream), &labels, run).unwrap();
        builder.finish()
    };
    let mut bed = Bed::new();
    let app = |bed: &Bed| {
        let tables = bed.store().tables.read();
        assert!(tables.streams.find(StreamId(2)).is_none());
        let (_, info) = tables.streams.find(StreamId(1)).unwrap();
        (String::from_utf8_lossy(info.labels.get("app").unwrap()).into_owned(), info.lines)
    };
    bed.send(message(1, 1, 0, &[b"a line"]));
    bed.send(tell(1, "/shop/checkout"));
    bed.send(tell(2, "/nowhere"));
    assert_eq!(app(&bed), ("/shop/checkout".into(), 1));
    bed.reopen();
    assert_eq!(app(&bed), ("/shop/checkout".into(), 1));
    bed.seal();
    bed.send(tell(1, "/shop/renamed"));
    bed.seal();
    bed.reopen();
    assert_eq!(app(&bed), ("/shop/renamed".into(), 1));
    assert_eq!(bed.lines(&Formula::Any).len(), 1);
}

#[test]
fn a_line_held_in_part_gives_its_other_part() {
    let mut bed = Bed::new();
    let mut partial = LineColumns::default();
    partial.push(0, 4, 4, LineFlags::new(Level::Unknown, LineFlags::PARTIAL));
    let piece = Piece { generation: GenerationId(1), from: 0, to: 4, kind: PieceKind::Text };
    let header =
        BatchHeader { collector: CollectorId(1), incarnation: 1, number: 0, config_generation: 0 };
    let mut builder = BatchBuilder::new(header, Codec::None);
    let run = RunInput { read_time: 7, pieces: &[piece], lines: &partial, text: b"half\n" };
    builder.push_run(StreamId(1), &Arc::default(), run).unwrap();
    bed.send(builder.finish());
    bed.send(message(1, 1, 0, &[b"half and half", b"next"]));
    assert_eq!(texts(&bed), ["half", " and half", "next"]);
}

#[test]
fn garbage_is_passed_over_and_a_newer_version_is_not() {
    let mut bed = Bed::new();
    bed.send(Bytes::from_static(b"no batch at all, only text that somebody sent by mistake....."));
    let mut damaged = message(1, 1, 0, &[b"lost to a flipped bit"]).to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    bed.send(damaged.into());
    bed.send(message(1, 2, 0, &[b"still here"]));
    assert_eq!(texts(&bed), ["still here"]);
    let mut newer = message(1, 3, 0, &[b"from the future"]).to_vec();
    newer[4] = 200;
    let crc = crc32c::crc32c(&newer[..76]);
    newer[76..80].copy_from_slice(&crc.to_le_bytes());
    assert!(bed.store().ingest(0, 3, newer.into()).is_err());
    assert_eq!(bed.store().position(0), 3);
}

/// An arrival number has 34 bits for the offset: one more message would stand before all others.
#[test]
fn a_message_that_cannot_be_numbered_is_refused() {
    let bed = Bed::new();
    let last = (1u64 << 34) - 1;
    bed.store().ingest(0, last, message(1, 1, 0, &[b"the last one"])).unwrap();
    let refused = bed.store().ingest(0, last + 1, message(1, 1, 13, &[b"one too many"]));
    assert!(refused.unwrap_err().to_string().contains("17179869184 messages"));
    assert_eq!((bed.store().position(0), texts(&bed).len()), (last + 1, 1));
}

#[test]
fn a_damaged_manifest_tail_costs_one_seal_which_is_replayed() {
    let mut bed = Bed::new();
    bed.send(message(1, 1, 0, &[b"first"]));
    bed.seal();
    bed.send(message(1, 1, 6, &[b"second"]));
    bed.seal();
    bed.open = None;
    let path = bed.dir.path().join("store/manifest");
    let mut bytes = std::fs::read(&path).unwrap();
    let last = bytes.len() - 3;
    bytes[last] ^= 4;
    std::fs::write(&path, &bytes).unwrap();
    bed.reopen();
    assert_eq!(texts(&bed), ["first", "second"]);
    bed.seal();
    bed.reopen();
    assert_eq!(texts(&bed), ["first", "second"]);
}

/// A record in the middle is damaged too, once: the manifest is written anew, so that later opens
/// remove what unfinished steps leave. What was moved aside counts as bytes on disk.
#[test]
fn a_damaged_manifest_is_whole_again_after_one_open() {
    let mut bed = Bed::new();
    for n in 0..3u64 {
        bed.send(message(1, 1, n * 5, &[b"line"]));
        bed.seal();
    }
    bed.open = None;
    let store = bed.dir.path().join("store");
    let path = store.join("manifest");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[20] ^= 4;
    std::fs::write(&path, &bytes).unwrap();
    let strangers = [store.join("slices/00000077"), store.join("slices/00000078")];
    let leave = |path: &std::path::Path| {
        std::fs::create_dir_all(path.join("index")).unwrap();
        std::fs::write(path.join("index/file"), [0; 1000]).unwrap();
    };
    leave(&strangers[0]);
    // An open that cannot move it aside repairs nothing.
    std::fs::write(store.join("aside"), b"no folder").unwrap();
    assert!(Store::open(bed.config.clone(), &prometheus::Registry::new()).is_err());
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
    std::fs::remove_file(store.join("aside")).unwrap();
    bed.reopen();
    assert!(!strangers[0].exists());
    assert_eq!(bed.store().stats().unwrap().disk.aside, 1000);
    leave(&strangers[1]);
    bed.reopen();
    assert!(!strangers[1].exists());
    assert_eq!(bed.store().stats().unwrap().disk.aside, 1000, "it was removed, not moved");
    assert_eq!(texts(&bed).len(), 3);
}

#[test]
fn a_second_process_is_refused_with_the_folder() {
    let bed = Bed::new();
    let config = StoreConfig::new(bed.dir.path().join("store"));
    let refused = Store::open(config, &prometheus::Registry::new()).err().unwrap().to_string();
    assert!(refused.contains("in use") && refused.contains("store"), "{refused}");
}

#[test]
fn a_big_run_is_stored_as_it_came_and_small_ones_together() {
    let mut bed = Bed::new();
    let line = vec![b'z'; 1000];
    let big: Vec<&[u8]> = vec![&line; 100];
    bed.send(message(1, 1, 0, &big));
    for stream in 2..30 {
        bed.send(message(stream, 1, 0, &[b"quiet"]));
    }
    bed.seal();
    assert_eq!(bed.store().metrics.adopted_frames.get(), 1);
    assert_eq!(bed.store().metrics.blocks.get(), 2);
    assert_eq!(texts(&bed).len(), 128);
}

/// Catalog and manifest are rewritten when most of them is stale (in tests: soon), slices roll; what
/// is no longer named is removed.
#[test]
fn files_stay_few_and_short() {
    let mut bed = Bed::new();
    for round in 0..60u64 {
        let line = format!("line {round:03}");
        bed.send(message(1, 1, round * 9, &[line.as_bytes()]));
        bed.seal();
        if round % 20 == 0 {
            bed.reopen();
        }
    }
    bed.reopen();
    assert_eq!(texts(&bed).len(), 60);
    let store = bed.dir.path().join("store");
    let catalogs: Vec<_> = std::fs::read_dir(&store)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("catalog-"))
        .collect();
    assert_eq!(catalogs.len(), 1);
    assert_ne!(catalogs[0].file_name(), "catalog-0", "the catalog was rewritten");
    assert!(catalogs[0].metadata().unwrap().len() < 4096);
    assert!(std::fs::metadata(store.join("manifest")).unwrap().len() < 4096);
    assert!(std::fs::read_dir(store.join("slices")).unwrap().count() > 1, "slices rolled");
}

#[derive(Clone, Debug)]
enum Action {
    /// Send lines `from..to` of a stream's file.
    Send {
        stream: u8,
        from: u8,
        count: u8,
    },
    Seal,
    /// As while it runs.
    SealButLastEntries,
    Crash,
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        6 => (0u8..3, 0u8..30, 1u8..12)
            .prop_map(|(stream, from, count)| Action::Send { stream, from, count }),
        1 => Just(Action::Seal),
        2 => Just(Action::SealButLastEntries),
        1 => Just(Action::Crash),
    ]
}

/// Line `n` of a stream's file, and where it begins.
pub(crate) fn line_of(stream: u8, n: u8) -> (u64, String) {
    let text = |n: u8| format!("line {n} of stream {stream} {}", "x".repeat(usize::from(n) % 7));
    ((0..n).map(|before| text(before).len() as u64 + 1).sum(), text(n))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_redelivery_seals_and_crashes_give_each_line_once(
        actions in proptest::collection::vec(action(), 1..40),
    ) {
        let mut bed = Bed::new();
        let mut model = BTreeMap::new();
        for action in actions {
            match action {
                Action::Send { stream, from, count } => {
                    let lines: Vec<_> = (from..from + count).map(|n| line_of(stream, n)).collect();
                    let texts: Vec<&[u8]> = lines.iter().map(|(_, text)| text.as_bytes()).collect();
                    bed.send(message(u128::from(stream), 9, lines[0].0, &texts));
                    for (offset, text) in lines {
                        model.insert((u128::from(stream), 9u128, offset), text.into_bytes());
                    }
                }
                Action::Seal => bed.seal(),
                Action::SealButLastEntries => bed.sealer().seal_but_last_entries().unwrap(),
                Action::Crash => bed.reopen(),
            }
            prop_assert_eq!(&bed.lines(&Formula::Any), &model);
        }
        let held: u64 = model.values().map(|line| line.len() as u64 + 1).sum();
        let told: u64 = (0..3u128)
            .filter_map(|s| Some(bed.store().ledger().get(StreamId(s), GenerationId(9))?.bytes(Fate::Held)))
            .sum();
        prop_assert_eq!(told, held);
        let counted: u64 = bed.store().streams().iter().map(|(_, info)| info.lines).sum();
        prop_assert_eq!(counted, model.len() as u64);
    }
}

/// Lines and needles from one small alphabet, so that they meet often.
fn fragment() -> impl Strategy<Value = String> {
    let words = [
        "error",
        "Error",
        "time",
        "timeout",
        "x4time99",
        "ab",
        "user=alice",
        "4bf92f35",
        "a7f3c09e1b2d4856",
        "12345678",
        "42",
        "caf\u{e9}",
        "\u{212A}elvin",
        "\u{17F}top",
        "kelvin",
        "stop",
        "\\n",
        "\\u0041",
        "\t",
        " ",
        "-",
        "status=500",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "Z",
    ];
    proptest::sample::select(words.to_vec()).prop_map(str::to_owned)
}

fn line() -> impl Strategy<Value = String> {
    proptest::collection::vec(fragment(), 0..6).prop_map(|parts| parts.concat())
}

fn pattern() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => fragment().prop_map(|text| regex::escape(&text)),
        1 => Just(".*".to_owned()),
        1 => Just(r"\d+".to_owned()),
        1 => Just("[a-e]?".to_owned()),
        1 => Just(r"\b".to_owned()),
        1 => (fragment(), fragment())
            .prop_map(|(a, b)| format!("(?:{}|{})", regex::escape(&a), regex::escape(&b))),
        1 => fragment().prop_map(|text| format!("(?:{})+", regex::escape(&text))),
        1 => fragment().prop_map(|text| format!("(?i){}", regex::escape(&text))),
    ];
    proptest::collection::vec(piece, 1..4).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The index never rules out a block with a match.
    #[test]
    fn pruned_results_equal_a_full_scan(
        blocks in proptest::collection::vec(proptest::collection::vec(line(), 1..5), 1..8),
        literals in proptest::collection::vec(line(), 12),
        slices in proptest::collection::vec((0usize..40, 1usize..12), 12),
        patterns in proptest::collection::vec(pattern(), 24),
    ) {
        let mut bed = Bed::new();
        for (n, lines) in blocks.iter().enumerate() {
            let texts: Vec<&[u8]> = lines.iter().map(|line| line.as_bytes()).collect();
            bed.send(message(1, n as u128, 0, &texts));
            bed.seal();
        }
        let all = bed.lines(&Formula::Any);
        let every: Vec<Vec<u8>> = all.values().cloned().collect();
        let cut = |text: &str, (from, len): &(usize, usize)| {
            let chars = text.chars().skip(*from % (text.chars().count() + 1)).take(*len);
            chars.collect::<String>()
        };
        let parts = every.iter().zip(&slices).map(|(line, s)| cut(&String::from_utf8_lossy(line), s));
        for literal in literals.iter().cloned().chain(parts) {
            let pruned = bed.lines(&Formula::literal(literal.as_bytes()));
            for (key, line) in &all {
                if memchr::memmem::find(line, literal.as_bytes()).is_some() {
                    prop_assert!(pruned.contains_key(key), "{literal:?} pruned {line:?}");
                }
            }
        }
        for pattern in &patterns {
            let Ok(regex) = regex::bytes::Regex::new(pattern) else { continue };
            let pruned = bed.lines(&Formula::regex(pattern));
            for (key, line) in &all {
                if regex.is_match(line) {
                    prop_assert!(pruned.contains_key(key), "{pattern:?} pruned {line:?}");
                }
            }
        }
    }
}

/// Pruning is worth something: one block in a hundred is left for a word of its own.
#[test]
fn a_rare_word_leaves_few_blocks() {
    let mut bed = Bed::new();
    let letters = |n: u8| String::from_utf8(vec![b'a' + n / 10, b'k' + n % 10, b'q']).unwrap();
    for n in 0..100u8 {
        let line = format!("common words and {}rare", letters(n));
        bed.send(message(1, u128::from(n), 0, &[line.as_bytes()]));
        bed.seal();
    }
    let needle = format!("{}rar", letters(42));
    assert_eq!(bed.lines(&Formula::literal(needle.as_bytes())).len(), 1);
    assert_eq!(bed.lines(&Formula::literal(b"mmon word")).len(), 100);
}

/// So it is for an id; damaged filters cost their worth, are counted, and hide nothing.
#[test]
fn a_rare_id_leaves_few_blocks() {
    let mut bed = Bed::new();
    for n in 0..20u64 {
        let line =
            format!("common words and id={:016x}", (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        bed.send(message(1, u128::from(n), 0, &[line.as_bytes()]));
        bed.seal();
    }
    let needle = format!("{:016x}", 7u64.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let asked = Formula::literal(&needle.as_bytes()[2..12]);
    for _ in 0..2 {
        let before = bed.store().metrics.filtered_blocks.get();
        assert_eq!(bed.lines(&asked).len(), 1);
        assert_eq!(bed.store().metrics.filtered_blocks.get() - before, 19);
        bed.reopen();
    }
    bed.open = None;
    for slice in std::fs::read_dir(bed.dir.path().join("store/slices")).unwrap() {
        let path = slice.unwrap().path().join("filters");
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[40] ^= 1;
        std::fs::write(&path, bytes).unwrap();
    }
    bed.reopen();
    let slices = bed.store().data.read().slices.len() as u64;
    assert!(slices > 1 && bed.lines(&asked).len() as u64 >= slices);
    assert_eq!(bed.store().metrics.damaged_filters.get(), slices);
}

/// Redelivery alone must not fill the log for ever: seals go on, and the log forgets.
#[test]
fn a_log_full_of_duplicates_is_emptied() {
    use sawlog_transport::embedded::{BYTES_MAX_MIN, EmbeddedConfig, EmbeddedLog};
    use sawlog_transport::{Producer, SendError};

    let dir = tempfile::tempdir().unwrap();
    let config = StoreConfig {
        seal_interval: std::time::Duration::from_millis(20),
        ..StoreConfig::new(dir.path().join("store"))
    };
    let (store, sealer) = Store::open(config, &prometheus::Registry::new()).unwrap();
    let log = EmbeddedLog::open(EmbeddedConfig {
        bytes_max: BYTES_MAX_MIN,
        file_bytes_max: 1 << 20,
        ..EmbeddedConfig::new(dir.path().join("log"), 1)
    })
    .unwrap();
    let consumer = Box::new(log.consumer());
    let aggregator = crate::Aggregator::start(store.clone(), sealer, consumer).unwrap();
    let noise: Vec<u8> =
        (0..200_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let noise: Vec<u8> = noise.into_iter().filter(|byte| *byte != b'\n').collect();
    let same = message(1, 1, 0, &[&noise]);
    let (acks, acked) = std::sync::mpsc::channel();
    let times = 3 * BYTES_MAX_MIN / same.len() as u64;
    let mut refused = 0;
    for tag in 0..times {
        // The bound is on tries, not on time: each waits for a fresh look of the writer.
        while let Err(err) = log.producer().send(0, same.clone(), tag, &acks) {
            assert!(matches!(err, SendError::Full), "{err}");
            refused += 1;
            assert!(refused < 20_000, "the log stays full after {tag} messages");
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }
    for _ in 0..times {
        assert!(acked.recv().unwrap().result.is_ok());
    }
    assert!(log.bytes() <= BYTES_MAX_MIN);
    aggregator.stop();
    assert_eq!(store.streams().iter().next().unwrap().1.lines, 1);
}

#[test]
fn a_store_whose_manifest_or_index_is_gone_is_refused_and_left_as_it_is() {
    let mut bed = Bed::new();
    bed.send(message(1, 1, 0, &[b"kept"]));
    bed.seal();
    bed.open = None;
    let dir = bed.dir.path().join("store");
    let refused = |dir: &std::path::Path| {
        let config = StoreConfig::new(dir.to_owned());
        Store::open(config, &prometheus::Registry::new()).err().unwrap().to_string()
    };
    let slice = dir.join("slices/00000001");
    for (path, names) in [
        (dir.join("manifest"), "manifest"),
        (slice.join("index/meta.json"), "index"),
        (slice.join("filters"), "filters"),
    ] {
        let saved = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(refused(&dir).contains(names), "{}", refused(&dir));
        assert!(slice.join("blocks").metadata().unwrap().len() > 0, "nothing was removed");
        std::fs::write(&path, saved).unwrap();
    }
    bed.reopen();
    assert_eq!(texts(&bed), ["kept"]);
}
