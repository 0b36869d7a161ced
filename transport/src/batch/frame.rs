//! A frame: lines as columns and their text, each compressed and checksummed on its own, so that a
//! histogram reads no text and a store can keep the bytes as they came.

use bytes::{Buf, Bytes};

use super::DecodeError;
use crate::limits::{
    FRAME_COLUMNS_BYTES_MAX, FRAME_LINES_MAX, FRAME_METADATA_BYTES_MAX, FRAME_TEXT_BYTES_MAX,
    LINE_BYTES_MAX, stored_bytes_max,
};
use crate::lines::{LineColumns, LineFlags};
use crate::varint;

/// Bytes of a frame's own header.
pub const FRAME_HEADER_BYTES: usize = 36;

/// How tables, columns and text are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    None,
    /// zstd at this level (1 is the default of the pipeline).
    Zstd(i32),
}

impl Codec {
    pub(crate) fn byte(self) -> u8 {
        match self {
            Codec::None => 0,
            Codec::Zstd(_) => 2,
        }
    }

    pub(crate) fn from_byte(byte: u8) -> Result<Self, DecodeError> {
        match byte {
            0 => Ok(Codec::None),
            2 => Ok(Codec::Zstd(1)),
            found => Err(DecodeError::Codec { found }),
        }
    }

    /// Compresses; the caller bounds `raw`.
    pub fn compress(self, raw: &[u8]) -> Vec<u8> {
        match self {
            Codec::None => raw.to_vec(),
            Codec::Zstd(level) => zstd::bulk::compress(raw, level)
                .expect("zstd compresses any bytes into a buffer of its own bound"),
        }
    }

    /// Decompresses exactly `len` bytes, which the caller has checked against a limit; `what` names
    /// them in errors.
    ///
    /// # Errors
    /// The bytes do not inflate, or not to that length.
    pub fn decompress(
        self,
        stored: &[u8],
        len: usize,
        what: &'static str,
    ) -> Result<Vec<u8>, DecodeError> {
        let raw = match self {
            Codec::None => stored.to_vec(),
            Codec::Zstd(_) => zstd::bulk::decompress(stored, len)
                .map_err(|source| DecodeError::Inflate { what, source })?,
        };
        if raw.len() != len {
            return Err(DecodeError::Length { what, expected: len, found: raw.len() });
        }
        Ok(raw)
    }
}

/// Lines and text as they are stored. Cloning shares the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    codec: Codec,
    n_lines: u32,
    /// Bytes of text before compression.
    text_len: u32,
    text_crc: u32,
    /// Bytes of columns before compression.
    columns_len: u32,
    columns_crc: u32,
    columns: Bytes,
    text: Bytes,
}

/// Makes frames. Its zstd context is expensive to make and reused; a scratch buffer too.
pub struct FrameEncoder {
    codec: Codec,
    zstd: Option<zstd::bulk::Compressor<'static>>,
    scratch: Vec<u8>,
}

impl FrameEncoder {
    pub fn new(codec: Codec) -> Self {
        let zstd = match codec {
            Codec::None => None,
            Codec::Zstd(level) => Some(
                zstd::bulk::Compressor::new(level).expect("zstd has a context for every level"),
            ),
        };
        Self { codec, zstd, scratch: Vec::new() }
    }

    pub fn codec(&self) -> Codec {
        self.codec
    }

    fn compress(&mut self, raw: &[u8]) -> Bytes {
        match &mut self.zstd {
            None => Bytes::copy_from_slice(raw),
            Some(zstd) => zstd
                .compress(raw)
                .expect("zstd compresses any bytes into a buffer of its own bound")
                .into(),
        }
    }

    /// Encodes lines and their text (each text followed by `\n`).
    ///
    /// # Panics
    /// If text and columns do not belong together or exceed a frame's limits: a mistake of the
    /// caller, not of the input.
    pub fn encode(&mut self, lines: &LineColumns, text: &[u8]) -> Frame {
        assert!(lines.len() <= FRAME_LINES_MAX && text.len() <= FRAME_TEXT_BYTES_MAX);
        assert_eq!(lines.text_bytes(), text.len(), "the columns must cover the text");
        let mut columns = std::mem::take(&mut self.scratch);
        columns.clear();
        put_columns(&mut columns, lines);
        assert!(columns.len() <= FRAME_COLUMNS_BYTES_MAX);
        let stored_columns = self.compress(&columns);
        let columns_len = columns.len() as u32;
        self.scratch = columns;
        let stored_text = self.compress(text);
        Frame {
            codec: self.codec,
            n_lines: lines.len() as u32,
            text_len: text.len() as u32,
            text_crc: crc32c::crc32c(&stored_text),
            columns_len,
            columns_crc: crc32c::crc32c(&stored_columns),
            columns: stored_columns,
            text: stored_text,
        }
    }
}

