//! What the collector counts of sandboxes that ask for more than their share.

use prometheus::{IntCounter, IntGauge};

use super::Names;

/// Metrics of single sandboxes' limits, and of files that were closed while somebody may write to them.
#[derive(Clone, Debug)]
pub(crate) struct Sandboxes {
    pub left_out_directories: IntGauge,
    pub crowded: IntGauge,
    pub parked_files_vanished: IntCounter,
    pub unsure_releases: IntCounter,
}

impl Sandboxes {
    pub(super) fn register(names: &Names<'_>) -> Result<Self, prometheus::Error> {
        Ok(Self {
            left_out_directories: names.gauge(
                "left_out_directories",
                "Directories that are not collected because their sandbox has too many",
            )?,
            crowded: names.gauge(
                "crowded_sandboxes",
                "Sandboxes with more log files in use than their share: some of theirs wait",
            )?,
            parked_files_vanished: names.counter(
                "parked_files_vanished_total",
                "Files closed to make room while somebody may have written, and gone before they \
                 were opened again: what they got meanwhile is lost, nobody knows how much",
            )?,
            unsure_releases: names.counter(
                "unsure_releases_total",
                "Deleted files that were read to their ends and closed without the system telling \
                 whether somebody still writes to them (CAP_LEASE is missing, or the file system has \
                 no leases)",
            )?,
        })
    }
}
