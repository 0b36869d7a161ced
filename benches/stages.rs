//! Each stage alone, on the same text, beside what the machine does at best with these bytes.
//!
//! `cargo bench --bench stages`, with a part of a name to choose: `-- seal`. The last parts of the
//! names are the corpora, `floor …` are the floors. Throughput counts bytes of log text.

mod corpus;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use corpus::Corpus;
use corpus::batches::{Batches, READ_TIME, cut};
use criterion::measurement::WallTime;
use criterion::{
    BatchSize, BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
};
use sawlog_aggregator::words::words_of;
use sawlog_aggregator::{Sealer, Store, StoreConfig};
use sawlog_collector::redact::{Block, PemBlock, Redactor};
use sawlog_collector::times::StreamTimes;
use sawlog_query::engine::log::{self, Direction, LogQuery};
use sawlog_query::engine::metric::{Steps, evaluate};
use sawlog_query::engine::{Budget, Limits};
use sawlog_query::lang::{Expr, ParseOptions, parse};
use sawlog_transport::batch::{FrameEncoder, RunInput};
use sawlog_transport::{
    Batch, BatchBuilder, BatchHeader, Codec, CollectorId, Frame, GenerationId, Labels, LineColumns,
    Piece, PieceKind, StreamId,
};

const SEED: u64 = 3;
/// What the stages get that work on one run after the other: a turn of all streams.
const TURN_BYTES: u64 = 1_600_000;
/// What is sealed at once, and what queries scan: enough for a hundred blocks.
const STORE_BYTES: u64 = 24_000_000;

/// A run's text, and its columns as the collector makes them.
struct Chunk {
    text: Vec<u8>,
    lines: LineColumns,
}

/// What all streams of a corpus give in one turn.
struct Turn {
    chunks: Vec<Chunk>,
    text_bytes: u64,
}

impl Turn {
    fn of(corpus: Corpus) -> Self {
        let mut chunks = corpus.chunks(SEED, TURN_BYTES, usize::MAX).expect("it is generated");
        let mut this = Self { chunks: Vec::new(), text_bytes: 0 };
        let mut text = Vec::new();
        while chunks.next_chunk(&mut text).is_some() {
            let mut lines = LineColumns::default();
            cut(&text, &mut StreamTimes::default(), &mut lines);
            this.text_bytes += text.len() as u64;
            this.chunks.push(Chunk { text: std::mem::take(&mut text), lines });
        }
        this
    }

    fn texts(&self) -> impl Iterator<Item = &[u8]> {
        self.chunks.iter().map(|chunk| &chunk.text[..])
    }

    fn units(&self) -> Vec<Unit> {
        self.texts().map(Unit::of).collect()
    }
}

impl Chunk {
    fn encode(&self) -> Bytes {
        let header = BatchHeader {
            collector: CollectorId(1),
            incarnation: 1,
            number: 0,
            config_generation: 0,
        };
        let mut builder = BatchBuilder::new(header, Codec::Zstd(1));
        let to = self.text.len() as u64;
        let piece = Piece { generation: GenerationId(1), from: 0, to, kind: PieceKind::Text };
        let labels = Labels::from_pairs([("app", "web")]).expect("a good label");
        let (lines, text) = (&self.lines, &self.text[..]);
        let run = RunInput { read_time: READ_TIME, pieces: &[piece], lines, text };
        builder.push_run(StreamId(1), &Arc::new(labels), run).expect("a run fits a batch");
        builder.finish()
    }
}

/// Compressed text, as a block keeps it.
struct Unit {
    stored: Vec<u8>,
    len: usize,
}

impl Unit {
    fn of(text: &[u8]) -> Self {
        let stored = zstd::bulk::compress(text, 1).expect("zstd takes all bytes");
        Self { stored, len: text.len() }
    }

    fn inflate(&self) -> Vec<u8> {
        zstd::bulk::decompress(&self.stored, self.len).expect("it was compressed")
    }
}

fn group<'c>(c: &'c mut Criterion, name: &str) -> BenchmarkGroup<'c, WallTime> {
    let mut group = c.benchmark_group(name);
    group.sample_size(20).measurement_time(Duration::from_secs(3));
    group
}

fn turns() -> Vec<(&'static str, Turn)> {
    Corpus::GENERATED.iter().map(|corpus| (corpus.name(), Turn::of(*corpus))).collect()
}

/// The collector: where lines end, their time, their level.
fn lines(c: &mut Criterion) {
    let mut group = group(c, "collector lines");
    for (name, turn) in turns() {
        group.throughput(Throughput::Bytes(turn.text_bytes));
        group.bench_with_input(BenchmarkId::new("cut", name), &turn, |b, turn| {
            let mut columns = LineColumns::default();
            b.iter(|| {
                for text in turn.texts() {
                    columns.clear();
                    cut(black_box(text), &mut StreamTimes::default(), &mut columns);
                }
                columns.len()
            });
        });
        group.bench_with_input(BenchmarkId::new("floor memchr", name), &turn, |b, turn| {
            let count = |text| memchr::memchr_iter(b'\n', black_box(text)).count();
            b.iter(|| turn.texts().map(count).sum::<usize>());
        });
    }
    group.finish();
}

