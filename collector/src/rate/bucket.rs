//! Bytes that come at a rate and may be spent, also ahead of time: the debt is waited for.

use std::time::Duration;

/// The least time for which anybody waits.
pub(super) const GRAIN: Duration = Duration::from_millis(10);

/// A token bucket that holds one second of its rate.
#[derive(Debug)]
pub(super) struct Bucket {
    bytes_per_second: u64,
    /// Nanobytes: bytes × 10⁹, so that no time is rounded away. Negative: a debt.
    tokens: i128,
    at: Duration,
}

const NANO: i128 = 1_000_000_000;

impl Bucket {
    /// A full bucket.
    pub(super) fn new(bytes_per_second: u64, now: Duration) -> Self {
        Self { bytes_per_second, tokens: i128::from(bytes_per_second) * NANO, at: now }
    }

    /// Whether anything may be spent.
    pub(super) fn has_some(&mut self, now: Duration) -> bool {
        self.fill(now);
        self.tokens > 0
    }

    /// Spends bytes; more than there are become a debt.
    pub(super) fn take(&mut self, bytes: u64, now: Duration) {
        self.fill(now);
        self.tokens -= i128::from(bytes) * NANO;
    }

    /// When something may be spent again.
    pub(super) fn ready_at(&mut self, now: Duration) -> Duration {
        self.fill(now);
        if self.tokens > 0 {
            return now;
        }
        let nanos = -self.tokens / i128::from(self.bytes_per_second.max(1)) + 1;
        now.saturating_add(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }

    fn fill(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.at);
        self.at = self.at.max(now);
        let full = i128::from(self.bytes_per_second) * NANO;
        let come = i128::from(self.bytes_per_second).saturating_mul(passed.as_nanos() as i128);
        self.tokens = self.tokens.saturating_add(come).min(full);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_a_second_and_waits_for_its_debts() {
        let at = Duration::from_secs;
        let mut bucket = Bucket::new(100, at(0));
        bucket.take(99, at(50));
        assert!(bucket.has_some(at(50)));
        bucket.take(301, at(50));
        assert!(!bucket.has_some(at(52)));
        assert_eq!(bucket.ready_at(at(52)).as_secs(), 53);
        assert!(!bucket.has_some(at(53)));
        assert!(bucket.has_some(at(53) + GRAIN));
    }

    #[test]
    fn the_slowest_rate_and_the_longest_time_do_not_overflow() {
        let long = Duration::from_secs(1 << 40);
        let mut bucket = Bucket::new(u64::MAX, Duration::ZERO);
        bucket.take(u64::MAX, long);
        assert!(!bucket.has_some(long) && bucket.ready_at(long) > long);
        let mut bucket = Bucket::new(1, Duration::ZERO);
        bucket.take(u64::MAX / 2, Duration::ZERO);
        assert!(bucket.ready_at(Duration::ZERO) > Duration::from_secs(1 << 33));
    }
}
