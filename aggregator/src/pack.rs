//! Packs the runs of a seal into blocks: a big run keeps the frame it came in, small ones are put
//! together by stream and time and compressed again.

use std::collections::HashMap;
use std::sync::Arc;

use sawlog_transport::batch::FrameEncoder;
use sawlog_transport::limits::{
    FRAME_LINES_MAX, FRAME_METADATA_BYTES_MAX, FRAME_TEXT_BYTES_MAX, OWN_FRAME_BYTES_MIN,
};
use sawlog_transport::{Codec, LineColumns, Piece, Run};

use crate::block::{Block, BlockStream};
use crate::hot::HotRun;
use crate::streams::StreamNumber;
use crate::terms::{BlockTerms, TermScanner};

/// Lines further apart than this are put into different blocks: nanoseconds.
const TIME_SPAN_MAX: i64 = 3_600_000_000_000;
/// A block with less text than this is not closed for its times' sake, so that a stream whose times
/// jump does not make a block of every line: bytes.
const SPAN_SPLIT_BYTES_MIN: usize = 32 * 1024;

/// A block ready to be written, and what the indexes get to know of it.
pub(crate) struct PackedBlock {
    pub(crate) block: Block,
    pub(crate) terms: BlockTerms,
    /// Whether the frame is stored as it came.
    pub(crate) adopted: bool,
}

/// Packs runs of one partition into blocks of the seal `seal`.
pub(crate) fn pack(runs: &[Arc<HotRun>], partition: u32, seal: u64) -> Vec<PackedBlock> {
    let mut order: Vec<&Arc<HotRun>> = runs.iter().collect();
    order.sort_by_key(|run| (run.number, run.arrival));
    let mut packer = Packer {
        partition,
        seal,
        encoder: FrameEncoder::new(Codec::Zstd(1)),
        scanner: TermScanner::new(),
        open: OpenBlock::default(),
        packed: Vec::new(),
    };
    for run in order {
        match &run.frame {
            Some(frame) if adoptable(run) => {
                let terms = packer.scanner.scan(&run.text);
                let block = Block {
                    seal,
                    partition,
                    streams: vec![BlockStream { number: run.number, id: run.stream }],
                    runs: vec![run.as_run()],
                    arrivals: vec![run.arrival],
                    frame: frame.clone(),
                };
                packer.packed.push(PackedBlock { block, terms, adopted: true });
            }
            _ => packer.add(run),
        }
    }
    packer.close();
    packer.packed
}

fn adoptable(run: &HotRun) -> bool {
    run.text.len() >= OWN_FRAME_BYTES_MIN
        && run.max_time.saturating_sub(run.min_time) <= TIME_SPAN_MAX
}

struct Packer {
    partition: u32,
    seal: u64,
    encoder: FrameEncoder,
    scanner: TermScanner,
    open: OpenBlock,
    packed: Vec<PackedBlock>,
}

/// The block that is being filled.
#[derive(Default)]
struct OpenBlock {
    streams: Vec<BlockStream>,
    numbers: HashMap<StreamNumber, u32>,
    runs: Vec<Run>,
    arrivals: Vec<u64>,
    lines: LineColumns,
    text: Vec<u8>,
    metadata_bytes: usize,
    times: Option<(i64, i64)>,
}

impl Packer {
    /// Adds a run, in several parts if a block ends within it.
    fn add(&mut self, run: &HotRun) {
        let mut from = 0;
        let mut text_from = 0;
        let mut addresses = sawlog_transport::run::Addresses::new(&run.pieces);
        while from < run.lines.len() {
            let (to, text_to) = self.open.fitting(run, from, text_from);
            if to == from {
                self.close();
                continue;
            }
            let source: u64 = run.lines.source_lens[from..to].iter().map(|l| u64::from(*l)).sum();
            let mut pieces = Vec::new();
            addresses.next_pieces(source, &mut pieces);
            self.open.take(run, from..to, text_from..text_to, pieces);
            (from, text_from) = (to, text_to);
        }
    }

    fn close(&mut self) {
        let open = std::mem::take(&mut self.open);
        if open.lines.is_empty() {
            return;
        }
        let terms = self.scanner.scan(&open.text);
        let block = Block {
            seal: self.seal,
            partition: self.partition,
            streams: open.streams,
            runs: open.runs,
            arrivals: open.arrivals,
            frame: self.encoder.encode(&open.lines, &open.text),
        };
        self.packed.push(PackedBlock { block, terms, adopted: false });
    }
}

impl OpenBlock {
    /// How many lines of the run, from `from` on, the block can still take: (line, byte of text)
    /// where it ends.
    fn fitting(&self, run: &HotRun, from: usize, text_from: usize) -> (usize, usize) {
        let (mut to, mut text_to) = (from, text_from);
        let mut times = self.times;
        let mut metadata = self.metadata_bytes;
        while to < run.lines.len() {
            let line_bytes = run.lines.text_lens[to] as usize + 1;
            let text = self.text.len() + text_to - text_from;
            let time = run.lines.times[to];
            let (min, max) = times.map_or((time, time), |(a, b)| (a.min(time), b.max(time)));
            metadata += run.lines.metadata_of(to).len();
            let full = text + line_bytes > FRAME_TEXT_BYTES_MAX
                || self.lines.len() + to - from >= FRAME_LINES_MAX
                || metadata > FRAME_METADATA_BYTES_MAX
                || max.saturating_sub(min) > TIME_SPAN_MAX && text >= SPAN_SPLIT_BYTES_MIN;
            if full {
                break;
            }
            times = Some((min, max));
            to += 1;
            text_to += line_bytes;
        }
        (to, text_to)
    }

    fn take(
        &mut self,
        run: &HotRun,
        lines: std::ops::Range<usize>,
        text: std::ops::Range<usize>,
        pieces: Vec<Piece>,
    ) {
        // A part of a run arrived behind the part before it.
        let arrival = run.arrival + lines.start as u64;
        let times = &run.lines.times[lines.clone()];
        let min_time = times.iter().min().copied().unwrap_or(run.min_time);
        let max_time = times.iter().max().copied().unwrap_or(run.max_time);
        let n_lines = lines.len() as u32;
        let first_line = self.lines.len() as u32;
        self.metadata_bytes +=
            lines.clone().map(|line| run.lines.metadata_of(line).len()).sum::<usize>();
        self.lines.extend_from(&run.lines, lines);
        self.text.extend_from_slice(&run.text[text]);
        let (low, high) = self.times.unwrap_or((min_time, max_time));
        self.times = Some((low.min(min_time), high.max(max_time)));
        let stream = *self.numbers.entry(run.number).or_insert_with(|| {
            self.streams.push(BlockStream { number: run.number, id: run.stream });
            self.streams.len() as u32 - 1
        });
        self.arrivals.push(arrival);
        let read_time = run.read_time;
        let (frame, pieces) = (0, pieces);
        self.runs.push(Run {
            stream,
            frame,
            first_line,
            n_lines,
            read_time,
            min_time,
            max_time,
            pieces,
        });
    }
}
