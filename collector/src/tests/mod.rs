//! The whole collector against real files, step by step on a clock of the test's own.

mod churn;
mod churn_cases;
mod compressed;
mod fixture;
mod formats;
mod hostile;
mod journal;
mod metadata;
mod model;
mod pressure;
mod redaction;
mod reuse;
mod scenarios;
mod store;
pub(crate) mod streams;
mod threaded;
mod truncation;
mod why;
