//! A block: lines stored together. It is a frame as transport defines it, with the runs its lines
//! belong to; blocks follow each other in a slice's block file.
//!
//! ```text
//! header 44 B | table (streams, runs, arrivals; zstd) | frame (transport's format)
//! ```

use bytes::Bytes;
use sawlog_transport::batch::{put_runs, take_runs};
use sawlog_transport::limits::{FRAME_LINES_MAX, MESSAGE_BYTES_MAX, stored_bytes_max};
use sawlog_transport::{Codec, Frame, LineColumns, Run, StreamId, varint};

use crate::streams::StreamNumber;

const MAGIC: [u8; 4] = *b"SAWK";
const VERSION: u8 = 1;
/// Bytes of a block's own header.
pub(crate) const HEADER_BYTES: usize = 44;
/// The longest table before compression: a run for every line, each of several pieces.
const TABLE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A stream as a block names it: by its number in this store, and by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockStream {
    pub number: StreamNumber,
    pub id: StreamId,
}

/// A block, its text and columns not yet inflated.
#[derive(Clone, Debug)]
pub struct Block {
    pub seal: u64,
    pub partition: u32,
    /// `Run::stream` is an index into this.
    pub streams: Vec<BlockStream>,
    pub runs: Vec<Run>,
    /// Per run: when it arrived in its partition. Runs of a stream in order of arrival are in the
    /// order in which the collector read them.
    pub arrivals: Vec<u64>,
    pub frame: Frame,
}

