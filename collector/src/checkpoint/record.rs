//! One checkpoint record: 128 bytes with a checksum of its own, so that damage costs one record.
//!
//! All integers are little-endian: CRC32C of the rest (4), flags with open traces and
//! unfinished lines (4), file system (16), inode (8),
//! inode generation (8), birth time (8), truncations (8), stream (16), offset (8), tail hash (8),
//! tail bytes (4), zone in seconds (4), last time (8), written at (8), lines (4) and bytes (4) of an open
//! PEM block, prefix hash (8).

use sawlog_transport::{FileIdentity, StreamId};

use crate::redact::PemBlock;
use crate::tail_hash::{PrefixHash, TailHash};

pub(super) const RECORD_BYTES: usize = 128;

const INSIDE_CUT: u32 = 1;
const HAS_ZONE: u32 = 1 << 1;
const HAS_LAST_TIME: u32 = 1 << 2;
const FINISHED: u32 = 1 << 3;
/// The unfinished lines stand in the flags, two bits from this one on.
const UNFINISHED_SHIFT: u32 = 4;
/// The traces that go on stand in the flags, from this bit on.
const GROUPS_SHIFT: u32 = 8;

/// How far a file is acknowledged, and what must be known to go on from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    pub file: FileIdentity,
    pub truncations: u64,
    pub stream: StreamId,
    /// Everything before it is acknowledged.
    pub offset: u64,
    /// The offset lies inside a line that was too long: what follows up to its end is left out.
    pub inside_cut: bool,
    /// The bytes before the offset.
    pub tail: TailHash,
    /// The first bytes of the file, up to the offset.
    pub prefix: PrefixHash,
    /// A compressed file that holds nothing beyond the offset: it need not be inflated again.
    pub finished: bool,
    pub clock: StreamClock,
}

/// What a stream must remember from one line to the next: of its times, and of what was redacted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct StreamClock {
    /// The time of the last line, nanoseconds since the epoch.
    pub last_time: Option<i64>,
    /// The zone that the stream's times were found to be in, seconds east of UTC.
    pub zone: Option<i32>,
    /// The block of a private key whose end has not come yet.
    pub pem: PemBlock,
    /// Which traces go on, as the grouper codes it.
    pub groups: u8,
    /// The sides whose last line was handed on without its end, two bits.
    pub unfinished: u8,
}

/// The bytes of a record, written at `written_at` (nanoseconds since the epoch).
pub(super) fn encode(progress: &Progress, written_at: i64) -> [u8; RECORD_BYTES] {
    let clock = &progress.clock;
    let states = u32::from(clock.groups) << GROUPS_SHIFT
        | u32::from(clock.unfinished & 3) << UNFINISHED_SHIFT;
    let flags = [
        (progress.inside_cut, INSIDE_CUT),
        (clock.zone.is_some(), HAS_ZONE),
        (clock.last_time.is_some(), HAS_LAST_TIME),
        (progress.finished, FINISHED),
    ]
    .into_iter()
    .filter(|(set, _)| *set)
    .fold(states, |flags, (_, flag)| flags | flag);
    let mut out = Vec::with_capacity(RECORD_BYTES);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&flags.to_le_bytes());
    out.extend_from_slice(&progress.file.file_system);
    out.extend_from_slice(&progress.file.inode.to_le_bytes());
    out.extend_from_slice(&progress.file.inode_generation.to_le_bytes());
    out.extend_from_slice(&progress.file.birth_time.to_le_bytes());
    out.extend_from_slice(&progress.truncations.to_le_bytes());
    out.extend_from_slice(&progress.stream.0.to_le_bytes());
    out.extend_from_slice(&progress.offset.to_le_bytes());
    out.extend_from_slice(&progress.tail.hash.to_le_bytes());
    out.extend_from_slice(&u32::from(progress.tail.bytes).to_le_bytes());
    out.extend_from_slice(&clock.zone.unwrap_or(0).to_le_bytes());
    out.extend_from_slice(&clock.last_time.unwrap_or(0).to_le_bytes());
    out.extend_from_slice(&written_at.to_le_bytes());
    out.extend_from_slice(&clock.pem.lines.to_le_bytes());
    out.extend_from_slice(&clock.pem.bytes.to_le_bytes());
    out.extend_from_slice(&progress.prefix.0.to_le_bytes());
    let crc = crc32c::crc32c(&out[4..]);
    out[..4].copy_from_slice(&crc.to_le_bytes());
    out.try_into().expect("the fields fill a record")
}

