//! The logs that the benches store and search: generated from a seed, and recorded ones if there are.
//!
//! A corpus is a sequence of chunks, each of whole lines of one stream, as a collector reads them: a
//! busy stream gives nearly 256 KiB a turn, a quiet one some KiB. Nothing but the chunk at hand is
//! held. The same seed gives the same bytes on every machine.
//!
//! * `services`: what a small shop's containers write. Web access lines, JSON of three APIs with a
//!   trace id in most lines, Java services with levels, threads and now and then a stack trace,
//!   logfmt workers. Some thousand words; ids repeat over the few lines of a request. zstd-1 leaves
//!   about a sixth, as it does of such logs.
//! * `hostile`: what an index suffers from. Words from a vocabulary of 187,200, the frequent ones
//!   often and a third of them evenly, a fresh 64-bit id in every line, numbers. zstd-1 leaves about
//!   half of it: no real log is that bad, parts of real logs are.
//! * `recorded`: real lines, if a folder of them lies beside the clone; see [`recorded`].

#![allow(dead_code, reason = "each program uses a part of it")]

mod api;
pub(crate) mod batches;
mod clock;
mod hostile;
mod java;
mod names;
pub(crate) mod random;
mod recorded;
mod web;
mod worker;

use clock::Clock;
use random::Random;
use sawlog_transport::limits::FRAME_TEXT_BYTES_MAX;

/// Room that a chunk leaves for its last entry: the longest is a stack trace.
const ENTRY_BYTES_MAX: usize = 8 * 1024;
/// What a busy stream gives in one turn: a run that fills its frame.
const BUSY: usize = FRAME_TEXT_BYTES_MAX - ENTRY_BYTES_MAX;

/// Which logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Corpus {
    Services,
    Hostile,
    Recorded,
}

impl Corpus {
    pub(crate) const ALL: [Corpus; 3] = [Corpus::Services, Corpus::Hostile, Corpus::Recorded];
    /// Those that are there on every machine.
    pub(crate) const GENERATED: [Corpus; 2] = [Corpus::Services, Corpus::Hostile];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Corpus::Services => "services",
            Corpus::Hostile => "hostile",
            Corpus::Recorded => "recorded",
        }
    }

    /// At least `bytes` of it, in chunks of at most `chunk_bytes_max`; `None` if it is not there.
    pub(crate) fn chunks(self, seed: u64, bytes: u64, chunk_bytes_max: usize) -> Option<Chunks> {
        let streams: Box<dyn Streams> = match self {
            Corpus::Services => Box::new(Generated::new(services(seed))),
            Corpus::Hostile => Box::new(Generated::new(hostile(seed))),
            Corpus::Recorded => Box::new(recorded::Recorded::open(seed)?),
        };
        let chunk_bytes_max = chunk_bytes_max.clamp(2 * ENTRY_BYTES_MAX, FRAME_TEXT_BYTES_MAX);
        Some(Chunks { streams, left: bytes, chunk_bytes_max })
    }
}

/// The chunks of a corpus, one after the other.
pub(crate) struct Chunks {
    streams: Box<dyn Streams>,
    left: u64,
    chunk_bytes_max: usize,
}

impl Chunks {
    /// Puts the next chunk into `text`; gives the name of its stream. `None` at the end.
    pub(crate) fn next_chunk(&mut self, text: &mut Vec<u8>) -> Option<String> {
        if self.left == 0 {
            return None;
        }
        text.clear();
        let stream = self.streams.next_chunk(text, self.chunk_bytes_max);
        assert!(text.len() <= FRAME_TEXT_BYTES_MAX && text.ends_with(b"\n"));
        self.left = self.left.saturating_sub(text.len() as u64);
        Some(stream)
    }
}

/// Streams that take turns.
trait Streams {
    /// Appends the next turn's lines, at most `bytes_max`; gives the stream's name.
    fn next_chunk(&mut self, text: &mut Vec<u8>, bytes_max: usize) -> String;
}

/// One kind of line.
trait Entries {
    /// Appends the next entry, at most [`ENTRY_BYTES_MAX`] bytes with its last line end.
    fn write(&mut self, random: &mut Random, clock: &mut Clock, out: &mut Vec<u8>);
}

struct GeneratedStream {
    name: &'static str,
    /// What it gives in one turn, about.
    turn_bytes: usize,
    entries: Box<dyn Entries>,
    random: Random,
    clock: Clock,
}

/// Generated streams, each in its turn.
struct Generated {
    streams: Vec<GeneratedStream>,
    turn: usize,
}

impl Generated {
    fn new(streams: Vec<GeneratedStream>) -> Self {
        Self { streams, turn: 0 }
    }
}

impl Streams for Generated {
    fn next_chunk(&mut self, text: &mut Vec<u8>, bytes_max: usize) -> String {
        let turn = self.turn;
        self.turn = (turn + 1) % self.streams.len();
        let stream = &mut self.streams[turn];
        let wanted = stream.turn_bytes.min(bytes_max - ENTRY_BYTES_MAX);
        while text.len() < wanted {
            stream.entries.write(&mut stream.random, &mut stream.clock, text);
        }
        stream.name.to_owned()
    }
}

fn stream(
    seed: u64,
    name: &'static str,
    turn_bytes: usize,
    gap_micros: u64,
    entries: impl Entries + 'static,
) -> GeneratedStream {
    let random = Random::of(seed, name);
    GeneratedStream {
        name,
        turn_bytes,
        entries: Box::new(entries),
        random,
        clock: Clock::new(gap_micros),
    }
}

/// Busy and quiet streams: three quarters of the text come in runs that fill a frame.
fn services(seed: u64) -> Vec<GeneratedStream> {
    vec![
        stream(seed, "shop-web", BUSY, 700, web::Web::new()),
        stream(seed, "checkout-api", BUSY, 900, api::Api::new("checkout")),
        stream(seed, "orders", BUSY, 1_100, java::Java::new("orders")),
        stream(seed, "admin-web", 40_000, 9_000, web::Web::new()),
        stream(seed, "search-api", BUSY, 800, api::Api::new("search")),
        stream(seed, "billing", 110_000, 2_500, java::Java::new("billing")),
        stream(seed, "mailer", 24_000, 12_000, worker::Worker::new("mail")),
        stream(seed, "profile-api", 60_000, 4_000, api::Api::new("profile")),
        stream(seed, "inventory", BUSY, 1_000, java::Java::new("inventory")),
        stream(seed, "thumbnails", 90_000, 3_000, worker::Worker::new("thumbnail")),
        stream(seed, "reports", 9_000, 40_000, worker::Worker::new("report")),
        stream(seed, "partner-web", 30_000, 15_000, web::Web::new()),
    ]
}

fn hostile(seed: u64) -> Vec<GeneratedStream> {
    vec![
        stream(seed, "hostile-a", BUSY, 900, hostile::Hostile::new()),
        stream(seed, "hostile-b", BUSY, 1_300, hostile::Hostile::new()),
        stream(seed, "hostile-c", 50_000, 5_000, hostile::Hostile::new()),
        stream(seed, "hostile-d", BUSY, 1_000, hostile::Hostile::new()),
    ]
}

/// Appends formatted text to bytes.
macro_rules! put {
    ($out:expr, $($text:tt)*) => {
        std::io::Write::write_fmt($out, format_args!($($text)*)).expect("a Vec takes all bytes")
    };
}
pub(crate) use put;
