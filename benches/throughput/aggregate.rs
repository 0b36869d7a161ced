//! The aggregator alone: prepared batches from an embedded log, until all of them are sealed.

use std::path::Path;

use prometheus::Registry;
use sawlog_aggregator::{Aggregator, Store, StoreConfig};

use crate::prepare::{end_of, open_log};
use crate::process::{bytes_below, cpu_seconds, say, wait_for};

/// The counters that tell what was done.
const COUNTERS: [&str; 5] = ["batches", "lines", "seals", "blocks", "adopted_frames"];

/// Consumes and seals everything, with the settings of a node.
pub(crate) fn run(dir: &Path) {
    let store_dir = dir.join("store");
    let registry = Registry::new();
    let (store, sealer) =
        Store::open(StoreConfig::new(store_dir.clone()), &registry).expect("the store opens");
    let log = open_log(dir);
    let consumer = log.consumer();
    let end = end_of(&consumer);
    let before = cpu_seconds();
    let aggregator =
        Aggregator::start(store.clone(), sealer, Box::new(consumer)).expect("the thread starts");
    wait_for(end, || store.position(0));
    aggregator.stop();
    say("cpu", cpu_seconds() - before);
    let raw: u64 = store.streams().iter().map(|(_, info)| info.bytes + info.lines).sum();
    say("raw", raw as f64);
    say("disk", bytes_below(&store_dir) as f64);
    for (folder, name) in [("index", "disk of indexes"), ("blocks", "disk of blocks")] {
        say(name, bytes_of(&store_dir.join("slices"), folder) as f64);
    }
    for name in COUNTERS {
        say(name, counter(&registry, &format!("sawlog_aggregator_{name}_total")));
    }
}

/// Bytes of what bears this name in each slice.
fn bytes_of(slices: &Path, name: &str) -> u64 {
    let slices = std::fs::read_dir(slices).into_iter().flatten().flatten();
    slices
        .map(|slice| slice.path().join(name))
        .map(|path| match std::fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => metadata.len(),
            _ => bytes_below(&path),
        })
        .sum()
}

fn counter(registry: &Registry, name: &str) -> f64 {
    let families = registry.gather();
    let family = families.iter().find(|family| family.name() == name);
    family.map_or(0.0, |family| family.get_metric()[0].get_counter().get_value())
}
