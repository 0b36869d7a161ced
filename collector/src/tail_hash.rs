//! Hashes of the bytes just before an offset and at the start: tell whether a file still is what was
//! read, and which other file is a copy of it.

use xxhash_rust::xxh3::xxh3_64;

/// How many bytes before an offset are remembered. Log lines often end alike, so that a few bytes
/// would not do.
pub(crate) const TAIL_BYTES: usize = 1024;

/// The hash of up to [`TAIL_BYTES`] bytes that end at an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TailHash {
    /// How many bytes were hashed: all there were before the offset, at most [`TAIL_BYTES`].
    pub bytes: u16,
    pub hash: u64,
}

impl TailHash {
    /// The hash at the end of what was read; `before` reaches at least [`TAIL_BYTES`] back, or to the
    /// start of the file.
    pub(crate) fn of(before: &[u8]) -> Self {
        let tail = &before[before.len().saturating_sub(TAIL_BYTES)..];
        Self { bytes: tail.len() as u16, hash: xxh3_64(tail) }
    }

    /// What [`Self::of`] gave at an offset, of which only the hash was kept.
    pub(crate) fn at(offset: u64, hash: u64) -> Self {
        Self { bytes: offset.min(TAIL_BYTES as u64) as u16, hash }
    }

    /// The hash at offset 0.
    pub(crate) fn start() -> Self {
        Self::of(&[])
    }
}

/// How many bytes at the start of a file are remembered.
pub(crate) const PREFIX_BYTES: usize = 1024;

/// The hash of the first [`PREFIX_BYTES`] bytes of a file, or of all before an offset if they are
/// fewer. Never says alone that two files are the same: many begin alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PrefixHash(pub u64);

impl PrefixHash {
    /// Not known: records of older versions have none.
    pub(crate) const UNKNOWN: Self = Self(0);

    /// The hash at the start of `start`, which reaches up to an offset or over [`PREFIX_BYTES`].
    pub(crate) fn of(start: &[u8]) -> Self {
        Self(xxh3_64(&start[..start.len().min(PREFIX_BYTES)]).max(1))
    }
}

/// What a whole file held at one time: its size in bytes, and the hash of its beginning and its end. A
/// file that was only appended to since holds it still.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    pub size: u64,
    pub ends: u64,
}

impl Held {
    /// How much of each end is hashed.
    pub(crate) const END_BYTES: usize = 1024;
    /// Records of older versions, and compressed files, tell nothing.
    pub(crate) const UNKNOWN: Self = Self { size: 0, ends: 0 };

    /// Of a size and both ends, one after the other; a file that has become shorter gives less of them.
    pub(crate) fn of(size: u64, ends: &[u8]) -> Self {
        Self { size, ends: xxh3_64(ends).max(1) }
    }

    pub(crate) fn is_known(&self) -> bool {
        *self != Self::UNKNOWN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_bytes_count() {
        let mut bytes = vec![b'a'; 3000];
        let before = TailHash::of(&bytes);
        bytes[3000 - TAIL_BYTES - 1] = b'b';
        assert_eq!(TailHash::of(&bytes), before);
        bytes[3000 - TAIL_BYTES] = b'b';
        assert_ne!(TailHash::of(&bytes), before);
        assert_eq!(usize::from(before.bytes), TAIL_BYTES);
        assert_eq!(TailHash::start().bytes, 0);
    }
}
