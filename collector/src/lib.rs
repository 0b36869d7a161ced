//! Sandbox files → runs → batches: discovers and tails what containers write on this host.
//!
//! Never interprets a query, never opens an index.

pub mod parse;
pub mod times;
