//! The whole collector against real files, step by step on a clock of the test's own.

mod churn;
mod churn_cases;
mod compressed;
mod fixture;
mod model;
mod redaction;
mod reuse;
mod scenarios;
mod store;
mod threaded;
mod truncation;