impl Frame {
    pub fn n_lines(&self) -> u32 {
        self.n_lines
    }

    /// Bytes of text before compression, terminators included.
    pub fn text_len(&self) -> u32 {
        self.text_len
    }

    pub(crate) fn columns_len(&self) -> u32 {
        self.columns_len
    }

    /// Bytes that [`Frame::write`] appends.
    pub fn stored_len(&self) -> usize {
        FRAME_HEADER_BYTES + self.columns.len() + self.text.len()
    }

    /// A copy that shares no bytes with the message the frame was read from, which would otherwise
    /// live as long as the frame.
    pub fn detached(&self) -> Frame {
        Frame {
            columns: Bytes::copy_from_slice(&self.columns),
            text: Bytes::copy_from_slice(&self.text),
            ..*self
        }
    }

    /// Appends the frame as it is stored and sent.
    pub fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[self.codec.byte(), 0, 0, 0]);
        for field in [
            self.n_lines,
            self.text_len,
            self.text.len() as u32,
            self.text_crc,
            self.columns_len,
            self.columns.len() as u32,
            self.columns_crc,
        ] {
            out.extend_from_slice(&field.to_le_bytes());
        }
        let crc = crc32c::crc32c(&out[start..]);
        out.extend_from_slice(&crc.to_le_bytes());
        out.extend_from_slice(&self.columns);
        out.extend_from_slice(&self.text);
    }

    /// Takes a frame from the front, sharing the bytes; checks the header, not yet the contents.
    ///
    /// # Errors
    /// Bytes that are no frame, exceed a limit, or end too early.
    pub fn read(bytes: &mut Bytes) -> Result<Frame, DecodeError> {
        let header: [u8; FRAME_HEADER_BYTES] = bytes
            .get(..FRAME_HEADER_BYTES)
            .and_then(|header| header.try_into().ok())
            .ok_or(DecodeError::Short { what: "frame header" })?;
        let field = |at: usize| {
            u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
        };
        if field(32) != crc32c::crc32c(&header[..32]) {
            return Err(DecodeError::Checksum { what: "frame header" });
        }
        let codec = Codec::from_byte(header[0])?;
        let [n_lines, text_len, text_stored, text_crc] = [field(4), field(8), field(12), field(16)];
        let [columns_len, columns_stored, columns_crc] = [field(20), field(24), field(28)];
        check("lines of a frame", n_lines, FRAME_LINES_MAX)?;
        check("text of a frame", text_len, FRAME_TEXT_BYTES_MAX)?;
        check("columns of a frame", columns_len, FRAME_COLUMNS_BYTES_MAX)?;
        check("stored text", text_stored, stored_bytes_max(text_len as usize))?;
        check("stored columns", columns_stored, stored_bytes_max(columns_len as usize))?;
        let stored = columns_stored as usize + text_stored as usize;
        if bytes.len() < FRAME_HEADER_BYTES + stored {
            return Err(DecodeError::Short { what: "frame" });
        }
        bytes.advance(FRAME_HEADER_BYTES);
        let columns = bytes.split_to(columns_stored as usize);
        let text = bytes.split_to(text_stored as usize);
        Ok(Frame { codec, n_lines, text_len, text_crc, columns_len, columns_crc, columns, text })
    }

    /// The text of all lines, each followed by `\n`.
    ///
    /// # Errors
    /// The checksum does not hold, or the bytes do not inflate to the length declared.
    pub fn text(&self) -> Result<Bytes, DecodeError> {
        if crc32c::crc32c(&self.text) != self.text_crc {
            return Err(DecodeError::Checksum { what: "text" });
        }
        match self.codec {
            Codec::None if self.text.len() == self.text_len as usize => Ok(self.text.clone()),
            codec => Ok(codec.decompress(&self.text, self.text_len as usize, "text")?.into()),
        }
    }

    /// The columns of all lines; they are known to cover the text exactly.
    ///
    /// # Errors
    /// The checksum does not hold, or the bytes are no columns of this frame.
    pub fn lines(&self) -> Result<LineColumns, DecodeError> {
        if crc32c::crc32c(&self.columns) != self.columns_crc {
            return Err(DecodeError::Checksum { what: "columns" });
        }
        let raw = self.codec.decompress(&self.columns, self.columns_len as usize, "columns")?;
        let lines = take_columns(&mut &raw[..], self.n_lines as usize)
            .ok_or(DecodeError::Malformed { what: "columns" })?;
        if lines.text_bytes() != self.text_len as usize {
            return Err(DecodeError::Malformed { what: "text lengths" });
        }
        Ok(lines)
    }
}

