//! What a Mesos agent knows of its containers: names and tasks that become labels, state changes and
//! statistics that become lines of their own. Asked on a thread of its own; tailing never waits for it.

mod asking;
mod cache;
mod client;
mod config;
mod containers;
mod credentials;
mod events;
mod facts;
mod generated;
mod generated_sweep;
mod json;
mod known;
mod labels;
mod meta;
mod meta_files;
mod metrics;
mod nested;
mod rollup;
mod sample;
mod secrets;
mod spread;
mod state;
mod state_json;
mod statistics;
mod status;
mod watcher;
mod window;
mod wire;

pub use config::{MesosConfig, MesosConfigError};
pub(crate) use facts::ContainerKey;
#[cfg(test)]
pub(crate) use facts::{Facts, Ids};
pub(crate) use generated::{EVENTS, STATS, STATS_5M, root as generated_root};
pub(crate) use known::Metadata;
pub(crate) use labels::{Container, of as labels_of};
pub(crate) use metrics::MesosMetrics;
pub(crate) use secrets::Secrets;
pub(crate) use watcher::{Watcher, WatcherHandle};

#[cfg(test)]
pub(crate) mod fuzz_tests;
#[cfg(test)]
mod meta_tests;
#[cfg(test)]
mod rollup_model_tests;
#[cfg(test)]
mod rollup_tests;
#[cfg(test)]
mod tests;
