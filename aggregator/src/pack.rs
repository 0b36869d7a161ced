//! Packs the runs of a seal into blocks: a big run keeps the frame it came in, small ones are put
//! together by stream and time and compressed again. Blocks end between entries.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use sawlog_transport::batch::FrameEncoder;
use sawlog_transport::limits::{
    FRAME_LINES_MAX, FRAME_METADATA_BYTES_MAX, FRAME_TEXT_BYTES_MAX, OWN_FRAME_BYTES_MIN,
};
use sawlog_transport::{Codec, Frame, LineColumns, Run};

use crate::block::{Block, BlockStream};
use crate::hot::HotRun;
use crate::packed_units::{Part, Unit, entries, units};
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
    for unit in units(&order) {
        match unit {
            Unit::Entries(part) => match &part.run.frame {
                Some(frame) if part.is_whole() && adoptable(part.run) => {
                    packer.adopt(part.run, frame);
                }
                _ => packer.add(&part),
            },
            Unit::Entry(parts) => packer.add_entry(&parts),
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
    size: Size,
}

impl Packer {
    /// Makes a block of a run as it came.
    fn adopt(&mut self, run: &HotRun, frame: &Frame) {
        let terms = self.scanner.scan(&run.text);
        let block = Block {
            seal: self.seal,
            partition: self.partition,
            streams: vec![BlockStream { number: run.number, id: run.stream }],
            runs: vec![run.as_run()],
            arrivals: vec![run.arrival],
            frame: frame.clone(),
        };
        self.packed.push(PackedBlock { block, terms, adopted: true });
    }

    /// Adds entries, in several parts if a block ends between them.
    fn add(&mut self, part: &Part<'_>) {
        let run = part.run;
        let steps = entries(run, part.lines.clone()).flat_map(|entry| {
            // One that no block has room for can only be parted.
            let step = if fits_alone(&Size::of(run, entry.clone())) { entry.len() } else { 1 };
            let end = entry.end;
            entry.step_by(step).map(move |line| line..(line + step).min(end))
        });
        self.add_steps(run, part.lines.clone(), steps);
    }

    /// Adds an entry of several runs.
    fn add_entry(&mut self, parts: &[Part<'_>]) {
        let mut size = Size::default();
        parts.iter().for_each(|part| size.add(&Size::of(part.run, part.lines.clone())));
        if !fits_alone(&size) {
            for Part { run, lines } in parts {
                self.add_steps(run, lines.clone(), lines.clone().map(|line| line..line + 1));
            }
            return;
        }
        if !self.open.size.has_room(&size) {
            self.close();
        }
        parts.iter().for_each(|part| self.open.take(part.run, part.lines.clone()));
    }

    /// Adds lines; a block may end between two steps.
    fn add_steps(
        &mut self,
        run: &HotRun,
        lines: Range<usize>,
        steps: impl Iterator<Item = Range<usize>>,
    ) {
        let mut first = lines.start;
        let mut size = self.open.size.clone();
        for step in steps {
            let more = Size::of(run, step.clone());
            if !size.has_room(&more) {
                self.open.take(run, first..step.start);
                self.close();
                first = step.start;
                size = Size::default();
            }
            size.add(&more);
        }
        self.open.take(run, first..lines.end);
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
    fn take(&mut self, run: &HotRun, lines: Range<usize>) {
        if lines.is_empty() {
            return;
        }
        let first_line = self.lines.len();
        let size = Size::of(run, lines.clone());
        let (min_time, max_time) = size.times.unwrap_or((run.min_time, run.max_time));
        self.size.add(&size);
        self.lines.extend_from(&run.lines, lines.clone());
        self.text.extend_from_slice(&run.text_of(lines.clone()));
        let stream = *self.numbers.entry(run.number).or_insert_with(|| {
            self.streams.push(BlockStream { number: run.number, id: run.stream });
            self.streams.len() as u32 - 1
        });
        // A part of a run arrived behind the part before it.
        self.arrivals.push(run.arrival + lines.start as u64);
        let placed = run.as_run_of(lines, first_line);
        self.runs.push(Run { stream, min_time, max_time, ..placed });
    }
}

/// How large some lines are.
#[derive(Clone, Debug, Default)]
struct Size {
    text: usize,
    lines: usize,
    metadata: usize,
    times: Option<(i64, i64)>,
}

impl Size {
    fn of(run: &HotRun, lines: Range<usize>) -> Self {
        let times = &run.lines.times[lines.clone()];
        let min = times.iter().min().copied();
        Self {
            text: run.lines.text_lens[lines.clone()].iter().map(|len| *len as usize + 1).sum(),
            lines: lines.len(),
            metadata: lines.map(|line| run.lines.metadata_of(line).len()).sum(),
            times: min.zip(times.iter().max().copied()),
        }
    }

    fn add(&mut self, more: &Size) {
        self.text += more.text;
        self.lines += more.lines;
        self.metadata += more.metadata;
        self.times = self.times_with(more);
    }

    fn times_with(&self, more: &Size) -> Option<(i64, i64)> {
        match (self.times, more.times) {
            (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
            (times, None) | (None, times) => times,
        }
    }

    /// Whether a block of this size takes more lines.
    fn has_room(&self, more: &Size) -> bool {
        let (min, max) = self.times_with(more).unwrap_or_default();
        self.text + more.text <= FRAME_TEXT_BYTES_MAX
            && self.lines + more.lines <= FRAME_LINES_MAX
            && self.metadata + more.metadata <= FRAME_METADATA_BYTES_MAX
            && (max.saturating_sub(min) <= TIME_SPAN_MAX || self.text < SPAN_SPLIT_BYTES_MIN)
    }
}

/// Whether a block of nothing else has room.
fn fits_alone(size: &Size) -> bool {
    Size::default().has_room(size)
}
