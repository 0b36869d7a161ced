//! An entry as queries see it: where it lies while it is looked at, and as it is given back.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use sawlog_aggregator::StreamNumber;
use sawlog_transport::lines::decode_metadata;
use sawlog_transport::{GenerationId, Labels, Level, LineFlags, StreamId};

/// The name under which an entry's level is given back.
pub const DETECTED_LEVEL: &str = "detected_level";
/// The short name; it means the detected level where the stream has no such label.
pub const LEVEL: &str = "level";

/// An entry in a block, not copied.
#[derive(Clone, Copy, Debug)]
pub struct EntryView<'a> {
    pub number: StreamNumber,
    pub stream: StreamId,
    pub time: i64,
    /// Empty if the text was not asked for.
    pub line: &'a [u8],
    /// Bytes of the line, also if the text was not asked for.
    pub line_bytes: usize,
    pub flags: LineFlags,
    /// Encoded structured metadata.
    pub metadata: &'a [u8],
}

/// An entry of an answer.
#[derive(Clone, Debug)]
pub struct Entry {
    pub order: Order,
    pub uid: Uid,
    /// Nanoseconds since the epoch.
    pub time: i64,
    pub read_time: i64,
    pub labels: Arc<Labels>,
    /// Level and structured metadata, without what the query dropped.
    pub metadata: Vec<(String, Vec<u8>)>,
    pub line: Bytes,
    pub flags: LineFlags,
}

/// What an entry costs beside its line: bytes, roughly.
const ENTRY_BYTES: usize = 200;

impl Entry {
    /// What the entry costs in memory, but for the labels, which a stream's entries share: bytes,
    /// roughly.
    pub fn memory_bytes(&self) -> usize {
        let metadata = self.metadata.iter().map(|(name, value)| name.len() + value.len() + 50);
        self.line.len() + ENTRY_BYTES + metadata.sum::<usize>()
    }
}

/// The total order of entries: time, then stream, then the order of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Order {
    pub time: i64,
    pub stream: StreamId,
    pub arrival: u64,
    pub line: u32,
}

/// An entry's address: stable across restarts, merges and moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Uid {
    pub stream: StreamId,
    pub generation: GenerationId,
    pub offset: u64,
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{:x}", self.stream, self.generation, self.offset)
    }
}

/// The level as structured metadata; `None` where nobody looked for one.
pub fn level_of(flags: LineFlags) -> Option<&'static str> {
    flags.level().map(Level::name)
}

/// The value of a name as label filters and groupings see it: the stream's label, else structured
/// metadata, else (under its two names) the detected level; empty if there is none.
pub fn value_of(labels: &Labels, entry: &EntryView<'_>, name: &str) -> Vec<u8> {
    if let Some(value) = labels.get(name) {
        return value.to_vec();
    }
    if !entry.metadata.is_empty() {
        let found = decode_metadata(entry.metadata).into_iter().find(|(known, _)| known == name);
        if let Some((_, value)) = found {
            return value;
        }
    }
    if name == DETECTED_LEVEL || name == LEVEL {
        return level_of(entry.flags).unwrap_or_default().as_bytes().to_vec();
    }
    Vec::new()
}

/// Level and structured metadata of an entry, without `dropped` names.
pub fn metadata_of(entry: &EntryView<'_>, dropped: &[String]) -> Vec<(String, Vec<u8>)> {
    let mut pairs = decode_metadata(entry.metadata);
    let known = pairs.iter().any(|(name, _)| name == DETECTED_LEVEL);
    if let (Some(level), false) = (level_of(entry.flags), known) {
        pairs.push((DETECTED_LEVEL.to_owned(), level.as_bytes().to_vec()));
    }
    pairs.retain(|(name, _)| !dropped.contains(name));
    pairs.sort();
    pairs
}