fn check(what: &'static str, found: u32, limit: usize) -> Result<(), DecodeError> {
    if found as usize > limit {
        return Err(DecodeError::Limit { what, found: u64::from(found), limit: limit as u64 });
    }
    Ok(())
}

/// Column after column: times, text lengths, flags, exceptional source lengths, metadata.
fn put_columns(out: &mut Vec<u8>, lines: &LineColumns) {
    let mut last = 0i64;
    for time in &lines.times {
        varint::put_signed(out, time.wrapping_sub(last));
        last = *time;
    }
    for len in &lines.text_lens {
        varint::put(out, u64::from(*len));
    }
    out.extend(lines.flags.iter().map(|flags| flags.0));
    put_source_lens(out, lines);
    varint::put(out, lines.metadata.len() as u64);
    let mut before = 0;
    for (line, pairs) in &lines.metadata {
        varint::put(out, u64::from(line - before));
        varint::put_bytes(out, pairs);
        before = *line;
    }
}

/// Only the lines whose source is not text + terminator: (distance from the last such line, length).
fn put_source_lens(out: &mut Vec<u8>, lines: &LineColumns) {
    let exceptions: Vec<usize> =
        (0..lines.len()).filter(|n| lines.source_lens[*n] != lines.text_lens[*n] + 1).collect();
    varint::put(out, exceptions.len() as u64);
    let mut before = 0;
    for line in exceptions {
        varint::put(out, (line - before) as u64);
        varint::put(out, u64::from(lines.source_lens[line]));
        before = line;
    }
}

fn take_columns(bytes: &mut &[u8], n_lines: usize) -> Option<LineColumns> {
    // Every line takes at least three bytes of columns: the counts cannot make us allocate more.
    if bytes.len() < n_lines * 3 {
        return None;
    }
    let mut lines = LineColumns::default();
    let mut time = 0i64;
    for _ in 0..n_lines {
        time = time.wrapping_add(varint::take_signed(bytes)?);
        lines.times.push(time);
    }
    for _ in 0..n_lines {
        let len = u32::try_from(varint::take(bytes)?).ok()?;
        if len as usize > LINE_BYTES_MAX {
            return None;
        }
        lines.text_lens.push(len);
        lines.source_lens.push(len + 1);
    }
    lines.flags.extend(varint::take_exact(bytes, n_lines)?.iter().map(|flags| LineFlags(*flags)));
    take_source_lens(bytes, &mut lines)?;
    take_metadata(bytes, &mut lines)?;
    bytes.is_empty().then_some(lines)
}

fn take_source_lens(bytes: &mut &[u8], lines: &mut LineColumns) -> Option<()> {
    let mut line = 0usize;
    for _ in 0..varint::take(bytes)? {
        line = line.checked_add(usize::try_from(varint::take(bytes)?).ok()?)?;
        *lines.source_lens.get_mut(line)? = u32::try_from(varint::take(bytes)?).ok()?;
    }
    Some(())
}

fn take_metadata(bytes: &mut &[u8], lines: &mut LineColumns) -> Option<()> {
    let (mut line, mut total) = (0u32, 0);
    for n in 0..varint::take(bytes)? {
        let step = u32::try_from(varint::take(bytes)?).ok()?;
        if n > 0 && step == 0 {
            return None;
        }
        line = line.checked_add(step)?;
        let pairs = varint::take_bytes(bytes)?;
        total += pairs.len();
        if line as usize >= lines.len() || total > FRAME_METADATA_BYTES_MAX {
            return None;
        }
        lines.metadata.push((line, Bytes::copy_from_slice(pairs)));
    }
    Some(())
}
