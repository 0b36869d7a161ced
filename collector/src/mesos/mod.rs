//! What a Mesos agent knows of its containers: names and tasks that become labels, state changes and
//! statistics that become lines of their own. Asked on a thread of its own; tailing never waits for it.

mod cache;
mod client;
mod config;
mod containers;
mod credentials;
mod events;
mod facts;
mod generated;
mod json;
mod known;
mod labels;
mod meta;
mod meta_files;
mod metrics;
mod nested;
mod state;
mod status;
mod watcher;
mod wire;

pub use config::{MesosConfig, MesosConfigError};
pub(crate) use facts::ContainerKey;
#[cfg(test)]
pub(crate) use facts::{Facts, Ids};
pub(crate) use generated::{EVENTS, STATS, root as generated_root};
pub(crate) use known::Metadata;
pub(crate) use labels::{Container, of as labels_of};
pub(crate) use metrics::MesosMetrics;
pub(crate) use watcher::{Watcher, WatcherHandle};

#[cfg(test)]
mod meta_tests;
#[cfg(test)]
mod tests;