/// The record and when it was written; `None` if damaged.
pub(super) fn decode(bytes: &[u8; RECORD_BYTES]) -> Option<(Progress, i64)> {
    let mut rest = Fields(bytes);
    if u32::from_le_bytes(rest.take()) != crc32c::crc32c(&bytes[4..]) {
        return None;
    }
    let flags = u32::from_le_bytes(rest.take());
    let file = FileIdentity {
        file_system: rest.take(),
        inode: u64::from_le_bytes(rest.take()),
        inode_generation: u64::from_le_bytes(rest.take()),
        birth_time: i64::from_le_bytes(rest.take()),
    };
    let truncations = u64::from_le_bytes(rest.take());
    let stream = StreamId(u128::from_le_bytes(rest.take()));
    let offset = u64::from_le_bytes(rest.take());
    let hash = u64::from_le_bytes(rest.take());
    let tail = TailHash { hash, bytes: u32::from_le_bytes(rest.take()) as u16 };
    let zone = i32::from_le_bytes(rest.take());
    let last_time = i64::from_le_bytes(rest.take());
    let inside_cut = flags & INSIDE_CUT != 0;
    let written_at = i64::from_le_bytes(rest.take());
    let clock = StreamClock {
        last_time: (flags & HAS_LAST_TIME != 0).then_some(last_time),
        zone: (flags & HAS_ZONE != 0).then_some(zone),
        pem: PemBlock {
            lines: u32::from_le_bytes(rest.take()),
            bytes: u32::from_le_bytes(rest.take()),
        },
        groups: (flags >> GROUPS_SHIFT) as u8,
        unfinished: (flags >> UNFINISHED_SHIFT) as u8 & 3,
    };
    let prefix = PrefixHash(u64::from_le_bytes(rest.take()));
    let finished = flags & FINISHED != 0;
    let progress =
        Progress { file, truncations, stream, offset, inside_cut, tail, prefix, finished, clock };
    Some((progress, written_at))
}

/// Takes fixed-size fields from the front of a record, which is long enough for all of them.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (head, rest) = self.0.split_at(N);
        self.0 = rest;
        head.try_into().expect("split at N")
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(in crate::checkpoint) fn progress(inode: u64, offset: u64) -> Progress {
        Progress {
            file: FileIdentity { file_system: [1; 16], inode, inode_generation: 2, birth_time: 3 },
            truncations: 0,
            stream: StreamId(u128::from(inode)),
            offset,
            inside_cut: false,
            tail: TailHash::of(&offset.to_le_bytes()),
            prefix: PrefixHash::UNKNOWN,
            finished: false,
            clock: StreamClock { last_time: Some(offset as i64), ..StreamClock::default() },
        }
    }

    proptest! {
        #[test]
        fn round_trips(
            numbers: [u64; 7], stream: u128, inside_cut: bool, finished: bool, zone: Option<i32>,
            last_time: Option<i64>, written_at: i64, lines: u32, bytes: u32, groups: u8,
            unfinished: u8,
        ) {
            let before = Progress {
                file: FileIdentity {
                    file_system: [numbers[0] as u8; 16],
                    inode: numbers[1],
                    inode_generation: numbers[2],
                    birth_time: numbers[3] as i64,
                },
                truncations: numbers[4],
                stream: StreamId(stream),
                offset: numbers[5],
                inside_cut,
                tail: TailHash::of(b"tail"),
                prefix: PrefixHash(numbers[6]),
                finished,
                clock: StreamClock { last_time, zone, pem: PemBlock { lines, bytes }, groups, unfinished: unfinished & 3 },
            };
            prop_assert_eq!(decode(&encode(&before, written_at)), Some((before, written_at)));
        }

        #[test]
        fn a_flipped_bit_is_seen(bit in 0..RECORD_BYTES * 8) {
            let mut bytes = encode(&progress(1, 2), 3);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(decode(&bytes), None);
        }
    }
}
