//! What one query may cost, what it has cost, and why it was ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sawlog_aggregator::{SliceReadError, StoreError, error_chain};

/// The limits of every query.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Text inflated, in bytes.
    pub scan_bytes_max: u64,
    /// Lines and labels held for an answer, in bytes.
    pub result_bytes_max: usize,
    /// Numbers (series × steps) of a metric query, all its operands together; a series' labels count
    /// as numbers of eight bytes too.
    pub cells_max: usize,
    pub time_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            scan_bytes_max: 64 << 30,
            result_bytes_max: 16 << 20,
            cells_max: 4_000_000,
            time_max: Duration::from_secs(60),
        }
    }
}

/// Why a query has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    #[error(
        "the query looked at {limit} bytes of text without an end: shorten the time range, or name an app"
    )]
    ScanLimit { limit: u64 },
    #[error("the answer is larger than {limit} bytes: lower the limit, or use /api/v1/export")]
    ResultLimit { limit: usize },
    #[error(
        "the answer has more than {limit} numbers (series × steps): group by fewer labels, or enlarge the step"
    )]
    CellLimit { limit: usize },
    #[error("the labels are larger than {limit} bytes together: name more labels in the selector")]
    LabelsLimit { limit: usize },
    #[error("the query took longer than {0:?}: shorten the time range, or name an app")]
    Timeout(Duration),
    #[error("the store was recovered meanwhile and replays what was not sealed: try again")]
    Recovered,
    #[error("the client took nothing for {0:?}")]
    ClientStopped(Duration),
    #[error("the client went away")]
    Cancelled,
    #[error("{0}")]
    Invalid(String),
    #[error("cannot read the store")]
    Store(#[from] StoreError),
}

/// What a query has cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Blocks and hot runs whose text was inflated.
    pub sources_inflated: u64,
    pub bytes_scanned: u64,
    pub lines_scanned: u64,
    pub lines_matched: u64,
}

/// One query's limits, costs and cancellation. Shared with whoever may cancel it.
#[derive(Debug)]
pub struct Budget {
    pub limits: Limits,
    started: Instant,
    cancelled: Arc<AtomicBool>,
    cells: AtomicUsize,
    checks: AtomicU64,
    inflated: AtomicU64,
    bytes: AtomicU64,
    lines: AtomicU64,
    matched: AtomicU64,
    /// What is missing from the answer, and why: shown to the asker.
    warnings: Mutex<Vec<String>>,
}

/// At most this many warnings are kept: one query may meet many damaged blocks.
const WARNINGS_MAX: usize = 20;

impl Budget {
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            started: Instant::now(),
            cancelled: Arc::default(),
            cells: AtomicUsize::new(0),
            checks: AtomicU64::new(0),
            inflated: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            lines: AtomicU64::new(0),
            matched: AtomicU64::new(0),
            warnings: Mutex::default(),
        }
    }

    /// Set it to true and the query ends at its next block.
    pub fn canceller(&self) -> Arc<AtomicBool> {
        self.cancelled.clone()
    }

    /// Called before each source: ends the query when it was cancelled or took too long.
    ///
    /// # Errors
    /// It is to end.
    pub fn check(&self) -> Result<(), QueryError> {
        self.checks.fetch_add(1, Ordering::Relaxed);
        if self.cancelled.load(Ordering::Relaxed) {
            return Err(QueryError::Cancelled);
        }
        if self.started.elapsed() > self.limits.time_max {
            return Err(QueryError::Timeout(self.limits.time_max));
        }
        Ok(())
    }

    /// How often it was asked whether to go on: about the sources, and slices, that were looked at.
    #[cfg(test)]
    pub(crate) fn checks(&self) -> u64 {
        self.checks.load(Ordering::Relaxed)
    }

    /// Called before a series is made.
    pub(crate) fn take_cells(&self, cells: usize) -> Result<(), QueryError> {
        let so_far = self.cells.fetch_add(cells, Ordering::Relaxed);
        if so_far.saturating_add(cells) > self.limits.cells_max {
            return Err(QueryError::CellLimit { limit: self.limits.cells_max });
        }
        Ok(())
    }

    /// Adds to what is said of the answer.
    pub fn warn(&self, text: String) {
        let mut warnings = self.warnings.lock();
        if warnings.len() < WARNINGS_MAX && !warnings.contains(&text) {
            warnings.push(text);
        }
    }

    /// Called before text is inflated.
    pub(crate) fn inflate(&self, bytes: usize) -> Result<(), QueryError> {
        self.inflated.fetch_add(1, Ordering::Relaxed);
        let so_far = self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        if so_far > self.limits.scan_bytes_max {
            return Err(QueryError::ScanLimit { limit: self.limits.scan_bytes_max });
        }
        Ok(())
    }

    pub(crate) fn count_lines(&self, scanned: u64, matched: u64) {
        self.lines.fetch_add(scanned, Ordering::Relaxed);
        self.matched.fetch_add(matched, Ordering::Relaxed);
    }

    /// Notes a block that cannot be read: the answer goes on without it and says so.
    pub(crate) fn damaged(&self, err: &SliceReadError) {
        let text = error_chain(err);
        tracing::error!(error = text, "a block is missing from an answer");
        self.warn(format!("partial result: {text}"));
    }

    pub fn warnings(&self) -> Vec<String> {
        self.warnings.lock().clone()
    }

    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    pub fn stats(&self) -> Stats {
        Stats {
            sources_inflated: self.inflated.load(Ordering::Relaxed),
            bytes_scanned: self.bytes.load(Ordering::Relaxed),
            lines_scanned: self.lines.load(Ordering::Relaxed),
            lines_matched: self.matched.load(Ordering::Relaxed),
        }
    }
}
