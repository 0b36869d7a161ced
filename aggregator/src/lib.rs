//! Batches → blocks + tantivy: the hot tail, seals, the ledger, and what queries read.
//!
//! Never opens a sandbox file, never parses a query.

mod aggregate;
pub mod block;
mod carry;
mod catalog;
mod clock;
mod clock_step;
mod disk_usage;
mod error;
mod expiry;
mod filter;
mod hot;
mod hot_source;
mod index;
mod ingest;
mod ledger;
mod lowered;
mod manifest;
mod metrics;
mod open_entries;
mod pack;
mod packed_units;
mod partitions;
pub mod prune;
mod ranges;
mod record_file;
mod retention;
mod seal;
mod sealing;
mod slice;
mod snapshot;
mod source;
mod stats;
mod store;
mod streams;
mod subscribe;
pub mod terms;
mod waiting;
pub mod words;

#[cfg(test)]
mod aggregate_tests;
#[cfg(test)]
mod entries_tests;
#[cfg(test)]
mod pruning_tests;
#[cfg(test)]
mod retention_tests;
#[cfg(test)]
mod store_tests;
#[cfg(test)]
mod subscribe_tests;

pub use aggregate::Aggregator;
pub use clock::Clock;
pub use disk_usage::DiskUsage;
pub use error::{StoreError, error_chain};
pub use hot::{Continued, HotRun};
pub use hot_source::HotSource;
pub use ingest::IngestError;
pub use ledger::Ledger;
pub use ranges::{Fate, Range, Ranges};
pub use seal::Sealer;
pub use slice::SliceReadError;
pub use snapshot::{Opened, OpenedRun, Selection, Source};
pub use source::EMBEDDED_SOURCE;
pub use stats::{SliceStats, StoreStats};
pub use store::{Store, StoreConfig, Whole};
pub use streams::{StreamInfo, StreamNumber, StreamTable};
pub use subscribe::{Fed, Missed, SUBSCRIPTION_BYTES_MAX, Seam, Subscription};
