//! The whole collector against real files, step by step on a clock of the test's own.

#[allow(dead_code, reason = "each program uses a part of it")]
pub(crate) mod allocator;
mod churn;
mod churn_cases;
mod compressed;
mod fixture;
mod formats;
mod fuzz;
mod hostile;
mod hot;
mod idle;
mod journal;
mod live_copies;
mod metadata;
mod model;
mod newest_clock;
mod pressure;
mod recorder;
mod redaction;
mod refusal;
mod reuse;
mod scenarios;
mod store;
pub(crate) mod streams;
mod threaded;
mod truncation;
mod unfinished;
mod unknown_writers;
mod unwritable;
mod vanished;
mod why;

pub(crate) use fuzz::{Random, framed};
