//! The last entry of each stream that has hot lines: what the stream's next run may continue.

use std::collections::HashMap;
use std::time::Duration;

use sawlog_transport::Piece;
use sawlog_transport::entries::{EntryCutter, may_continue};

use crate::hot::{Continued, HotRun};
use crate::streams::StreamNumber;

/// How long after its first line an entry is let go, although lines still continue it: until then it
/// holds back the positions of what is consumed.
const ENTRY_AGE_MAX: Duration = Duration::from_secs(60);

/// Partition and stream: arrival numbers are a partition's.
pub(crate) type Key = (u32, StreamNumber);

/// The last entry of a stream.
#[derive(Clone, Debug)]
pub(crate) struct OpenEntry {
    /// Arrival number of the run that it begins in.
    pub(crate) arrival: u64,
    /// Its first line in that run.
    pub(crate) line: usize,
    /// Arrival number of the stream's last run.
    pub(crate) last_run: u64,
    last_piece: Option<Piece>,
    cutter: EntryCutter,
    /// When its last line came: nanoseconds of the steady clock.
    came: i64,
    /// When its first line came.
    began: i64,
}

impl OpenEntry {
    /// Bytes of its text.
    pub(crate) fn bytes(&self) -> usize {
        self.cutter.bytes()
    }
}

/// The last entries of all streams with hot lines that are not being sealed.
#[derive(Debug, Default)]
pub(crate) struct OpenEntries(HashMap<Key, OpenEntry>);

impl OpenEntries {
    /// Takes a run that becomes hot, and tells it which of its lines belong to the entry before it.
    /// `now` is the steady clock's.
    pub(crate) fn add(&mut self, run: &mut HotRun, now: i64) {
        let key = (run.partition, run.number);
        let before = self.0.get(&key);
        let before = before.filter(|open| may_continue(open.last_piece.as_slice(), &run.pieces));
        let mut cutter = before.map(|open| open.cutter).unwrap_or_default();
        let (mut first, mut last) = (None, None);
        for (n, (flags, len)) in run.lines.flags.iter().zip(&run.lines.text_lens).enumerate() {
            if cutter.begins(*flags, *len) {
                first.get_or_insert(n);
                last = Some(n);
            }
        }
        let lines = first.unwrap_or(run.lines.len());
        run.continues = before
            .filter(|_| lines > 0)
            .map(|open| Continued { lines: lines as u32, of: open.last_run });
        let (arrival, line, began) = match (last, before) {
            (None, Some(open)) => (open.arrival, open.line, open.began),
            (last, _) => (run.arrival, last.unwrap_or(0), now),
        };
        let (last_run, last_piece) = (run.arrival, run.pieces.last().copied());
        let open = OpenEntry { arrival, line, last_run, last_piece, cutter, came: now, began };
        self.0.insert(key, open);
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut OpenEntry> {
        self.0.get_mut(&key)
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Leaves those whose last line came less than `wait` ago, and their first less than
    /// [`ENTRY_AGE_MAX`]: the latest of them first, and so many that all their `costs` together are at
    /// most `bytes_max`.
    pub(crate) fn keep_latest(
        &mut self,
        now: i64,
        wait: Duration,
        bytes_max: usize,
        costs: impl Fn(&OpenEntry) -> usize,
    ) {
        let age = |since: i64| u128::try_from(now.saturating_sub(since)).unwrap_or(0);
        self.0.retain(|_, open| {
            age(open.came) < wait.as_nanos() && age(open.began) < ENTRY_AGE_MAX.as_nanos()
        });
        let mut latest: Vec<(i64, Key)> = self.0.iter().map(|(k, o)| (o.came, *k)).collect();
        latest.sort_unstable_by(|a, b| b.cmp(a));
        let mut bytes = 0;
        for (_, key) in latest {
            bytes += self.0.get(&key).map_or(0, &costs);
            if bytes > bytes_max {
                self.0.remove(&key);
            }
        }
    }
}
