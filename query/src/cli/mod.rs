//! Subcommands that ask a running server.

pub mod follow;
pub mod search;
