//! The receiving side of a transport.

use std::time::Duration;

use bytes::Bytes;

/// What a consumer tells its owner.
#[derive(Debug)]
pub enum Event {
    /// The next message of an assigned partition.
    Message {
        partition: u32,
        offset: u64,
        /// When the transport stored it: nanoseconds since the epoch.
        stored_at: i64,
        message: Bytes,
    },
    /// The transport gives a partition to this consumer (Kafka: a rebalance). The owner answers with
    /// [`Consumer::assign`].
    Assigned { partition: u32 },
    /// The transport takes a partition away; `lost` if another may already own it.
    Revoked { partition: u32, lost: bool },
    /// The messages `from..to` no longer exist (retention) or cannot be read (corruption: `reason`).
    /// Reading goes on at `to`.
    Missing { partition: u32, from: u64, to: u64, reason: String },
}

/// The messages a partition holds now: `low..high`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    pub low: u64,
    /// The offset of the next message to become readable.
    pub high: u64,
}

/// Why a transport cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ConsumeError {
    #[error("partition {partition} does not exist, there are {partitions}")]
    NoPartition { partition: u32, partitions: u32 },
    #[error(
        "position {position} of partition {partition} lies beyond its end {high}: the store knows more than the transport holds. If the topic was deleted and made again, go on with an empty --data or another topic"
    )]
    BeyondEnd { partition: u32, position: u64, high: u64 },
    #[error("cannot read {place}")]
    Io {
        place: String,
        #[source]
        source: std::io::Error,
    },
    /// Positions mean other messages now.
    #[error(
        "{place} was deleted and made again: what it holds is not what the store has read. Restart with an \
         empty --data, or with another topic"
    )]
    Replaced { place: String },
    #[error("cannot read {place}: {reason}")]
    Failed { place: String, reason: String },
}

/// Reads messages of assigned partitions in order, from positions that the owner keeps.
///
/// Only durable messages are given: what a consumer saw survives a crash of the transport.
pub trait Consumer: Send {
    fn partitions(&self) -> u32;

    /// Starts (or moves) reading a partition at `from`.
    fn assign(&mut self, partition: u32, from: u64) -> Result<(), ConsumeError>;

    /// Stops reading a partition. Unknown partitions are ignored.
    fn revoke(&mut self, partition: u32);

    /// While paused a partition gives no messages (back-pressure); polling goes on.
    fn pause(&mut self, partition: u32, paused: bool);

    /// The next event, waiting up to `timeout` for it.
    fn poll(&mut self, timeout: Duration) -> Result<Option<Event>, ConsumeError>;

    fn bounds(&self, partition: u32) -> Result<Bounds, ConsumeError>;

    /// The owner durably holds everything below `upto`: the transport may delete it.
    fn processed(&mut self, partition: u32, upto: u64);
}
