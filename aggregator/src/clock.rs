//! The clocks, passed in so that tests say what time it is.

use std::fmt;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Tells the time: the wall's, which people and NTP set, and that of a clock which nobody sets.
/// Cloning shares it.
#[derive(Clone)]
pub struct Clock {
    wall: Arc<dyn Fn() -> i64 + Send + Sync>,
    steady: Arc<dyn Fn() -> i64 + Send + Sync>,
}

impl Clock {
    /// The machine's clocks; the wall clock gives 0 before 1970.
    pub fn system() -> Self {
        let start = Instant::now();
        let wall = || {
            let since = SystemTime::now().duration_since(UNIX_EPOCH);
            since.map_or(0, |since| i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
        };
        let steady = move || i64::try_from(start.elapsed().as_nanos()).unwrap_or(i64::MAX);
        Self::new(wall, steady)
    }

    /// Clocks that ask `wall` and `steady`, see [`Self::now`] and [`Self::steady`].
    pub fn new(
        wall: impl Fn() -> i64 + Send + Sync + 'static,
        steady: impl Fn() -> i64 + Send + Sync + 'static,
    ) -> Self {
        Self { wall: Arc::new(wall), steady: Arc::new(steady) }
    }

    /// Nanoseconds since the epoch.
    pub fn now(&self) -> i64 {
        (self.wall)()
    }

    /// Nanoseconds since some moment; never goes back, and only differences mean something.
    pub fn steady(&self) -> i64 {
        (self.steady)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.now())
    }
}
