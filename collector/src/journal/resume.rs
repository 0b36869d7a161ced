//! Goes on in the journal where the last run ended, and notices if it has forgotten that place.

use super::export::Entry;

/// What an entry is to a run that goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    New,
    /// The one up to which the lines are already in the files.
    Known,
    /// New, and the one up to which it was read is gone: others between them may be gone, too.
    BehindGap,
}

/// The beginning of one run.
#[derive(Debug)]
pub(super) struct Resume {
    /// Where it begins, until its first entry has come.
    cursor: Option<Vec<u8>>,
    /// Whether the run shows the entry of the cursor if there is one.
    shows_cursor: bool,
}

impl Resume {
    /// A run from `cursor` on, which may be empty.
    pub(super) fn new(cursor: &str, shows_cursor: bool) -> Self {
        let cursor = (!cursor.is_empty()).then(|| cursor.as_bytes().to_vec());
        Self { cursor, shows_cursor }
    }

    /// Looks at the next entry of the run.
    pub(super) fn see(&mut self, entry: &Entry) -> Seen {
        match self.cursor.take() {
            Some(cursor) if cursor == entry.cursor => Seen::Known,
            Some(_) if self.shows_cursor => Seen::BehindGap,
            _ => Seen::New,
        }
    }

    /// Whether no entry has come yet that could tell.
    pub(super) fn is_open(&self) -> bool {
        self.cursor.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(cursor: &str, shows_cursor: bool) -> [Seen; 2] {
        let mut resume = Resume::new(cursor, shows_cursor);
        ["b", "c"].map(|cursor| resume.see(&Entry { cursor: cursor.into(), ..Entry::default() }))
    }

    #[test]
    fn only_the_first_entry_can_be_known_or_tell_of_a_gap() {
        assert_eq!(seen("", true), [Seen::New, Seen::New]);
        assert_eq!(seen("b", true), [Seen::Known, Seen::New]);
        assert_eq!(seen("c", true), [Seen::BehindGap, Seen::New]);
        assert_eq!(seen("a", false), [Seen::New, Seen::New]);
    }
}
