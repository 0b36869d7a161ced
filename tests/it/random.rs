//! Random moments that can be repeated.

use std::time::{SystemTime, UNIX_EPOCH};

/// A xorshift generator.
pub(crate) struct Random(u64);

impl Random {
    /// From `SAWLOG_TEST_SEED`, else from the clock; prints the seed.
    pub(crate) fn from_environment() -> Self {
        let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let given = std::env::var("SAWLOG_TEST_SEED").ok().map(|seed| seed.parse().unwrap());
        let seed: u64 = given.unwrap_or(clock.as_nanos() as u64);
        println!("SAWLOG_TEST_SEED={seed}");
        Self(seed | 1)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}
