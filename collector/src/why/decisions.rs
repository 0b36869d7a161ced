//! What was decided about one file, and when: the last few, for people who ask why.

use std::fmt;
use std::io;

/// How many decisions are kept of each file.
const KEPT: usize = 6;

/// What was decided about a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Opened, to be read from its start.
    Opened,
    /// Opened, to be read from where its checkpoint stands.
    Resumed(u64),
    /// What had been read is gone: it is read from its start, for the n-th time.
    Truncated(u64),
    /// Its last line goes on in the next file.
    LineGoesOn,
    /// Its first bytes are the rest of a line that the file before it began.
    JoinedLine,
    /// Its unterminated end became a line.
    PartialLine,
    /// Reading failed.
    Unreadable(io::ErrorKind),
    /// Closed: read to its end, acknowledged, and nobody writes.
    Finished,
    /// Closed: read to its end and acknowledged, to make room for others.
    Parked,
    /// Closed: it is not text.
    NotText(&'static str),
}

/// What a file's bytes, or those of the files behind it, wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waits {
    /// The end of its last line, or certainty that there will be none.
    LineEnd,
    /// The same, and newer files of the stream wait for it.
    LineEndHoldingNewer,
}

/// The last decisions about one file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Decisions {
    /// With the time of each: nanoseconds since the epoch.
    ring: [Option<(i64, Decision)>; KEPT],
    /// How many there were.
    count: u32,
}

impl Decisions {
    /// Remembers a decision; of one that repeats the last, only the first time.
    pub(crate) fn note(&mut self, now: i64, decision: Decision) {
        if self.last() == Some(decision) {
            return;
        }
        self.ring[self.count as usize % KEPT] = Some((now, decision));
        self.count = self.count.wrapping_add(1);
    }

    pub(crate) fn last(&self) -> Option<Decision> {
        let at = (self.count.checked_sub(1)?) as usize % KEPT;
        self.ring[at].map(|(_, decision)| decision)
    }

    /// The oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (i64, Decision)> {
        let first = self.count as usize % KEPT;
        (0..KEPT).filter_map(move |at| self.ring[(first + at) % KEPT])
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Decision::Opened => f.write_str("opened, read from its start"),
            Decision::Resumed(offset) => {
                write!(f, "opened, read on at byte {offset}, where its checkpoint stands")
            }
            Decision::Truncated(n) => {
                write!(f, "truncated (for the {n}. time), read from its start")
            }
            Decision::LineGoesOn => {
                f.write_str("its last line was cut by a rotation and goes on in the next file")
            }
            Decision::JoinedLine => {
                f.write_str("its first bytes end a line that the file before it began")
            }
            Decision::PartialLine => f.write_str("its unterminated end became a line"),
            Decision::Unreadable(error) => write!(f, "reading failed: {error}"),
            Decision::Finished => {
                f.write_str("closed: read to its end, acknowledged, and nobody writes")
            }
            Decision::Parked => {
                f.write_str("closed to make room for others: read to its end and acknowledged")
            }
            Decision::NotText(what) => write!(f, "closed: not text but {what}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_few_are_kept_in_their_order_and_repetitions_are_one() {
        let mut decisions = Decisions::default();
        assert_eq!((decisions.last(), decisions.iter().count()), (None, 0));
        decisions.note(1, Decision::Opened);
        decisions.note(2, Decision::Opened);
        assert_eq!(decisions.iter().collect::<Vec<_>>(), [(1, Decision::Opened)]);
        for n in 0..20 {
            decisions.note(10 + n, Decision::Truncated(n as u64));
        }
        let times: Vec<i64> = decisions.iter().map(|(time, _)| time).collect();
        assert_eq!(times, [24, 25, 26, 27, 28, 29]);
        assert_eq!(decisions.last(), Some(Decision::Truncated(19)));
    }
}
