//! Runs a query tree on a store: plan (streams, index), scan (the bytes decide), merge (time,
//! stream, order of arrival), or count.

pub mod budget;
pub mod entry;
pub mod export;
mod joiner;
pub mod live;
pub mod log;
pub mod metric;
pub mod pipeline;
pub mod plan;
pub mod scan;
mod spans;
pub mod streams;

pub use budget::{Budget, Limits, QueryError, Stats};
pub use entry::Entry;

#[cfg(test)]
mod entries_tests;
#[cfg(test)]
mod pruning_tests;
#[cfg(test)]
pub(crate) mod tests;
