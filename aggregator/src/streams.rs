//! The streams table: who each stream is, and how much of it there is from when to when. Selectors
//! and label values are answered from it without touching a block.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use sawlog_transport::batch::StreamEntry;
use sawlog_transport::{Labels, StreamId, batch, varint};

/// A stream's number within one store: dense, from 0. Blocks name streams by it.
pub type StreamNumber = u32;

/// What the store knows of one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamInfo {
    pub id: StreamId,
    /// The labels last known; they hold for older lines too.
    pub labels: Arc<Labels>,
    /// Earliest and latest time of a line: nanoseconds since the epoch.
    pub min_time: i64,
    pub max_time: i64,
    pub lines: u64,
    /// Bytes of text, without terminators.
    pub bytes: u64,
}

/// All streams of the store.
#[derive(Debug, Default)]
pub struct StreamTable {
    streams: Vec<StreamInfo>,
    numbers: HashMap<StreamId, StreamNumber>,
    changed: HashSet<StreamNumber>,
}

impl StreamTable {
    /// The number of a stream, given on first sight; takes over its labels.
    pub fn number(&mut self, entry: &StreamEntry) -> StreamNumber {
        let next = self.streams.len() as StreamNumber;
        let number = *self.numbers.entry(entry.id).or_insert(next);
        if number == next {
            self.streams.push(StreamInfo {
                id: entry.id,
                labels: entry.labels.clone(),
                min_time: i64::MAX,
                max_time: i64::MIN,
                lines: 0,
                bytes: 0,
            });
            self.changed.insert(number);
        } else if self.streams[number as usize].labels != entry.labels {
            self.streams[number as usize].labels = entry.labels.clone();
            self.changed.insert(number);
        }
        number
    }

    /// Counts lines that were taken.
    pub fn add(&mut self, number: StreamNumber, times: (i64, i64), lines: u64, bytes: u64) {
        let stream = &mut self.streams[number as usize];
        stream.min_time = stream.min_time.min(times.0);
        stream.max_time = stream.max_time.max(times.1);
        stream.lines += lines;
        stream.bytes += bytes;
        self.changed.insert(number);
    }

    pub fn get(&self, number: StreamNumber) -> Option<&StreamInfo> {
        self.streams.get(number as usize)
    }

    pub fn find(&self, id: StreamId) -> Option<(StreamNumber, &StreamInfo)> {
        let number = *self.numbers.get(&id)?;
        Some((number, &self.streams[number as usize]))
    }

    /// All streams with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (StreamNumber, &StreamInfo)> {
        self.streams.iter().enumerate().map(|(number, info)| (number as StreamNumber, info))
    }

    pub fn len(&self) -> usize {
        self.streams.len()
    }

    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    pub(crate) fn take_changes(&mut self) -> Vec<Vec<u8>> {
        let changed: BTreeSet<_> = std::mem::take(&mut self.changed).into_iter().collect();
        changed.into_iter().map(|number| self.encode(number)).collect()
    }

    pub(crate) fn encode_all(&self) -> Vec<Vec<u8>> {
        (0..self.streams.len() as StreamNumber).map(|number| self.encode(number)).collect()
    }

    fn encode(&self, number: StreamNumber) -> Vec<u8> {
        let info = &self.streams[number as usize];
        let mut out = Vec::with_capacity(128);
        varint::put(&mut out, u64::from(number));
        for time in [info.min_time, info.max_time] {
            out.extend_from_slice(&time.to_le_bytes());
        }
        varint::put(&mut out, info.lines);
        varint::put(&mut out, info.bytes);
        let entry = StreamEntry { id: info.id, labels: info.labels.clone() };
        batch::put_streams(&mut out, std::iter::once(&entry));
        out
    }

    /// Takes a record back: a new stream must have the next number, a known one is replaced.
    pub(crate) fn restore(&mut self, mut bytes: &[u8]) -> Option<()> {
        let bytes = &mut bytes;
        let number = usize::try_from(varint::take(bytes)?).ok()?;
        let min_time = i64::from_le_bytes(varint::take_array(bytes)?);
        let max_time = i64::from_le_bytes(varint::take_array(bytes)?);
        let (lines, bytes_held) = (varint::take(bytes)?, varint::take(bytes)?);
        let entry = batch::take_streams(bytes)?.pop()?;
        let StreamEntry { id, labels } = entry;
        let info = StreamInfo { id, labels, min_time, max_time, lines, bytes: bytes_held };
        match number.cmp(&self.streams.len()) {
            std::cmp::Ordering::Less => self.streams[number] = info,
            std::cmp::Ordering::Equal => {
                self.numbers.insert(id, number as StreamNumber);
                self.streams.push(info);
            }
            std::cmp::Ordering::Greater => return None,
        }
        bytes.is_empty().then_some(())
    }
}
