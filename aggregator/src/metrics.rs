//! The aggregator's own metrics.

use crate::manifest::Expired;
use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// Counters and gauges, all present at zero from the start.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    pub(crate) batches: IntCounter,
    pub(crate) lines: IntCounter,
    pub(crate) text_bytes: IntCounter,
    pub(crate) duplicate_bytes: IntCounter,
    pub(crate) rejected_batches: IntCounterVec,
    pub(crate) missing_messages: IntCounter,
    pub(crate) waiting_partitions: IntGauge,
    pub(crate) seals: IntCounter,
    pub(crate) seal_failures: IntCounter,
    pub(crate) retention_failures: IntCounter,
    pub(crate) blocks: IntCounter,
    pub(crate) adopted_frames: IntCounter,
    pub(crate) filtered_blocks: IntCounter,
    pub(crate) damaged_filters: IntCounter,
    pub(crate) hot_bytes: IntGauge,
    pub(crate) streams: IntGauge,
    pub(crate) expired_slices: IntCounter,
    pub(crate) expired_bytes: IntCounter,
    pub(crate) store_bytes: IntGauge,
    pub(crate) oldest_record: IntGauge,
}

/// Why a batch was not taken: the values of `reason`.
pub(crate) const REASONS: [&str; 4] = ["magic", "version", "damaged", "inconsistent"];

impl Metrics {
    /// Registers everything.
    ///
    /// # Errors
    /// A name is registered already: two aggregators must not share a registry.
    pub(crate) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(format!("sawlog_aggregator_{name}"), help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(format!("sawlog_aggregator_{name}"), help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        Ok(Self {
            batches: counter("batches_total", "Batches consumed.")?,
            lines: counter("lines_total", "Lines taken.")?,
            text_bytes: counter("text_bytes_total", "Bytes of text taken, with terminators.")?,
            duplicate_bytes: counter(
                "duplicate_bytes_total",
                "Source bytes that came again and were not taken.",
            )?,
            rejected_batches: rejected_batches(registry)?,
            missing_messages: counter(
                "missing_messages_total",
                "Messages the transport no longer had or could not read.",
            )?,
            waiting_partitions: gauge("waiting_partitions", "Partitions that wait: see the log.")?,
            seals: counter("seals_total", "Seals that reached the manifest.")?,
            seal_failures: counter("seal_failures_total", "Seals that failed and were replayed.")?,
            retention_failures: counter(
                "retention_failures_total",
                "Times that dropping slices failed and the store was recovered.",
            )?,
            blocks: counter("blocks_total", "Blocks written.")?,
            adopted_frames: counter("adopted_frames_total", "Blocks stored as they came.")?,
            filtered_blocks: counter(
                "filtered_blocks_total",
                "Blocks that queries did not read since a filter rules them out.",
            )?,
            damaged_filters: counter(
                "damaged_filters_total",
                "Groups of filters found damaged: their blocks are read in vain.",
            )?,
            hot_bytes: gauge("hot_bytes", "Memory of runs that wait for the next seal, in bytes.")?,
            streams: gauge("streams", "Streams known.")?,
            expired_slices: counter(
                "expired_slices_total",
                "Slices that retention dropped in the life of the store.",
            )?,
            expired_bytes: counter(
                "expired_bytes_total",
                "Bytes of text before compression that retention dropped in the life of the store.",
            )?,
            store_bytes: gauge(
                "store_bytes",
                "What slices, catalog and what lies aside take on disk, in bytes.",
            )?,
            oldest_record: gauge(
                "oldest_record_timestamp_seconds",
                "Time of the oldest line in a slice; 0 if there is none.",
            )?,
        })
    }

    /// Sets the counters of what expired to what the manifest says; they never go back.
    pub(crate) fn set_expired(&self, expired: Expired) {
        let raise =
            |counter: &IntCounter, to: u64| counter.inc_by(to.saturating_sub(counter.get()));
        raise(&self.expired_slices, expired.slices);
        raise(&self.expired_bytes, expired.bytes);
    }
}

fn rejected_batches(registry: &Registry) -> prometheus::Result<IntCounterVec> {
    let counters = IntCounterVec::new(
        Opts::new("sawlog_aggregator_rejected_batches_total", "Batches that are no batches."),
        &["reason"],
    )?;
    registry.register(Box::new(counters.clone()))?;
    for reason in REASONS {
        counters.with_label_values(&[reason]);
    }
    Ok(counters)
}
