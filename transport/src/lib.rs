//! What both ends of the pipeline agree on: ids, lines and runs, the batch format, its limits, and
//! the two traits (`Producer`, `Consumer`) through which batches travel.
//!
//! This crate knows nothing of Mesos' directories, of parsing lines, of tantivy or of queries.
//! The bytes are specified in `docs/format.md`.

pub mod batch;
pub mod consumer;
pub mod embedded;
pub mod entries;
pub mod ids;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod labels;
pub mod limits;
pub mod lines;
pub mod memory;
pub mod producer;
pub mod run;
pub mod varint;

pub use batch::{Batch, BatchBuilder, BatchHeader, Codec, DecodeError, Frame};
pub use consumer::{Bounds, ConsumeError, Consumer, Event};
pub use ids::{CollectorId, FileIdentity, GenerationId, StreamId};
pub use labels::Labels;
pub use lines::{Level, LineColumns, LineFlags};
pub use producer::{Ack, AckSender, Position, Producer, SendError};
pub use run::{Piece, PieceKind, Run};
