//! End-to-end tests: they run the real binary on real files, over real HTTP.

mod bad_input;
mod crash_points;
mod exactly_once;
mod logql;
mod mesos_logger;
mod node;
mod push;
mod search_command;
mod tidy;
