//! End-to-end tests: they run the real binary on real files, over real HTTP.

#![expect(clippy::unwrap_used, reason = "in a test a panic with the place is the right answer")]

mod agent;
mod bad_input;
mod config;
mod corpus;
mod crash_points;
mod demo;
mod exactly_once;
mod formats;
mod hostile;
mod journald;
#[cfg(feature = "kafka")]
mod kafka;
mod listing_commands;
mod logql;
mod mesos;
mod mesos_logger;
mod node;
mod pipe;
mod places;
mod pressure;
mod push;
mod random;
mod redaction;
mod retention;
#[cfg(feature = "kafka")]
mod roles;
mod scenarios;
mod search_command;
mod streams_api;
mod tail;
mod tidy;
mod tools;
mod unprivileged;
mod why;
