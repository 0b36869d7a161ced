//! What the collector counts where there is more to do than it can, or less than it needs.

use prometheus::{IntCounter, IntCounterVec, IntGauge};

use super::Names;

/// Metrics of rates, budgets, the spool, and of what looking around costs.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub dropped_bytes: IntCounterVec,
    pub throttled_streams: IntGauge,
    pub pinned_deleted_bytes: IntGauge,
    pub spool_bytes: IntGauge,
    pub spilled_bytes: IntCounter,
    pub spool_errors: IntCounter,
    pub divided_batches: IntCounter,
    pub refused_line_bytes: IntGauge,
    pub event_overflows: IntCounter,
    pub watch_errors: IntCounter,
    pub descriptor_shortages: IntCounter,
    pub parked_files: IntCounter,
    pub listings: IntCounter,
    pub turns: IntCounter,
    pub file_checks: IntCounter,
    pub directory_checks: IntCounter,
}

impl Load {
    pub(super) fn register(names: &Names<'_>) -> Result<Self, prometheus::Error> {
        let counter = |name, help| names.counter(name, help);
        let gauge = |name, help| names.gauge(name, help);
        Ok(Self {
            dropped_bytes: names.counters(
                "dropped_bytes_total",
                "Bytes of log files left out by a rule",
                "reason",
            )?,
            throttled_streams: gauge(
                "throttled_streams",
                "Streams that wait because their application has had its bytes a second",
            )?,
            pinned_deleted_bytes: gauge(
                "pinned_deleted_bytes",
                "Bytes of deleted files that are held open and not acknowledged",
            )?,
            spool_bytes: gauge("spool_bytes", "Bytes in the spool that are not delivered")?,
            spilled_bytes: counter("spilled_bytes_total", "Bytes of log files put into the spool")?,
            spool_errors: counter(
                "spool_errors_total",
                "Failed writes to the spool, and batches in it that could not be read",
            )?,
            divided_batches: counter(
                "divided_batches_total",
                "Batches, and parts of them, that were too large for the transport and sent in parts",
            )?,
            refused_line_bytes: gauge(
                "refused_line_bytes",
                "Bytes of a message with a single line that the transport refuses as too large and that \
                 holds up all others; 0 if there is none",
            )?,
            event_overflows: counter(
                "event_overflows_total",
                "Times that the kernel had more changes to tell than it could keep",
            )?,
            watch_errors: counter(
                "watch_errors_total",
                "Directories that could not be watched and are listed instead",
            )?,
            descriptor_shortages: counter(
                "descriptor_shortages_total",
                "Times that nothing more could be opened, as too many files were open",
            )?,
            parked_files: counter(
                "parked_files_total",
                "Quiet files closed to make room for others; they are opened when they grow",
            )?,
            listings: counter("listings_total", "Directories listed")?,
            turns: counter("turns_total", "Looks at the files of a stream")?,
            file_checks: counter(
                "file_checks_total",
                "Streams that were checked for changes of which the kernel did not tell",
            )?,
            directory_checks: counter(
                "directory_checks_total",
                "Directories that were checked for changes of which the kernel did not tell",
            )?,
        })
    }
}
