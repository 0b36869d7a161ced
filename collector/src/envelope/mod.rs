//! The envelopes in which container runtimes put lines: which one a file has, and one line out of it.

mod cri;
mod docker;
#[cfg(test)]
pub(crate) mod fuzz_tests;
mod known_paths;
mod open_parts;
mod unescape;
mod unwrap;
#[cfg(test)]
mod unwrap_tests;

use sawlog_transport::limits::FRAME_TEXT_BYTES_MAX;

use crate::group::Side;
pub(crate) use known_paths::known_path;
pub(crate) use open_parts::{OpenParts, Parts};
pub(crate) use unwrap::{Ending, Item, Unwrapped};

/// In what form a plain file holds its lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// As the file's place says, or else its first line.
    #[default]
    Auto,
    /// A line is what was written.
    Raw,
    /// Docker's json-file: one JSON object a line, long lines in parts of 16 KiB.
    Docker,
    /// The Kubernetes container runtime interface: time, stream, tags, and then the line.
    Cri,
}

/// What is around each line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Envelope {
    Docker,
    Cri,
}

/// What an envelope says of the text in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub side: Side,
    /// When the runtime took it: nanoseconds since the epoch.
    pub time: Option<i64>,
    /// Whether the container's line ends with it.
    pub ends: bool,
}

impl Envelope {
    /// The envelope of a file, told by its first line; `None` if it has none.
    pub(crate) fn detect(first_line: &[u8]) -> Option<Self> {
        let mut text = Vec::new();
        [Self::Cri, Self::Docker].into_iter().find(|envelope| {
            envelope.part(first_line, &mut text).is_some_and(|part| part.time.is_some())
        })
    }

    /// Whether a physical line has the form of the envelope.
    pub(crate) fn fits(self, line: &[u8]) -> bool {
        self.part(line, &mut Vec::new()).is_some()
    }

    /// Appends the text in a physical line to `text`; `None` if the line does not fit (then what was
    /// appended is nothing to rely on).
    fn part(self, line: &[u8], text: &mut Vec<u8>) -> Option<Part> {
        match self {
            Self::Docker => docker::part(line, text),
            Self::Cri => cri::part(line, text),
        }
    }

    /// Appends the text of a physical line whose end is not there.
    fn fragment(self, line: &[u8], text: &mut Vec<u8>) {
        match self {
            Self::Docker => docker::fragment(line, text),
            Self::Cri => text.extend_from_slice(line),
        }
    }
}

/// How much of a file's start is looked at for its first line.
pub(crate) const DETECT_BYTES: usize = FRAME_TEXT_BYTES_MAX;
