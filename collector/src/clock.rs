//! The moment of one turn of the loop, passed in, so that tests decide what time it is.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Both clocks at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Now {
    /// Since the collector started; never goes back.
    pub monotonic: Duration,
    /// Nanoseconds since the epoch.
    pub wall: i64,
}

impl Now {
    /// The machine's clocks.
    pub(crate) fn read(started: Instant) -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let wall = i64::try_from(since_epoch.as_nanos()).unwrap_or(i64::MAX);
        Self { monotonic: started.elapsed(), wall }
    }
}
