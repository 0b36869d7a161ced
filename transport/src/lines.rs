//! What is kept of each line beside its text: time, lengths, level and flags, as columns.

use bytes::Bytes;

/// A line's severity; the values and names are Loki's `detected_level`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(u8)]
pub enum Level {
    /// Nothing in the line says.
    #[default]
    Unknown = 0,
    Trace = 1,
    Debug = 2,
    Info = 3,
    Warn = 4,
    Error = 5,
    Critical = 6,
    Fatal = 7,
}

impl Level {
    pub const ALL: [Level; 8] = [
        Level::Unknown,
        Level::Trace,
        Level::Debug,
        Level::Info,
        Level::Warn,
        Level::Error,
        Level::Critical,
        Level::Fatal,
    ];

    /// Loki's name of the level.
    pub fn name(self) -> &'static str {
        match self {
            Level::Unknown => "unknown",
            Level::Trace => "trace",
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
            Level::Critical => "critical",
            Level::Fatal => "fatal",
        }
    }
}

/// A line's level (low three bits; bit 3 is spare and 0) and its flags (high four bits).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct LineFlags(pub u8);

impl LineFlags {
    /// The line continues the entry of the line before it in its stream (a stack trace).
    pub const CONTINUES: u8 = 1 << 4;
    /// The line had no terminator when its container ended.
    pub const PARTIAL: u8 = 1 << 5;
    /// The text is only the first `LINE_BYTES_MAX` bytes of the line.
    pub const CUT: u8 = 1 << 6;
    /// The line has a level of its own only where the source detects levels: pushed lines do not.
    pub const NO_LEVEL: u8 = 1 << 7;

    pub fn new(level: Level, flags: u8) -> Self {
        Self(level as u8 | flags)
    }

    /// `None` for lines whose level nobody looked for (pushed ones).
    pub fn level(self) -> Option<Level> {
        if self.has(Self::NO_LEVEL) { None } else { Some(Level::ALL[usize::from(self.0 & 7)]) }
    }

    pub fn has(self, flag: u8) -> bool {
        self.0 & flag != 0
    }
}

/// The columns of consecutive lines. All vectors but `metadata` have one value a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LineColumns {
    /// Nanoseconds since the epoch.
    pub times: Vec<i64>,
    /// Bytes of text without the terminating `\n` that follows each text in a frame.
    pub text_lens: Vec<u32>,
    /// Bytes of the source that the line covers: text and terminator, unless the line was cut, is
    /// unterminated, or came in an envelope.
    pub source_lens: Vec<u32>,
    pub flags: Vec<LineFlags>,
    /// Structured metadata of the few lines that have some: (line, encoded pairs), in order of line.
    /// Encoded by [`encode_metadata`].
    pub metadata: Vec<(u32, Bytes)>,
}

impl LineColumns {
    pub fn len(&self) -> usize {
        self.times.len()
    }

    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    pub fn clear(&mut self) {
        self.times.clear();
        self.text_lens.clear();
        self.source_lens.clear();
        self.flags.clear();
        self.metadata.clear();
    }

    /// Adds a line.
    pub fn push(&mut self, time: i64, text_len: u32, source_len: u32, flags: LineFlags) {
        self.times.push(time);
        self.text_lens.push(text_len);
        self.source_lens.push(source_len);
        self.flags.push(flags);
    }

    /// Bytes that the texts and their terminators take in a frame.
    pub fn text_bytes(&self) -> usize {
        self.text_lens.iter().map(|len| *len as usize + 1).sum()
    }

    /// Bytes of the source that the lines cover.
    pub fn source_bytes(&self) -> u64 {
        self.source_lens.iter().map(|len| u64::from(*len)).sum()
    }

    /// Appends the lines `range` of `other`.
    pub fn extend_from(&mut self, other: &LineColumns, range: std::ops::Range<usize>) {
        let base = self.len() as u32;
        self.times.extend_from_slice(&other.times[range.clone()]);
        self.text_lens.extend_from_slice(&other.text_lens[range.clone()]);
        self.source_lens.extend_from_slice(&other.source_lens[range.clone()]);
        self.flags.extend_from_slice(&other.flags[range.clone()]);
        for (line, pairs) in &other.metadata {
            if range.contains(&(*line as usize)) {
                self.metadata.push((base + line - range.start as u32, pairs.clone()));
            }
        }
    }

    /// The metadata of a line, encoded; empty if it has none.
    pub fn metadata_of(&self, line: usize) -> &[u8] {
        match self.metadata.binary_search_by_key(&(line as u32), |(at, _)| *at) {
            Ok(at) => &self.metadata[at].1,
            Err(_) => &[],
        }
    }
}

/// Pairs as length-prefixed names and values (varints), in the order given.
pub fn encode_metadata<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in pairs {
        crate::varint::put_bytes(&mut out, name.as_bytes());
        crate::varint::put_bytes(&mut out, value);
    }
    out
}

/// The pairs that [`encode_metadata`] wrote; stops at the first byte that is not of its form.
pub fn decode_metadata(mut bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut pairs = Vec::new();
    while !bytes.is_empty() {
        let (Some(name), Some(value)) =
            (crate::varint::take_bytes(&mut bytes), crate::varint::take_bytes(&mut bytes))
        else {
            break;
        };
        pairs.push((String::from_utf8_lossy(name).into_owned(), value.to_vec()));
    }
    pairs
}
