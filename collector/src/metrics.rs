//! What the collector counts, under names beginning with `sawlog_collector_`.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use crate::redact::Event;

/// The collector's metrics.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    pub read_bytes: IntCounter,
    pub read_lines: IntCounter,
    pub acked_bytes: IntCounter,
    pub batches_sent: IntCounter,
    pub send_retries: IntCounter,
    pub files_open: IntGauge,
    pub lag_bytes: IntGauge,
    pub in_flight_bytes: IntGauge,
    pub cut_bytes: IntCounter,
    pub truncations: IntCounter,
    pub lines_rejoined: IntCounter,
    pub partial_lines: IntCounter,
    pub skipped_files: IntCounterVec,
    pub redacted: IntCounterVec,
    pub endless_pem_blocks: IntCounter,
    pub secret_file_errors: IntCounter,
    pub scan_errors: IntCounter,
    pub checkpoint_errors: IntCounter,
    pub checkpoint_records_lost: IntCounter,
    pub lost_bytes: IntCounterVec,
    pub dropped_bytes: IntCounterVec,
    pub throttled_streams: IntGauge,
    pub pinned_deleted_bytes: IntGauge,
    pub spool_bytes: IntGauge,
    pub spilled_bytes: IntCounter,
    pub spool_errors: IntCounter,
    pub event_overflows: IntCounter,
    pub watch_errors: IntCounter,
    pub descriptor_shortages: IntCounter,
    pub parked_files: IntCounter,
    pub listings: IntCounter,
    pub turns: IntCounter,
}

impl Metrics {
    /// Makes and registers all metrics.
    ///
    /// # Errors
    /// The registry already has metrics of these names: two collectors share it.
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str| -> Result<IntCounter, prometheus::Error> {
            let counter = IntCounter::new(format!("sawlog_collector_{name}"), help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let gauge = |name: &str, help: &str| -> Result<IntGauge, prometheus::Error> {
            let gauge = IntGauge::new(format!("sawlog_collector_{name}"), help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let skipped =
            Opts::new("sawlog_collector_skipped_files_total", "Files left out, by reason");
        let skipped_files = IntCounterVec::new(skipped, &["reason"])?;
        registry.register(Box::new(skipped_files.clone()))?;
        let redacted = Opts::new(
            "sawlog_collector_redacted_total",
            "Secrets replaced in lines, by kind; unscanned are lines replaced as a whole",
        );
        let redacted = IntCounterVec::new(redacted, &["kind"])?;
        registry.register(Box::new(redacted.clone()))?;
        let by_reason = |name: &str, help: &str| -> Result<IntCounterVec, prometheus::Error> {
            let options = Opts::new(format!("sawlog_collector_{name}"), help);
            let counters = IntCounterVec::new(options, &["reason"])?;
            registry.register(Box::new(counters.clone()))?;
            Ok(counters)
        };
        Ok(Self {
            lost_bytes: by_reason("lost_bytes_total", "Bytes of log files lost, by reason")?,
            dropped_bytes: by_reason(
                "dropped_bytes_total",
                "Bytes of log files left out by a rule, by reason",
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
                "Times that no file or directory could be opened, as too many were open",
            )?,
            parked_files: counter(
                "parked_files_total",
                "Quiet files closed to make room for others; they are opened when they grow",
            )?,
            listings: counter("listings_total", "Directories listed")?,
            turns: counter("turns_total", "Looks at the files of a stream")?,
            read_bytes: counter("read_bytes_total", "Bytes of log files read")?,
            read_lines: counter("read_lines_total", "Lines read")?,
            acked_bytes: counter("acked_bytes_total", "Bytes of log files acknowledged")?,
            batches_sent: counter("batches_sent_total", "Batches the transport took")?,
            send_retries: counter("send_retries_total", "Batches sent again after a failure")?,
            files_open: gauge("files_open", "Log files held open")?,
            lag_bytes: gauge("lag_bytes", "Bytes in open files not yet acknowledged")?,
            in_flight_bytes: gauge("in_flight_bytes", "Text read and not yet acknowledged")?,
            cut_bytes: counter("cut_bytes_total", "Bytes of overlong lines left out")?,
            truncations: counter("truncations_total", "Files found truncated")?,
            lines_rejoined: counter("lines_rejoined_total", "Lines joined across a rotation")?,
            partial_lines: counter("partial_lines_total", "Last lines without a terminator")?,
            skipped_files,
            redacted,
            endless_pem_blocks: counter(
                "endless_pem_blocks_total",
                "PEM blocks whose end was not found within the limits",
            )?,
            secret_file_errors: counter(
                "secret_file_errors_total",
                "Changed secret files that could not be used",
            )?,
            scan_errors: counter(
                "scan_errors_total",
                "Directories or files that could not be read",
            )?,
            checkpoint_errors: counter("checkpoint_errors_total", "Failed writes of checkpoints")?,
            checkpoint_records_lost: counter(
                "checkpoint_records_lost_total",
                "Checkpoint records that were damaged when the collector started",
            )?,
        })
    }

    /// Counts what the redactor did.
    pub(crate) fn redaction(&self, event: Event) {
        match event {
            Event::Redacted(kind) => self.redacted.with_label_values(&[kind.name()]).inc(),
            Event::Unscanned => self.redacted.with_label_values(&["unscanned"]).inc(),
            Event::EndlessPem => self.endless_pem_blocks.inc(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_collectors_cannot_share_a_registry() {
        let registry = Registry::new();
        let metrics = Metrics::register(&registry).expect("first");
        metrics.skipped_files.with_label_values(&["binary"]).inc();
        assert!(Metrics::register(&registry).is_err());
        let names: Vec<String> =
            registry.gather().iter().map(|family| family.name().to_owned()).collect();
        assert!(names.contains(&"sawlog_collector_skipped_files_total".to_owned()));
        assert!(names.iter().all(|name| name.starts_with("sawlog_collector_")));
    }
}
