//! What batches hold, line by line and range by range: from a topic, or from an embedded log.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use sawlog_transport::embedded::{EmbeddedConfig, EmbeddedLog};
use sawlog_transport::run::Addresses;
use sawlog_transport::{Batch, Consumer, Event, GenerationId, LineFlags, Piece, Run, StreamId};

/// Everything that came, each byte once.
#[derive(Debug, Default)]
pub(super) struct Received {
    /// By stream: its container, and its lines by the generation's first arrival and offset.
    containers: BTreeMap<StreamId, String>,
    generations: Vec<GenerationId>,
    lines: BTreeMap<(StreamId, usize, u64), Line>,
    /// Ranges that are accounted for otherwise than as lost: disjoint, by their begin.
    held: BTreeMap<GenerationId, BTreeMap<u64, u64>>,
    /// What is declared as lost.
    lost: BTreeMap<(GenerationId, u64, u64), &'static str>,
    pub(super) messages: u64,
    /// Lines that came again, the same as before.
    pub(super) repeated: u64,
    /// Bytes of files that these cover.
    pub(super) repeated_bytes: u64,
    /// Lines that had no end when their container ended.
    partial: BTreeSet<(StreamId, usize, u64)>,
}

#[derive(Debug, PartialEq, Eq)]
struct Line {
    text: Vec<u8>,
    source_len: u32,
}

impl Received {
    /// The embedded log of a node that does not run any more.
    pub(super) fn from_embedded_log(dir: &Path) -> Self {
        let log = EmbeddedLog::open(EmbeddedConfig::new(dir, 1)).unwrap();
        let mut consumer = log.consumer();
        let bounds = consumer.bounds(0).unwrap();
        assert_eq!(bounds.low, 0, "the log still has all that it ever had");
        consumer.assign(0, 0).unwrap();
        let (mut this, mut next) = (Self::default(), 0);
        while next < bounds.high {
            match consumer.poll(Duration::from_millis(50)).unwrap() {
                Some(Event::Message { offset, message, .. }) => {
                    this.add(message);
                    next = offset + 1;
                }
                None => {}
                Some(event) => panic!("{event:?}"),
            }
        }
        this
    }

    /// Takes a message; what came before must be the same again.
    pub(super) fn add(&mut self, message: Bytes) {
        let batch = Batch::decode(message).unwrap();
        let columns: Vec<_> = batch.frames.iter().map(|frame| frame.lines().unwrap()).collect();
        assert!(batch.runs_cover(&columns), "lines are not those of the ranges");
        for entry in &batch.streams {
            let container = entry.labels.iter().find(|(name, _)| *name == "container");
            let container = container.map(|(_, value)| String::from_utf8_lossy(value).into_owned());
            self.containers.insert(entry.id, container.unwrap_or_default());
        }
        for run in &batch.runs {
            self.add_run(&batch, run, &columns);
            run.pieces.iter().for_each(|piece| self.add_piece(piece));
        }
        self.messages += 1;
    }

    fn add_run(&mut self, batch: &Batch, run: &Run, columns: &[sawlog_transport::LineColumns]) {
        let Some(frame) = batch.frames.get(run.frame as usize) else { return };
        let (columns, text) = (&columns[run.frame as usize], frame.text().unwrap());
        let stream = batch.streams[run.stream as usize].id;
        let mut at: usize =
            columns.text_lens[..run.first_line as usize].iter().map(|len| *len as usize + 1).sum();
        let mut addresses = Addresses::new(&run.pieces);
        for line in run.lines() {
            let (text_len, source_len) =
                (columns.text_lens[line] as usize, columns.source_lens[line]);
            let flags = columns.flags[line];
            let (generation, offset) =
                addresses.next_line(source_len).expect("the ranges cover it");
            let text = text[at..at + text_len].to_vec();
            at += text_len + 1;
            let key = (stream, self.number_of(generation), offset);
            if flags.has(LineFlags::PARTIAL) {
                self.partial.insert(key);
            }
            let line = Line { text, source_len };
            match self.lines.get(&key) {
                None => drop(self.lines.insert(key, line)),
                Some(known) => {
                    assert_eq!(*known, line, "another line at the same address {key:?}");
                    self.repeated += 1;
                    self.repeated_bytes += u64::from(source_len);
                }
            }
        }
    }

    fn number_of(&mut self, generation: GenerationId) -> usize {
        let known = self.generations.iter().position(|known| *known == generation);
        known.unwrap_or_else(|| {
            self.generations.push(generation);
            self.generations.len() - 1
        })
    }

    fn add_piece(&mut self, piece: &Piece) {
        if let Some(reason) = piece.kind.loss() {
            self.lost.insert((piece.generation, piece.from, piece.to), reason);
        } else {
            add_range(self.held.entry(piece.generation).or_default(), piece.from..piece.to);
        }
    }

    /// The lines of a container's streams, each stream in the order of its files.
    pub(super) fn text_of(&self, container: &str) -> Vec<u8> {
        let mut all = Vec::new();
        for ((stream, ..), line) in &self.lines {
            if self.containers[stream] == container {
                all.extend_from_slice(&line.text);
                all.push(b'\n');
            }
        }
        all
    }

    /// The containers of the lines.
    pub(super) fn containers(&self) -> BTreeSet<&str> {
        self.lines.keys().map(|(stream, ..)| self.containers[stream].as_str()).collect()
    }

    /// The lines that had no end when their container ended: container and text.
    pub(super) fn partial(&self) -> BTreeSet<(&str, &[u8])> {
        let found = self.partial.iter();
        found.map(|key| (self.containers[&key.0].as_str(), &self.lines[key].text[..])).collect()
    }

    /// Bytes of files that the lines cover.
    pub(super) fn source_bytes(&self) -> u64 {
        self.lines.values().map(|line| u64::from(line.source_len)).sum()
    }

    pub(super) fn lines(&self) -> usize {
        self.lines.len()
    }

    /// Bytes that batches declare as lost, by reason, each byte once; what arrived all the same is held,
    /// here as in the ledger.
    pub(super) fn lost(&self) -> BTreeMap<String, u64> {
        let mut lost = BTreeMap::new();
        let (mut generation, mut counted_to) = (None, 0);
        for ((of, from, to), reason) in &self.lost {
            if generation != Some(*of) {
                (generation, counted_to) = (Some(*of), 0);
            }
            let range = counted_to.max(*from)..*to;
            counted_to = counted_to.max(*to);
            let held = self.held.get(of).map_or(0, |held| overlap(held, &range));
            let bytes = (range.end.saturating_sub(range.start)).saturating_sub(held);
            if bytes > 0 {
                *lost.entry((*reason).to_owned()).or_default() += bytes;
            }
        }
        lost
    }
}

/// Joins a range with those that it touches.
fn add_range(ranges: &mut BTreeMap<u64, u64>, range: Range<u64>) {
    let (mut from, mut to) = (range.start, range.end);
    while let Some((begin, end)) = ranges.range(..=to).next_back().map(|(b, e)| (*b, *e)) {
        if end < from {
            break;
        }
        ranges.remove(&begin);
        (from, to) = (from.min(begin), to.max(end));
    }
    ranges.insert(from, to);
}

/// How many bytes of a range lie in ranges that are disjoint.
fn overlap(ranges: &BTreeMap<u64, u64>, range: &Range<u64>) -> u64 {
    let common =
        |(from, to): (&u64, &u64)| range.end.min(*to).saturating_sub(range.start.max(*from));
    ranges.iter().map(common).sum()
}
