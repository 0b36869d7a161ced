//! Subcommands that ask a running server.

mod client;
pub mod follow;
pub mod labels;
pub mod search;
mod selector;
mod show;
pub mod store;
pub mod streams;
mod time;
mod wanted;
pub mod why;