/// Why a block cannot be read: what is wrong with it.
#[derive(Debug, thiserror::Error)]
pub enum BlockError {
    #[error("the block's {0} is damaged")]
    Damaged(&'static str),
    #[error("the block has format version {0}, this build reads up to {VERSION}")]
    Version(u8),
    #[error("cannot decode the block's lines")]
    Lines(#[from] sawlog_transport::DecodeError),
    #[error("cannot read the block")]
    Io(#[from] std::io::Error),
}

impl Block {
    /// The earliest and the latest time of a line.
    pub fn times(&self) -> (i64, i64) {
        let min = self.runs.iter().map(|run| run.min_time).min().unwrap_or(i64::MAX);
        (min, self.runs.iter().map(|run| run.max_time).max().unwrap_or(i64::MIN))
    }

    /// The lines of one run, with their text.
    pub fn run_text(run: &Run, lines: &LineColumns, text: &Bytes) -> Bytes {
        let bytes = |lens: &[u32]| lens.iter().map(|len| *len as usize + 1).sum::<usize>();
        let start = bytes(&lines.text_lens[..run.first_line as usize]);
        let end = start + bytes(&lines.text_lens[run.lines()]);
        text.slice(start..end)
    }

    /// Appends the block as it is stored.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let raw_table = self.encode_table();
        let table = Codec::Zstd(1).compress(&raw_table);
        let start = out.len();
        let total = HEADER_BYTES + table.len() + self.frame.stored_len();
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[VERSION, 0, 0, 0]);
        out.extend_from_slice(&(total as u32).to_le_bytes());
        out.extend_from_slice(&(table.len() as u32).to_le_bytes());
        out.extend_from_slice(&self.seal.to_le_bytes());
        out.extend_from_slice(&self.partition.to_le_bytes());
        // The retention class: one so far.
        out.extend_from_slice(&0u32.to_le_bytes());
        out.extend_from_slice(&crc32c::crc32c(&table).to_le_bytes());
        out.extend_from_slice(&(raw_table.len() as u32).to_le_bytes());
        let crc = crc32c::crc32c(&out[start..]);
        out.extend_from_slice(&crc.to_le_bytes());
        out.extend_from_slice(&table);
        self.frame.write(out);
    }

    fn encode_table(&self) -> Vec<u8> {
        let mut table = Vec::new();
        varint::put(&mut table, self.streams.len() as u64);
        for stream in &self.streams {
            varint::put(&mut table, u64::from(stream.number));
            table.extend_from_slice(&stream.id.0.to_le_bytes());
        }
        put_runs(&mut table, &self.runs);
        for arrival in &self.arrivals {
            varint::put(&mut table, *arrival);
        }
        table
    }

    /// How long the block that begins with this header is, header included.
    pub(crate) fn stored_len(header: &[u8; HEADER_BYTES]) -> Result<usize, BlockError> {
        if header[..4] != MAGIC {
            return Err(BlockError::Damaged("header"));
        }
        if header[4] > VERSION {
            return Err(BlockError::Version(header[4]));
        }
        if header[4] == 0 {
            return Err(BlockError::Damaged("version"));
        }
        if word(header, 40) != crc32c::crc32c(&header[..40]) {
            return Err(BlockError::Damaged("header"));
        }
        let total = word(header, 8) as usize;
        if total < HEADER_BYTES || total > 2 * stored_bytes_max(MESSAGE_BYTES_MAX) {
            return Err(BlockError::Damaged("header"));
        }
        Ok(total)
    }

    /// Reads a block from all its bytes.
    pub(crate) fn read(mut bytes: Bytes) -> Result<Block, BlockError> {
        let header: [u8; HEADER_BYTES] = bytes
            .get(..HEADER_BYTES)
            .and_then(|header| header.try_into().ok())
            .ok_or(BlockError::Damaged("header"))?;
        if Self::stored_len(&header)? != bytes.len() {
            return Err(BlockError::Damaged("length"));
        }
        let table_len = Self::table_len(&header);
        let seal = u64::from(word(&header, 16)) | u64::from(word(&header, 20)) << 32;
        let mut rest = bytes.split_off(HEADER_BYTES);
        if rest.len() < table_len {
            return Err(BlockError::Damaged("length"));
        }
        let table = inflate_table(&header, &rest.split_to(table_len))?;
        let frame = Frame::read(&mut rest)?;
        let (streams, runs, arrivals) =
            take_table(&mut &table[..], frame.n_lines()).ok_or(BlockError::Damaged("table"))?;
        Ok(Block { seal, partition: word(&header, 24), streams, runs, arrivals, frame })
    }

    /// How long the table as stored is, which follows the header.
    pub(crate) fn table_len(header: &[u8; HEADER_BYTES]) -> usize {
        word(header, 12) as usize
    }

    /// Reads the table alone: whose lines the block holds, and where in their files they stood.
    pub(crate) fn read_table(
        header: &[u8; HEADER_BYTES],
        stored: &[u8],
    ) -> Result<BlockTable, BlockError> {
        let table = inflate_table(header, stored)?;
        let (streams, runs, _) = take_table(&mut &table[..], FRAME_LINES_MAX as u32)
            .ok_or(BlockError::Damaged("table"))?;
        Ok(BlockTable { streams, runs })
    }
}

/// A block's table without its lines.
pub(crate) struct BlockTable {
    pub(crate) streams: Vec<BlockStream>,
    /// `Run::stream` is an index into `streams`.
    pub(crate) runs: Vec<Run>,
}

fn inflate_table(header: &[u8; HEADER_BYTES], stored: &[u8]) -> Result<Vec<u8>, BlockError> {
    if crc32c::crc32c(stored) != word(header, 32) {
        return Err(BlockError::Damaged("table"));
    }
    let raw_len = word(header, 36) as usize;
    if raw_len > TABLE_BYTES_MAX {
        return Err(BlockError::Damaged("table"));
    }
    Ok(Codec::Zstd(1).decompress(stored, raw_len, "the block's table")?)
}

fn word(header: &[u8; HEADER_BYTES], at: usize) -> u32 {
    u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
}

fn take_table(bytes: &mut &[u8], n_lines: u32) -> Option<(Vec<BlockStream>, Vec<Run>, Vec<u64>)> {
    let mut streams = Vec::new();
    for _ in 0..varint::take(bytes)? {
        let number = StreamNumber::try_from(varint::take(bytes)?).ok()?;
        let id = StreamId(u128::from_le_bytes(varint::take_array(bytes)?));
        streams.push(BlockStream { number, id });
    }
    let runs = take_runs(bytes)?;
    let mut arrivals = Vec::new();
    for run in &runs {
        arrivals.push(varint::take(bytes)?);
        let end = run.first_line.checked_add(run.n_lines)?;
        if run.stream as usize >= streams.len() || end > n_lines {
            return None;
        }
    }
    bytes.is_empty().then_some((streams, runs, arrivals))
}