/// The collector: the look for secrets, in place where there are none. What it may cost is a part of the
/// compression of the same text. `look` is what all lines cost, `redact` adds the suspicious ones.
fn redaction(c: &mut Criterion) {
    let mut group = group(c, "collector redaction");
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut redactor = Redactor::open(dir.path(), &[]).expect("a key is made");
    for corpus in Corpus::ALL.into_iter().filter(|corpus| corpus.chunks(SEED, 1, 1 << 20).is_some())
    {
        let turn = Turn::of(corpus);
        group.throughput(Throughput::Bytes(turn.text_bytes));
        group.bench_with_input(BenchmarkId::new("redact", corpus.name()), &turn, |b, turn| {
            let mut out = Block::default();
            b.iter(|| {
                let mut redact = |text| {
                    redactor.block(black_box(text), &mut PemBlock::default(), &mut out, |_| {});
                    out.edits.len()
                };
                turn.texts().map(&mut redact).sum::<usize>()
            });
        });
        group.bench_with_input(BenchmarkId::new("look", corpus.name()), &turn, |b, turn| {
            let look = |text| redactor.suspicious_lines(black_box(text));
            b.iter(|| turn.texts().map(look).sum::<usize>());
        });
        group.bench_with_input(
            BenchmarkId::new("floor zstd-1", corpus.name()),
            &turn,
            |b, turn| {
                let mut zstd = zstd::bulk::Compressor::new(1).expect("zstd has level 1");
                let mut compress =
                    |text| zstd.compress(black_box(text)).expect("zstd takes all bytes");
                b.iter(|| turn.texts().map(|text| compress(text).len()).sum::<usize>());
            },
        );
    }
    group.finish();
}

/// The transport: frames, batches of one run, and back.
fn batches(c: &mut Criterion) {
    let mut group = group(c, "transport");
    for (name, turn) in turns() {
        group.throughput(Throughput::Bytes(turn.text_bytes));
        let mut encoder = FrameEncoder::new(Codec::Zstd(1));
        group.bench_with_input(BenchmarkId::new("frame", name), &turn, |b, turn| {
            let mut encode = |chunk: &Chunk| encoder.encode(&chunk.lines, black_box(&chunk.text));
            b.iter(|| turn.chunks.iter().map(|chunk| encode(chunk).stored_len()).sum::<usize>());
        });
        group.bench_with_input(BenchmarkId::new("batch encode", name), &turn, |b, turn| {
            b.iter(|| turn.chunks.iter().map(|chunk| chunk.encode().len()).sum::<usize>());
        });
        group.bench_with_input(BenchmarkId::new("floor zstd-1", name), &turn, |b, turn| {
            let mut zstd = zstd::bulk::Compressor::new(1).expect("zstd has level 1");
            let mut compress = |text| zstd.compress(black_box(text)).expect("zstd takes all bytes");
            b.iter(|| turn.texts().map(|text| compress(text).len()).sum::<usize>());
        });
        let messages: Vec<Bytes> = turn.chunks.iter().map(Chunk::encode).collect();
        group.bench_with_input(BenchmarkId::new("batch decode", name), &messages, |b, messages| {
            b.iter(|| messages.iter().map(decode).sum::<usize>());
        });
        let units = turn.units();
        group.bench_with_input(BenchmarkId::new("floor inflate", name), &units, |b, units| {
            b.iter(|| units.iter().map(|unit| black_box(unit).inflate().len()).sum::<usize>());
        });
    }
    group.finish();
}

/// Inflates all that a batch holds; gives the bytes of its text.
fn decode(message: &Bytes) -> usize {
    let batch = Batch::decode(black_box(message).clone()).expect("a batch");
    let inflate = |frame: &Frame| {
        black_box(frame.lines().expect("its lines"));
        frame.text().expect("its text").len()
    };
    batch.frames.iter().map(inflate).sum()
}

/// The aggregator: what the index gets to know of a block.
fn words(c: &mut Criterion) {
    let mut group = group(c, "aggregator words");
    for (name, turn) in turns() {
        group.throughput(Throughput::Bytes(turn.text_bytes));
        group.bench_with_input(BenchmarkId::new("of a block", name), &turn, |b, turn| {
            b.iter(|| turn.texts().map(|text| words_of(black_box(text)).text.len()).sum::<usize>());
        });
        group.bench_with_input(BenchmarkId::new("floor runs", name), &turn, |b, turn| {
            let runs = |text| {
                let runs = <[u8]>::split(black_box(text), |byte| !byte.is_ascii_alphabetic());
                runs.filter(|run| run.len() > 2).count()
            };
            b.iter(|| turn.texts().map(runs).sum::<usize>());
        });
    }
    group.finish();
}

