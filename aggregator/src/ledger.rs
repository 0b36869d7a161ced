//! Which byte ranges of which generation are held, cut, dropped, lost or expired. It is what makes
//! redelivery harmless: bytes that are settled are not taken again.

use std::collections::{HashMap, HashSet};

use sawlog_transport::{GenerationId, Piece, StreamId, varint};

use crate::carry::Carried;
use crate::ranges::{Fate, Range, Ranges};

pub(crate) type Key = (StreamId, GenerationId);

/// All streams' ranges, and which of them changed since the last seal began.
#[derive(Debug, Default)]
pub struct Ledger {
    ranges: HashMap<Key, Ranges>,
    changed: HashSet<Key>,
}

impl Ledger {
    /// Accounts for a piece.
    pub fn insert(&mut self, stream: StreamId, piece: &Piece) {
        let key = (stream, piece.generation);
        let fate = Fate::of(piece.kind);
        self.ranges.entry(key).or_default().insert(piece.from, piece.to, fate);
        self.changed.insert(key);
    }

    /// Takes over ranges that are on disk already, as [`encode_ranges`] wrote them: they are no
    /// change.
    pub(crate) fn merge(&mut self, key: Key, ranges: &Ranges) {
        let known = self.ranges.entry(key).or_default();
        for range in ranges.iter() {
            known.insert(range.from, range.to, range.fate);
        }
    }

    /// What is known of a generation; `None` if nothing.
    pub fn get(&self, stream: StreamId, generation: GenerationId) -> Option<&Ranges> {
        self.ranges.get(&(stream, generation))
    }

    /// All generations and what is known of them, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (&(StreamId, GenerationId), &Ranges)> {
        self.ranges.iter()
    }

    /// Whether nothing of the piece is settled yet.
    pub fn is_free(&self, stream: StreamId, piece: &Piece) -> bool {
        self.get(stream, piece.generation).is_none_or(|r| r.is_free(piece.from, piece.to))
    }

    /// Encoded records of everything that changed since the last call, without what is carried.
    pub(crate) fn take_changes(&mut self, carried: &Carried) -> Vec<Vec<u8>> {
        let changed = std::mem::take(&mut self.changed);
        self.changed.extend(carried.generations());
        changed.iter().map(|key| self.encode(key, carried)).collect()
    }

    /// Encoded records of the whole ledger, without what is carried.
    pub(crate) fn encode_all(&self, carried: &Carried) -> Vec<Vec<u8>> {
        self.ranges.keys().map(|key| self.encode(key, carried)).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.ranges.len()
    }

    fn encode(&self, key: &Key, carried: &Carried) -> Vec<u8> {
        let ranges = &self.ranges[key];
        match carried.of_generation(key) {
            [] => encode_ranges(key, ranges),
            carried => encode_ranges(key, &ranges.without(carried)),
        }
    }

    /// Takes a record back; it replaces what was known of its generation. `None` if the bytes are
    /// no such record.
    pub(crate) fn restore(&mut self, bytes: &[u8]) -> Option<()> {
        let (key, ranges) = decode_ranges(bytes)?;
        self.ranges.insert(key, ranges);
        Some(())
    }

    /// Takes a record back that adds to what was known of its generation.
    pub(crate) fn restore_merged(&mut self, bytes: &[u8]) -> Option<()> {
        let (key, ranges) = decode_ranges(bytes)?;
        self.merge(key, &ranges);
        Some(())
    }
}

/// The record of a generation's ranges.
pub(crate) fn encode_ranges(key: &Key, ranges: &Ranges) -> Vec<u8> {
    let mut out = Vec::with_capacity(48);
    out.extend_from_slice(&key.0.0.to_le_bytes());
    out.extend_from_slice(&key.1.0.to_le_bytes());
    for range in ranges.iter() {
        out.push(range.fate as u8);
        varint::put(&mut out, range.from);
        varint::put(&mut out, range.to - range.from);
    }
    out
}

fn decode_ranges(mut bytes: &[u8]) -> Option<(Key, Ranges)> {
    let bytes = &mut bytes;
    let stream = StreamId(u128::from_le_bytes(varint::take_array(bytes)?));
    let generation = GenerationId(u128::from_le_bytes(varint::take_array(bytes)?));
    let mut ranges = Vec::new();
    while !bytes.is_empty() {
        let fate = Fate::from_byte(*varint::take_exact(bytes, 1)?.first()?)?;
        let from = varint::take(bytes)?;
        let to = from.checked_add(varint::take(bytes)?)?;
        ranges.push(Range { from, to, fate });
    }
    Some(((stream, generation), Ranges::from_sorted(ranges)))
}
