//! The whole collector against real files, step by step on a clock of the test's own.

mod fixture;
mod model;
mod pressure;
mod redaction;
mod scenarios;
mod store;
pub(crate) mod streams;
mod threaded;