/// Batches with the text they were made of.
struct Stream {
    messages: Vec<Bytes>,
    text_bytes: u64,
}

impl Stream {
    fn of(corpus: Corpus) -> Self {
        let chunks = corpus.chunks(SEED, STORE_BYTES, usize::MAX).expect("it is generated");
        let mut batches = Batches::new(chunks);
        let mut this = Self { messages: Vec::new(), text_bytes: 0 };
        while let Some(batch) = batches.next_batch(&mut |_, _| {}) {
            this.text_bytes += batch.text_bytes;
            this.messages.push(batch.message);
        }
        this
    }

    fn units(&self) -> Vec<Unit> {
        let texts = self.messages.iter().flat_map(|message| {
            let batch = Batch::decode(message.clone()).expect("a batch");
            batch.frames.into_iter().map(|frame| frame.text().expect("its text"))
        });
        texts.map(|text| Unit::of(&text)).collect()
    }

    fn ingest(&self, store: &Store) {
        for (offset, message) in self.messages.iter().enumerate() {
            store.ingest(0, offset as u64, message.clone()).expect("a batch of this version");
        }
    }
}

/// An empty store in a folder of its own.
fn open() -> (tempfile::TempDir, Arc<Store>, Sealer) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let config = StoreConfig::new(dir.path().join("store"));
    let (store, sealer) =
        Store::open(config, &prometheus::Registry::new()).expect("the store opens");
    (dir, store, sealer)
}

/// The aggregator: batches to hot runs, hot runs to blocks on disk, fsyncs included.
fn seal(c: &mut Criterion) {
    let mut group = group(c, "aggregator store");
    group.sample_size(10);
    for corpus in Corpus::GENERATED {
        let stream = Stream::of(corpus);
        let name = corpus.name();
        group.throughput(Throughput::Bytes(stream.text_bytes));
        group.bench_with_input(BenchmarkId::new("ingest", name), &stream, |b, stream| {
            b.iter_batched(open, |(_, store, _)| stream.ingest(&store), BatchSize::PerIteration);
        });
        group.bench_with_input(BenchmarkId::new("seal", name), &stream, |b, stream| {
            let hot = || {
                let opened = open();
                stream.ingest(&opened.1);
                opened
            };
            let seal = |(_, _, mut sealer): (_, _, Sealer)| sealer.seal_now().expect("a seal");
            b.iter_batched(hot, seal, BatchSize::PerIteration);
        });
        let bytes = Bytes::from(stream.messages.concat());
        group.bench_with_input(BenchmarkId::new("floor write+sync", name), &bytes, |b, bytes| {
            b.iter(|| {
                let mut file = tempfile::tempfile().expect("a file");
                std::io::Write::write_all(&mut file, bytes).expect("written");
                file.sync_data().expect("synced");
            });
        });
    }
    group.finish();
}

/// A query over everything, without help of the index: each filter looks at all blocks.
fn scan(c: &mut Criterion) {
    let mut group = group(c, "query scan");
    for corpus in Corpus::GENERATED {
        let stream = Stream::of(corpus);
        let (_dir, store, mut sealer) = open();
        stream.ingest(&store);
        sealer.seal_now().expect("a seal");
        group.throughput(Throughput::Bytes(stream.text_bytes));
        let name = corpus.name();
        for (what, query) in [
            ("literal", "{} |= `~^~`"),
            ("regex", "{} |~ `[0-9]{3}~[0-9]+`"),
            ("count", "sum(count_over_time({}[10000d]))"),
            ("count matching", "sum(count_over_time({} |= `2025-` [10000d]))"),
        ] {
            let query = parse(query, ParseOptions { allow_empty_selector: true }).expect("good");
            group.bench_with_input(BenchmarkId::new(what, name), &query, |b, query| {
                b.iter(|| ask(&store, query));
            });
        }
        let units = stream.units();
        group.bench_with_input(BenchmarkId::new("floor inflate+find", name), &units, |b, units| {
            let finder = memchr::memmem::Finder::new("~^~");
            b.iter(|| units.iter().filter(|unit| finder.find(&unit.inflate()).is_some()).count());
        });
    }
    group.finish();
}

/// Runs a query that finds nothing, or counts; gives how many lines matched.
fn ask(store: &Store, query: &Expr) -> u64 {
    let budget = Budget::new(Limits::default());
    match query {
        Expr::Log(log) => {
            let (from, to) = (i64::MIN, i64::MAX);
            let query = LogQuery { log, from, to, limit: 100, direction: Direction::Backward };
            let found = log::run(store, &query, &budget).expect("the store answers");
            assert!(found.is_empty());
        }
        Expr::Metric(metric) => {
            evaluate(store, metric, &Steps::instant(READ_TIME), &budget).expect("it answers");
            assert!(budget.stats().lines_matched > 0);
        }
    }
    budget.stats().lines_matched
}

criterion_group!(stages, lines, redaction, batches, words, seal, scan);
criterion_main!(stages);
