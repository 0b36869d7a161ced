//! The query side's own metrics.

use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

/// Counters, gauges and histograms of the HTTP API.
pub(super) struct Metrics {
    /// Requests running or waiting to run, by kind.
    pub(super) running: IntGaugeVec,
    pub(super) requests: IntCounterVec,
    pub(super) duration: HistogramVec,
    pub(super) scanned_bytes: IntCounter,
    pub(super) pushed_entries: IntCounter,
    pub(super) push_retries: IntCounter,
    pub(super) tail_clients: IntGauge,
    pub(super) tail_dropped_lines: IntCounter,
}

impl Metrics {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let this = Self {
            running: IntGaugeVec::new(
                Opts::new("sawlog_requests_running", "Requests running or waiting to run."),
                &["kind"],
            )?,
            requests: IntCounterVec::new(
                Opts::new("sawlog_query_requests_total", "Requests answered."),
                &["route", "code"],
            )?,
            duration: HistogramVec::new(
                HistogramOpts::new("sawlog_query_duration_seconds", "Time to answer a query."),
                &["kind"],
            )?,
            scanned_bytes: IntCounter::new(
                "sawlog_query_scanned_bytes_total",
                "Text that queries inflated, in bytes.",
            )?,
            pushed_entries: IntCounter::new("sawlog_push_entries_total", "Entries pushed.")?,
            push_retries: IntCounter::new(
                "sawlog_push_retries_total",
                "Pushed entries that were held already.",
            )?,
            tail_clients: IntGauge::new("sawlog_query_tail_clients", "Live tails running.")?,
            tail_dropped_lines: IntCounter::new(
                "sawlog_query_tail_dropped_lines_total",
                "Lines that were not sent to a tail because its reader was slow.",
            )?,
        };
        registry.register(Box::new(this.running.clone()))?;
        registry.register(Box::new(this.requests.clone()))?;
        registry.register(Box::new(this.duration.clone()))?;
        registry.register(Box::new(this.scanned_bytes.clone()))?;
        registry.register(Box::new(this.pushed_entries.clone()))?;
        registry.register(Box::new(this.push_retries.clone()))?;
        registry.register(Box::new(this.tail_clients.clone()))?;
        registry.register(Box::new(this.tail_dropped_lines.clone()))?;
        Ok(this)
    }
}
