//! The streams table: who each stream is, and how much of it there is from when to when. Selectors
//! and label values are answered from it without touching a block.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use sawlog_transport::batch::StreamEntry;
use sawlog_transport::{Labels, StreamId, batch, varint};

use crate::carry::Carried;

/// A stream's number within one store, given from 0 on and never again: a stream that left the table
/// and comes back gets another. Blocks name streams by it.
pub type StreamNumber = u32;

/// What the store knows of one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamInfo {
    pub id: StreamId,
    /// The labels last known; they hold for older lines too.
    pub labels: Arc<Labels>,
    /// Earliest and latest time of a line: nanoseconds since the epoch. When old lines expire the
    /// earliest stays what it was, so it is a lower bound.
    pub min_time: i64,
    pub max_time: i64,
    /// Lines held.
    pub lines: u64,
    /// Bytes of their text, without terminators. When old lines expire what is left is estimated for
    /// streams whose text is not the bytes of their files.
    pub bytes: u64,
}

/// All streams of the store.
#[derive(Debug, Default)]
pub struct StreamTable {
    streams: BTreeMap<StreamNumber, StreamInfo>,
    /// The number that the next new stream gets.
    next: StreamNumber,
    numbers: HashMap<StreamId, StreamNumber>,
    changed: HashSet<StreamNumber>,
}

impl StreamTable {
    /// The number of a stream, given on first sight; takes over its labels.
    pub fn number(&mut self, entry: &StreamEntry) -> StreamNumber {
        let number = *self.numbers.entry(entry.id).or_insert(self.next);
        let info = self.streams.entry(number).or_insert_with(|| {
            self.next = number + 1;
            self.changed.insert(number);
            StreamInfo {
                id: entry.id,
                labels: entry.labels.clone(),
                min_time: i64::MAX,
                max_time: i64::MIN,
                lines: 0,
                bytes: 0,
            }
        });
        if info.labels != entry.labels {
            info.labels = entry.labels.clone();
            self.changed.insert(number);
        }
        number
    }

    /// Counts lines that were taken.
    pub fn add(&mut self, number: StreamNumber, times: (i64, i64), lines: u64, bytes: u64) {
        let Some(stream) = self.streams.get_mut(&number) else { return };
        stream.min_time = stream.min_time.min(times.0);
        stream.max_time = stream.max_time.max(times.1);
        stream.lines += lines;
        stream.bytes += bytes;
        self.changed.insert(number);
    }

    pub fn get(&self, number: StreamNumber) -> Option<&StreamInfo> {
        self.streams.get(&number)
    }

    pub fn find(&self, id: StreamId) -> Option<(StreamNumber, &StreamInfo)> {
        let number = *self.numbers.get(&id)?;
        Some((number, self.streams.get(&number)?))
    }

    /// All streams with their numbers, in order of these.
    pub fn iter(&self) -> impl Iterator<Item = (StreamNumber, &StreamInfo)> {
        self.streams.iter().map(|(number, info)| (*number, info))
    }

    /// The same from a number on, for those who let go of the table in between.
    pub fn iter_from(
        &self,
        number: StreamNumber,
    ) -> impl Iterator<Item = (StreamNumber, &StreamInfo)> {
        self.streams.range(number..).map(|(number, info)| (*number, info))
    }

    pub fn len(&self) -> usize {
        self.streams.len()
    }

    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// Records of what changed since the last call, without the lines that are carried.
    pub(crate) fn take_changes(&mut self, carried: &Carried) -> Vec<Vec<u8>> {
        let changed: BTreeSet<_> = std::mem::take(&mut self.changed).into_iter().collect();
        self.changed.extend(carried.streams());
        let encode = |n| Some(encode(n, self.streams.get(&n)?, carried.of_stream(n)));
        changed.into_iter().filter_map(encode).collect()
    }

    /// Records of all streams, without the lines that are carried.
    pub(crate) fn encode_all(&self, carried: &Carried) -> Vec<Vec<u8>> {
        self.iter().map(|(number, info)| encode(number, info, carried.of_stream(number))).collect()
    }

    /// The highest number ever given, if its stream is gone: a complete set of records must name it,
    /// so that it is not given again.
    pub(crate) fn last_gone(&self) -> Option<StreamNumber> {
        let last = self.next.checked_sub(1)?;
        (!self.streams.contains_key(&last)).then_some(last)
    }

    /// Whether something of the stream changed since the last seal began; lines that are hot and not
    /// being sealed did.
    pub(crate) fn is_changed(&self, number: StreamNumber) -> bool {
        self.changed.contains(&number)
    }

    /// Counts expired lines off. What is told here is on disk already: it is no change.
    pub(crate) fn shrink(&mut self, number: StreamNumber, lines: u64, bytes: u64) {
        if let Some(info) = self.streams.get_mut(&number) {
            info.lines = info.lines.saturating_sub(lines);
            info.bytes = info.bytes.saturating_sub(bytes);
        }
    }

    /// Forgets a stream that has no lines any more; its number is not given again. What is told here
    /// is on disk already: it is no change.
    pub(crate) fn remove(&mut self, number: StreamNumber) {
        self.next = self.next.max(number.saturating_add(1));
        if let Some(info) = self.streams.remove(&number) {
            self.numbers.remove(&info.id);
            self.changed.remove(&number);
        }
    }

    /// Takes a record back: it replaces what was said of its number before.
    pub(crate) fn restore(&mut self, mut bytes: &[u8]) -> Option<()> {
        let bytes = &mut bytes;
        let number = StreamNumber::try_from(varint::take(bytes)?).ok()?;
        let min_time = i64::from_le_bytes(varint::take_array(bytes)?);
        let max_time = i64::from_le_bytes(varint::take_array(bytes)?);
        let (lines, bytes_held) = (varint::take(bytes)?, varint::take(bytes)?);
        let entry = batch::take_streams(bytes)?.pop()?;
        let StreamEntry { id, labels } = entry;
        let info = StreamInfo { id, labels, min_time, max_time, lines, bytes: bytes_held };
        self.next = self.next.max(number.checked_add(1)?);
        self.numbers.insert(id, number);
        self.streams.insert(number, info);
        bytes.is_empty().then_some(())
    }
}

/// The record of a stream, some lines and bytes of which stay out.
fn encode(number: StreamNumber, info: &StreamInfo, without: (u64, u64)) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    varint::put(&mut out, u64::from(number));
    for time in [info.min_time, info.max_time] {
        out.extend_from_slice(&time.to_le_bytes());
    }
    varint::put(&mut out, info.lines.saturating_sub(without.0));
    varint::put(&mut out, info.bytes.saturating_sub(without.1));
    let entry = StreamEntry { id: info.id, labels: info.labels.clone() };
    batch::put_streams(&mut out, std::iter::once(&entry));
    out
}
