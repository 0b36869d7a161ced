//! End-to-end tests: they run the real binary on real files, over real HTTP.

#![expect(clippy::unwrap_used, reason = "in a test a panic with the place is the right answer")]

mod bad_input;
mod corpus;
mod crash_points;
mod exactly_once;
mod logql;
mod mesos_logger;
mod node;
mod push;
mod search_command;
mod tidy;
