//! The whole collector against real files, step by step on a clock of the test's own.

mod fixture;
mod journal;
mod model;
mod redaction;
mod scenarios;
mod store;
mod threaded;
mod why;
