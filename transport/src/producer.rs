//! The sending side of a transport.

use std::sync::mpsc;

use bytes::Bytes;

/// Where a message stands: the `offset`-th message of a partition, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    pub partition: u32,
    pub offset: u64,
}

/// What became of one sent message.
#[derive(Debug)]
pub struct Ack {
    /// The sender's own number for the message.
    pub tag: u64,
    /// `Ok` once the message is durable: it survives the death of any process and of the machine.
    pub result: Result<Position, SendError>,
}

/// Where acknowledgements go: one channel a sender, bounded by what the sender has in flight.
pub type AckSender = mpsc::Sender<Ack>;

/// Why a message was not taken or not stored.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SendError {
    /// Too much is in flight. Nothing was taken; send the same message again after an ack.
    #[error("the transport's queue is full")]
    Full,
    /// The message can never be sent.
    #[error("a message of {bytes} bytes exceeds the limit of {limit}")]
    TooLarge { bytes: usize, limit: usize },
    #[error("partition {partition} does not exist, there are {partitions}")]
    NoPartition { partition: u32, partitions: u32 },
    /// The place stores no message of this size, however often it is sent. Parts of it may be stored, and
    /// it may be itself if it was refused for what was sent along with it.
    #[error("{place} refuses a message of {bytes} bytes: {reason}")]
    RefusedAsTooLarge { place: String, bytes: usize, reason: String },
    /// The message may or may not be stored; sending it again is right, since the store removes
    /// what it already holds.
    #[error("cannot store a message in {place}: {reason}")]
    Failed { place: String, reason: String },
}

/// Sends messages (encoded batches) to partitions. Messages of one partition are stored in the
/// order in which `send` took them; every message taken is acknowledged exactly once.
pub trait Producer: Send + Sync {
    /// How many partitions there are; pinned for the life of the transport once it is known. 0 until
    /// then, when `send` answers [`SendError::Full`].
    fn partitions(&self) -> u32;

    /// Takes a message without waiting.
    ///
    /// # Errors
    /// At once, and without an ack, if the message cannot be taken; later, as the ack's result, if
    /// it could not be stored.
    fn send(
        &self,
        partition: u32,
        message: Bytes,
        tag: u64,
        acks: &AckSender,
    ) -> Result<(), SendError>;
}
