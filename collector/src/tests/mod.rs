//! The whole collector against real files, step by step on a clock of the test's own.

mod churn;
mod churn_cases;
mod compressed;
mod fixture;
mod formats;
mod hostile;
mod idle;
mod journal;
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
mod unwritable;
mod vanished;
mod why;
