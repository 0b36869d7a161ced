//! Sandbox files → runs → batches: discovers and tails what containers write on this host.
//!
//! Never interprets a query, never opens an index.

pub mod parse;
pub mod pipe;
pub mod redact;
pub mod times;

mod application;
mod batcher;
mod checkpoint;
mod clock;
mod collector_id;
mod compressed;
mod config;
mod content;
mod copies;
mod directory;
mod discover;
mod durable;
mod envelope;
mod file_system;
mod foreign_link;
mod group;
mod gz;
mod hole;
mod identity;
mod inflight;
mod intake;
mod journal;
mod leases;
mod line_head;
mod lines;
mod loss;
mod mesos;
mod mesos_logger;
mod metrics;
mod open_files;
mod order;
mod paths;
mod periodic;
mod place;
mod rate;
mod reader;
mod relabel;
mod rotation;
mod run;
mod sandbox;
mod schedule;
mod spill;
mod start;
mod status;
mod stream;
mod stream_text;
mod sys;
mod tail;
mod tail_hash;
mod trace_id;
mod unfinished;
mod vanished;
mod why;

pub use collector_id::{IdentityError, Incarnation};
pub use config::{Config, ConfigError};
pub use envelope::Format;
pub use journal::JournalSource;
pub use mesos::{MesosConfig, MesosConfigError};
pub use paths::{GlobError, matches_any};
pub use rate::{OnLimit, RateRule};
pub use start::{Collector, CollectorHandle, Panicked, StartError, Stopped};
pub use status::Status;
pub use why::{
    AcknowledgedFile, AskError, Asker, Decided, Details, Explained, FileState, Identity, State,
};

#[cfg(test)]
mod tests;
