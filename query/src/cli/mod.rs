//! Subcommands that ask a running server.

pub mod search;
