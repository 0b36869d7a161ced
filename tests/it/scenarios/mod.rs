//! Ten scenarios that tell a tailer from a toy, played to the real binary as a black box.
//!
//! Every line is `<tag> <8-digit n> <crc32c hex> <padding>`. Exactly means: each n once, in the order of the
//! file, nothing else; and what is missing stands, to the byte, in `lost_bytes_total`. "Stopped" is SIGSTOP.
//! Where a scenario speaks of minutes, time is compressed; what remains of it stands in each file.

mod banner_crowd;
mod batches;
mod chunk_rotation;
mod crowd;
mod edges;
mod kills;
mod late_writer;
mod logrotate;
mod process;
mod reopener;
mod reused_inode;
mod truncation;
mod verifier;
mod work;
mod writer;

#[cfg(feature = "kafka")]
mod broker_misery;
#[cfg(feature = "kafka")]
mod front;
#[cfg(feature = "kafka")]
mod idle_crowd;
#[cfg(feature = "kafka")]
mod mock;
#[cfg(feature = "kafka")]
mod outage;
#[cfg(feature = "kafka")]
mod topic;
#[cfg(feature = "kafka")]
mod unread_truncation;
