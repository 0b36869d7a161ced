//! Sandbox files → runs → batches: discovers and tails what containers write on this host.
//!
//! Never interprets a query, never opens an index.

pub mod parse;
pub mod redact;
pub mod times;

mod application;
mod batcher;
mod checkpoint;
mod clock;
mod collector_id;
mod config;
mod content;
mod directory;
mod discover;
mod durable;
mod identity;
mod inflight;
mod intake;
mod line_head;
mod lines;
mod metrics;
mod order;
mod paths;
mod periodic;
mod place;
mod rate;
mod reader;
mod rotation;
mod run;
mod sandbox;
mod schedule;
mod spill;
mod start;
mod status;
mod stream;
mod sys;
mod tail;
mod tail_hash;

pub use collector_id::{IdentityError, Incarnation};
pub use config::{Config, ConfigError};
pub use paths::{GlobError, matches_any};
pub use rate::{OnLimit, RateRule};
pub use start::{Collector, CollectorHandle, Panicked, StartError, Stopped};
pub use status::Status;

#[cfg(test)]
mod tests;
