//! The time of a generated stream: it goes on with every line, and is written in the usual forms.

use super::put;
use super::random::Random;

/// Where all streams begin: 2025-03-03T06:00:00Z, long enough ago for every reader's clock.
const START_HOUR: u64 = 6;
const FIRST_DAY: u64 = 3;
const MICROS_PER_SECOND: u64 = 1_000_000;

/// The clock of one stream.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    /// Since the start of the first day.
    micros: u64,
    gap_micros: u64,
}

/// The parts of a moment.
struct Parts {
    day: u64,
    hour: u64,
    minute: u64,
    second: u64,
    micros: u64,
}

impl Clock {
    /// Lines are `gap_micros` apart on average.
    pub(crate) fn new(gap_micros: u64) -> Self {
        Self { micros: START_HOUR * 3600 * MICROS_PER_SECOND, gap_micros }
    }

    pub(crate) fn tick(&mut self, random: &mut Random) {
        self.micros += 1 + random.below(2 * self.gap_micros);
    }

    fn parts(&self) -> Parts {
        let seconds = self.micros / MICROS_PER_SECOND;
        let day = FIRST_DAY + seconds / 86_400;
        assert!(day <= 31, "a corpus lasts four weeks at most");
        Parts {
            day,
            hour: seconds / 3600 % 24,
            minute: seconds / 60 % 60,
            second: seconds % 60,
            micros: self.micros % MICROS_PER_SECOND,
        }
    }

    /// `2025-03-03T06:00:00.123456Z`
    pub(crate) fn put_rfc3339(&self, out: &mut Vec<u8>) {
        let Parts { day, hour, minute, second, micros } = self.parts();
        put!(out, "2025-03-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z");
    }

    /// `2025-03-03 06:00:00,123`
    pub(crate) fn put_log4j(&self, out: &mut Vec<u8>) {
        let Parts { day, hour, minute, second, micros } = self.parts();
        let millis = micros / 1000;
        put!(out, "2025-03-{day:02} {hour:02}:{minute:02}:{second:02},{millis:03}");
    }

    /// `[03/Mar/2025:06:00:00 +0000]`
    pub(crate) fn put_access(&self, out: &mut Vec<u8>) {
        let Parts { day, hour, minute, second, .. } = self.parts();
        put!(out, "[{day:02}/Mar/2025:{hour:02}:{minute:02}:{second:02} +0000]");
    }
}
