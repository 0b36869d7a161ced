//! What the collector counts, under names beginning with `sawlog_collector_`.

mod load;
mod sandboxes;

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use crate::mesos::MesosMetrics;
use crate::redact::Event;
pub(crate) use load::Load;
pub(crate) use sandboxes::Sandboxes;

/// Makes metrics and registers them.
struct Names<'a>(&'a Registry);

impl Names<'_> {
    fn counter(&self, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
        let counter = IntCounter::new(format!("sawlog_collector_{name}"), help)?;
        self.0.register(Box::new(counter.clone()))?;
        Ok(counter)
    }

    fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
        let gauge = IntGauge::new(format!("sawlog_collector_{name}"), help)?;
        self.0.register(Box::new(gauge.clone()))?;
        Ok(gauge)
    }

    /// A counter for each value of a label.
    fn counters(
        &self,
        name: &str,
        help: &str,
        label: &str,
    ) -> Result<IntCounterVec, prometheus::Error> {
        let options = Opts::new(format!("sawlog_collector_{name}"), help);
        let counters = IntCounterVec::new(options, &[label])?;
        self.0.register(Box::new(counters.clone()))?;
        Ok(counters)
    }
}

/// The collector's metrics.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    pub read_bytes: IntCounter,
    pub reread_bytes: IntCounter,
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
    pub misfit_lines: IntCounter,
    pub skipped_files: IntCounterVec,
    pub redacted: IntCounterVec,
    pub endless_pem_blocks: IntCounter,
    pub secret_file_errors: IntCounter,
    pub scan_errors: IntCounter,
    pub checkpoint_errors: IntCounter,
    pub checkpoint_records_lost: IntCounter,
    /// By reason, see `PieceKind::loss`.
    pub lost_bytes: IntCounterVec,
    pub identity_changed: IntCounterVec,
    pub journal_gaps: IntCounter,
    pub mesos: MesosMetrics,
    /// What is held back, spilled and saved.
    pub load: Load,
    pub sandboxes: Sandboxes,
}

impl Metrics {
    /// Makes and registers all metrics.
    ///
    /// # Errors
    /// The registry already has metrics of these names: two collectors share it.
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let names = Names(registry);
        let counter = |name, help| names.counter(name, help);
        let gauge = |name, help| names.gauge(name, help);
        Ok(Self {
            read_bytes: counter("read_bytes_total", "Bytes of log files read")?,
            reread_bytes: counter("reread_bytes_total", "Bytes of lines' beginnings read again")?,
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
            skipped_files: names.counters("skipped_files_total", "Files left out", "reason")?,
            redacted: names.counters(
                "redacted_total",
                "Secrets replaced in lines, by kind; unscanned are lines replaced as a whole",
                "kind",
            )?,
            misfit_lines: counter(
                "misfit_lines_total",
                "Lines that did not fit the envelope of their file and were kept as they are",
            )?,
            lost_bytes: names.counters(
                "lost_bytes_total",
                "Bytes of log files that are lost, by reason",
                "reason",
            )?,
            identity_changed: names.counters(
                "identity_changed_total",
                "Inode numbers that were known and belong to another file now, by what told",
                "reason",
            )?,
            journal_gaps: counter(
                "journal_gaps_total",
                "Times the journal had deleted the entry up to which it was read",
            )?,
            load: Load::register(&names)?,
            sandboxes: Sandboxes::register(&names)?,
            endless_pem_blocks: counter(
                "endless_pem_blocks_total",
                "PEM blocks whose end was not found within the limits",
            )?,
            secret_file_errors: counter(
                "secret_file_errors_total",
                "Changed secret files that could not be used",
            )?,
            scan_errors: counter("scan_errors_total", "Directories or files not readable")?,
            checkpoint_errors: counter("checkpoint_errors_total", "Failed writes of checkpoints")?,
            checkpoint_records_lost: counter(
                "checkpoint_records_lost_total",
                "Checkpoint records that were damaged when the collector started",
            )?,
            mesos: MesosMetrics::register(registry)?,
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
