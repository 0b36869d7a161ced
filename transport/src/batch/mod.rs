//! The batch: what one Kafka message, or one record of the embedded log, holds. Format version 1 is
//! specified in `docs/format.md`; a change of any byte needs a new version there.
//!
//! ```text
//! header 80 B | tables (streams, runs, extensions) | frame | frame | …
//! frame = header 36 B | columns | text
//! ```

mod builder;
mod decode;
mod frame;
mod split;
mod tables;

pub use builder::{BatchBuilder, PushError, RunInput};
pub use decode::{Batch, DecodeError};
pub use frame::{Codec, FRAME_HEADER_BYTES, Frame, FrameEncoder};
pub use split::{SplitError, split};
pub use tables::{StreamEntry, put_runs, put_streams, take_runs, take_streams};

use crate::ids::CollectorId;

/// The first bytes of every batch.
pub const MAGIC: [u8; 4] = *b"SAWB";
/// The version this build writes, and the newest it reads.
pub const VERSION: u8 = 1;
/// Bytes of the fixed header.
pub const HEADER_BYTES: usize = 80;

/// Who made a batch, and which one it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    pub collector: CollectorId,
    /// Counts the starts of the sending process; it never repeats for one collector id.
    pub incarnation: u64,
    /// Counts the batches of one incarnation, from 0.
    pub number: u64,
    /// The generation of the per-application rules under which the lines were read; 0 without rules.
    pub config_generation: u64,
}

#[cfg(test)]
mod tests;
