//! Which sizes of messages the transport refuses, as far as it has shown lately.
//!
//! A broker judges what is written at once, which may be several messages: one that was refused in
//! company is sent alone, and only what is refused alone is too large itself.

use std::time::Duration;

/// How long a refusal is remembered: the limit may have been raised meanwhile.
const CAREFUL_FOR: Duration = Duration::from_secs(30);

/// What refusals have taught.
#[derive(Debug, Default)]
pub(super) struct Sizes {
    /// The smallest message that was refused alone, in bytes.
    refused: Option<usize>,
    /// The largest message that was stored since, in bytes.
    proven: usize,
    /// Until when care is taken (monotonic); `None`: nothing was refused.
    careful_until: Option<Duration>,
}

impl Sizes {
    /// A message was refused as too large; `alone`: nothing else was under way.
    pub(super) fn refused(&mut self, bytes: usize, alone: bool, now: Duration) {
        self.careful_until = Some(now + CAREFUL_FOR);
        if alone {
            self.refused = Some(self.refused.map_or(bytes, |known| known.min(bytes)));
        }
        // The limit is lower than it was.
        self.proven = self.proven.min(bytes.saturating_sub(1));
    }

    /// A message was stored.
    pub(super) fn stored(&mut self, bytes: usize) {
        if self.careful_until.is_some() {
            self.proven = self.proven.max(bytes);
            self.refused = self.refused.filter(|refused| *refused > bytes);
        }
    }

    /// Forgets what was refused long ago.
    pub(super) fn forget(&mut self, now: Duration) {
        if self.careful_until.is_some_and(|until| until <= now) {
            *self = Self::default();
        }
    }

    /// Whether as large a message was refused.
    pub(super) fn is_too_large(&self, bytes: usize) -> bool {
        self.refused.is_some_and(|refused| bytes >= refused)
    }

    /// Whether a message may go while others of `under_way` bytes do: all together may be written at
    /// once.
    pub(super) fn may_join(&self, bytes: usize, under_way: usize) -> bool {
        self.careful_until.is_none() || under_way == 0 || under_way + bytes <= self.proven
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1);

    #[test]
    fn without_a_refusal_everything_goes() {
        let mut sizes = Sizes::default();
        sizes.stored(5);
        assert!(sizes.may_join(1 << 20, 1 << 24) && !sizes.is_too_large(usize::MAX));
    }

    #[test]
    fn company_is_what_was_stored_before() {
        let mut sizes = Sizes::default();
        sizes.refused(500, false, NOW);
        assert!(sizes.may_join(500, 0) && !sizes.may_join(1, 1) && !sizes.is_too_large(500));
        sizes.stored(400);
        assert!(sizes.may_join(100, 300) && !sizes.may_join(100, 301));
        sizes.refused(400, false, NOW);
        assert!(!sizes.may_join(100, 300), "the limit was lowered again");
    }

    #[test]
    fn what_is_refused_alone_is_too_large_until_as_much_is_stored_or_time_has_passed() {
        let mut sizes = Sizes::default();
        sizes.refused(500, true, NOW);
        sizes.refused(300, true, NOW);
        sizes.refused(400, true, NOW);
        assert!(sizes.is_too_large(300) && !sizes.is_too_large(299));
        sizes.stored(299);
        assert!(sizes.is_too_large(300));
        sizes.stored(300);
        assert!(!sizes.is_too_large(500));
        sizes.refused(500, true, NOW);
        sizes.forget(NOW + CAREFUL_FOR - Duration::from_millis(1));
        assert!(sizes.is_too_large(500));
        sizes.forget(NOW + CAREFUL_FOR);
        assert!(!sizes.is_too_large(500) && sizes.may_join(9, 9));
    }
}
