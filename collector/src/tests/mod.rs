//! The whole collector against real files, step by step on a clock of the test's own.

mod churn;
mod fixture;
mod formats;
mod journal;
mod metadata;
mod model;
mod redaction;
mod scenarios;
mod store;
mod threaded;
mod truncation;
mod why;
