//! Batches → blocks + tantivy: the hot tail, seals, the ledger, and what queries read.
//!
//! Never opens a sandbox file, never parses a query.

mod aggregate;
pub mod block;
mod catalog;
mod error;
mod filter;
mod hot;
mod index;
mod ingest;
mod ledger;
mod lowered;
mod manifest;
mod metrics;
mod pack;
pub mod prune;
mod ranges;
mod record_file;
mod seal;
mod slice;
mod snapshot;
mod store;
mod streams;
pub mod terms;
pub mod words;

#[cfg(test)]
mod pruning_tests;
#[cfg(test)]
mod store_tests;

pub use aggregate::Aggregator;
pub use error::{StoreError, error_chain};
pub use ingest::IngestError;
pub use ledger::Ledger;
pub use ranges::{Fate, Range, Ranges};
pub use seal::Sealer;
pub use slice::SliceReadError;
pub use snapshot::{Opened, OpenedRun, Selection, Source};
pub use store::{Store, StoreConfig};
pub use streams::{StreamInfo, StreamNumber, StreamTable};
