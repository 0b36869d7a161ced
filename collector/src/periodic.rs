//! Something done every so often, on a clock that is passed in.

use std::time::Duration;

/// Something done every so often.
#[derive(Debug)]
pub(crate) struct Periodic {
    every: Duration,
    next: Duration,
    count: u64,
}

impl Periodic {
    pub(crate) fn new(every: Duration, now: Duration) -> Self {
        Self { every, next: now + every, count: 0 }
    }

    /// The how manieth time it is due, from 1; `None` while it is not.
    pub(crate) fn due(&mut self, now: Duration) -> Option<u64> {
        if now < self.next {
            return None;
        }
        self.next = now + self.every;
        self.count += 1;
        Some(self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_due_once_a_period_and_does_not_catch_up() {
        let at = Duration::from_secs;
        let mut periodic = Periodic::new(at(10), at(5));
        let found = [14, 15, 16, 25, 99, 100, 109].map(|now| periodic.due(at(now)));
        assert_eq!(found, [None, Some(1), None, Some(2), Some(3), None, Some(4)]);
    }
}
