//! Reads a batch from foreign bytes: checks before it believes, and before it allocates.

use bytes::{Buf, Bytes};

use super::frame::{Codec, Frame};
use super::tables::{StreamEntry, take_runs, take_streams};
use super::{BatchHeader, HEADER_BYTES, MAGIC, VERSION};
use crate::ids::CollectorId;
use crate::limits::{
    BATCH_FRAMES_MAX, BATCH_TABLES_BYTES_MAX, MESSAGE_BYTES_MAX, stored_bytes_max,
};
use crate::run::{Run, covers};
use crate::varint;

/// Why bytes are no batch that this build can read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    #[error("the bytes begin with {found:02x?}, which is no batch")]
    Magic { found: [u8; 4] },
    /// Not corrupt: a newer build must read it.
    #[error(
        "batch version {found} is newer than {VERSION}, the newest this build reads: upgrade the aggregator"
    )]
    Version { found: u8 },
    #[error("the batch needs an unknown feature (flags {found:#x}): upgrade the aggregator")]
    Feature { found: u16 },
    #[error("codec {found} is unknown")]
    Codec { found: u8 },
    #[error("{what}: the bytes end too early")]
    Short { what: &'static str },
    #[error("{what}: {found} exceeds the limit of {limit}")]
    Limit { what: &'static str, found: u64, limit: u64 },
    #[error("{what}: the checksum does not hold")]
    Checksum { what: &'static str },
    #[error("{what}: {found} bytes where {expected} were declared")]
    Length { what: &'static str, expected: usize, found: usize },
    #[error("{what}: the bytes are not of version 1's form")]
    Malformed { what: &'static str },
    #[error("{what}: cannot inflate")]
    Inflate {
        what: &'static str,
        #[source]
        source: std::io::Error,
    },
}

/// A decoded batch; frames share the message's bytes and are inflated when asked.
#[derive(Clone, Debug)]
pub struct Batch {
    pub header: BatchHeader,
    pub streams: Vec<StreamEntry>,
    pub runs: Vec<Run>,
    pub frames: Vec<Frame>,
}

impl Batch {
    /// Decodes header and tables and checks that every reference holds. Text and columns are checked
    /// when they are read.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn decode(message: Bytes) -> Result<Batch, DecodeError> {
        let fixed = FixedHeader::read(&message)?;
        let mut rest = message.slice(HEADER_BYTES..);
        if rest.len() < fixed.tables_stored {
            return Err(DecodeError::Short { what: "tables" });
        }
        let stored_tables = rest.split_to(fixed.tables_stored);
        if crc32c::crc32c(&stored_tables) != fixed.tables_crc {
            return Err(DecodeError::Checksum { what: "tables" });
        }
        let tables = fixed.codec.decompress(&stored_tables, fixed.tables_len, "tables")?;
        let (streams, runs) =
            take_tables(&mut &tables[..]).ok_or(DecodeError::Malformed { what: "tables" })?;
        let mut frames = Vec::new();
        for _ in 0..fixed.n_frames {
            frames.push(Frame::read(&mut rest)?);
        }
        if rest.has_remaining() {
            return Err(DecodeError::Malformed { what: "bytes behind the last frame" });
        }
        let batch = Batch { header: fixed.header, streams, runs, frames };
        if batch.references_hold() {
            Ok(batch)
        } else {
            Err(DecodeError::Malformed { what: "references between tables and frames" })
        }
    }

    /// Runs name streams and lines that are there, and share no line: otherwise a small message could
    /// stand for endlessly many lines.
    fn references_hold(&self) -> bool {
        let mut unnamed: Vec<u32> = self.frames.iter().map(Frame::n_lines).collect();
        self.runs.iter().all(|run| {
            let Some(end) = run.first_line.checked_add(run.n_lines) else { return false };
            let lines_hold = match self.frames.get(run.frame as usize) {
                Some(frame) => {
                    let left = &mut unnamed[run.frame as usize];
                    let fits = end <= frame.n_lines() && run.n_lines <= *left;
                    *left = left.saturating_sub(run.n_lines);
                    fits
                }
                None => run.n_lines == 0,
            };
            lines_hold && (run.stream as usize) < self.streams.len()
        })
    }

    /// Whether each run's lines cover exactly its text pieces; `lines` are the decoded columns of
    /// the frames, in order.
    pub fn runs_cover(&self, lines: &[crate::LineColumns]) -> bool {
        self.runs.iter().all(|run| {
            let mut own = crate::LineColumns::default();
            if let Some(columns) = lines.get(run.frame as usize) {
                own.extend_from(columns, run.lines());
            }
            covers(&run.pieces, &own)
        })
    }
}

struct FixedHeader {
    header: BatchHeader,
    codec: Codec,
    tables_len: usize,
    tables_stored: usize,
    tables_crc: u32,
    n_frames: usize,
}

impl FixedHeader {
    fn read(message: &[u8]) -> Result<Self, DecodeError> {
        let mut bytes = message.get(..HEADER_BYTES).ok_or(DecodeError::Short { what: "header" })?;
        let header_bytes = bytes;
        let magic = take::<4>(&mut bytes);
        if magic != MAGIC {
            return Err(DecodeError::Magic { found: magic });
        }
        let [version, codec, flag_low, flag_high] = take::<4>(&mut bytes);
        // Later versions keep the header's length, its checksum and the batch's length where they are:
        // whoever waits for an upgrade must not wait because of a flipped bit.
        let crc = u32::from_le_bytes(take(&mut &header_bytes[76..]));
        if crc != crc32c::crc32c(&header_bytes[..76]) {
            return Err(DecodeError::Checksum { what: "header" });
        }
        if version > VERSION {
            return Err(DecodeError::Version { found: version });
        }
        if version == 0 {
            return Err(DecodeError::Malformed { what: "version" });
        }
        // The low byte of the flags must be understood, the high byte may be ignored.
        if flag_low != 0 {
            return Err(DecodeError::Feature { found: u16::from_le_bytes([flag_low, flag_high]) });
        }
        let codec = Codec::from_byte(codec)?;
        let sizes: [u32; 6] = std::array::from_fn(|_| u32::from_le_bytes(take(&mut bytes)));
        let [total, tables_len, tables_stored, n_frames, _text, _columns] = sizes;
        check_sizes(message.len(), sizes)?;
        debug_assert_eq!(total as usize, message.len());
        let header = BatchHeader {
            collector: CollectorId(u128::from_le_bytes(take(&mut bytes))),
            incarnation: u64::from_le_bytes(take(&mut bytes)),
            number: u64::from_le_bytes(take(&mut bytes)),
            config_generation: u64::from_le_bytes(take(&mut bytes)),
        };
        Ok(Self {
            header,
            codec,
            tables_len: tables_len as usize,
            tables_stored: tables_stored as usize,
            tables_crc: u32::from_le_bytes(take(&mut bytes)),
            n_frames: n_frames as usize,
        })
    }
}

fn check_sizes(message_len: usize, sizes: [u32; 6]) -> Result<(), DecodeError> {
    let [total, tables_len, tables_stored, n_frames, _text, _columns] = sizes;
    for (what, found, limit) in [
        ("bytes of a batch", total, MESSAGE_BYTES_MAX),
        ("bytes of tables", tables_len, BATCH_TABLES_BYTES_MAX),
        ("stored bytes of tables", tables_stored, stored_bytes_max(tables_len as usize)),
        ("frames of a batch", n_frames, BATCH_FRAMES_MAX),
    ] {
        if found as usize > limit {
            return Err(DecodeError::Limit { what, found: u64::from(found), limit: limit as u64 });
        }
    }
    if total as usize != message_len {
        let expected = total as usize;
        return Err(DecodeError::Length { what: "batch", expected, found: message_len });
    }
    Ok(())
}

/// Takes from bytes whose length was checked.
fn take<const N: usize>(bytes: &mut &[u8]) -> [u8; N] {
    varint::take_array(bytes).expect("the header's length was checked")
}

fn take_tables(bytes: &mut &[u8]) -> Option<(Vec<StreamEntry>, Vec<Run>)> {
    let streams = take_streams(bytes)?;
    let runs = take_runs(bytes)?;
    // Extensions: (kind, bytes). None is known; an odd kind must be understood, an even one may be
    // skipped.
    for _ in 0..varint::take(bytes)? {
        let kind = varint::take(bytes)?;
        varint::take_bytes(bytes)?;
        if kind % 2 == 1 {
            return None;
        }
    }
    bytes.is_empty().then_some((streams, runs))
}
