//! How much disk space deleted files keep, because they are open and not acknowledged.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::time::Duration;

use sawlog_transport::StreamId;

use crate::checkpoint::Checkpoints;
use crate::stream::Stream;

/// What a file system may hold of a file without a block of its own, or before it has chosen one.
const UNALLOCATED_BYTES_MAX: u64 = 64 * 1024;

/// The streams with deleted files that are not acknowledged, the oldest deletion first.
#[derive(Debug, Default)]
pub(crate) struct Pinned {
    streams: HashMap<StreamId, (u64, Held)>,
    order: BTreeMap<u64, StreamId>,
    next: u64,
    total: Held,
}

/// Bytes of deleted files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    /// Not acknowledged.
    pub bytes: u64,
    /// Of these, not read.
    pub unread: u64,
    /// On the disk, of files that are acknowledged and only held because nobody can tell whether
    /// somebody will still write to them.
    pub kept: u64,
}

impl Held {
    /// What a stream holds. Looks at its files that have no name any more.
    ///
    /// # Errors
    /// A file cannot be looked at.
    pub(crate) fn of(
        stream: &mut Stream,
        checkpoints: &Checkpoints,
        now: Duration,
    ) -> io::Result<Self> {
        let mut held = Self::default();
        for file in stream.files.iter_mut().filter(|file| file.name.is_none()) {
            file.look(now)?;
            if !file.is_deleted() {
                continue;
            }
            let acknowledged = checkpoints
                .get(&file.identity)
                .filter(|progress| progress.truncations == file.truncations)
                .map_or(0, |progress| progress.offset);
            // Holes hold no disk space.
            let most = file.facts.allocated.saturating_add(UNALLOCATED_BYTES_MAX);
            let bytes = file.facts.size.saturating_sub(acknowledged);
            if bytes == 0 && file.has_unknown_writers() {
                held.kept += file.facts.allocated;
            }
            held.bytes += bytes.min(most);
            held.unread += file.unread().min(most);
        }
        Ok(held)
    }
}

impl Pinned {
    /// Bytes not acknowledged.
    pub(crate) fn bytes(&self) -> u64 {
        self.total.bytes
    }

    /// Bytes not read.
    pub(crate) fn unread(&self) -> u64 {
        self.total.unread
    }

    /// Bytes that closing files would free, now or once they are acknowledged.
    pub(crate) fn held(&self) -> u64 {
        self.total.bytes + self.total.kept
    }

    /// Up to `most` streams that hold files which are acknowledged, the oldest first.
    pub(crate) fn oldest_kept(&self, most: usize) -> Vec<StreamId> {
        let keeps =
            |stream: &&StreamId| self.streams.get(stream).is_some_and(|(_, held)| held.kept > 0);
        self.order.values().filter(keeps).take(most).copied().collect()
    }

    /// Whether a stream holds anything.
    pub(crate) fn has(&self, stream: StreamId) -> bool {
        self.streams.contains_key(&stream)
    }

    /// What of a stream's deleted files is not read, in bytes.
    pub(crate) fn unread_of(&self, stream: StreamId) -> u64 {
        self.streams.get(&stream).map_or(0, |(_, held)| held.unread)
    }

    /// Up to `most` streams with something unread, the oldest first.
    pub(crate) fn oldest_unread(&self, most: usize) -> Vec<StreamId> {
        let unread = self.order.values().filter(|stream| self.unread_of(**stream) > 0);
        unread.take(most).copied().collect()
    }

    /// Notes what a stream holds now.
    pub(crate) fn set(&mut self, stream: StreamId, held: Held) {
        if let Some((number, before)) = self.streams.remove(&stream) {
            self.total.bytes -= before.bytes;
            self.total.unread -= before.unread;
            self.total.kept -= before.kept;
            if held == Held::default() {
                self.order.remove(&number);
                return;
            }
            self.streams.insert(stream, (number, held));
        } else if held == Held::default() {
            return;
        } else {
            self.order.insert(self.next, stream);
            self.streams.insert(stream, (self.next, held));
            self.next += 1;
        }
        self.total.bytes += held.bytes;
        self.total.unread += held.unread;
        self.total.kept += held.kept;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_oldest_deletion_comes_first() {
        let mut pinned = Pinned::default();
        let held = |bytes, unread| Held { bytes, unread, kept: 0 };
        for (n, bytes) in [(3, 5), (1, 6), (2, 7)] {
            pinned.set(StreamId(n), held(bytes, bytes));
        }
        pinned.set(StreamId(3), held(5, 0));
        assert_eq!(pinned.oldest_unread(9), [StreamId(1), StreamId(2)]);
        pinned.set(StreamId(1), Held::default());
        pinned.set(StreamId(1), held(1, 1));
        assert_eq!(pinned.oldest_unread(9), [StreamId(2), StreamId(1)]);
        assert_eq!((pinned.bytes(), pinned.unread()), (13, 8));
        assert!(pinned.has(StreamId(3)));
    }

    proptest! {
        #[test]
        fn totals_are_sums(steps in proptest::collection::vec((0..5u128, 0..9u64, 0..9u64), 0..60)) {
            let mut pinned = Pinned::default();
            let mut model = HashMap::new();
            for (n, bytes, unread) in steps {
                let kept = bytes / 2;
                pinned.set(StreamId(n), Held { bytes, unread, kept });
                model.insert(n, (bytes, unread));
            }
            let kept = model.values().map(|(bytes, _)| bytes / 2).sum::<u64>();
            prop_assert_eq!(pinned.held(), pinned.bytes() + kept);
            prop_assert_eq!(
                pinned.oldest_kept(9).len(),
                model.values().filter(|(bytes, _)| bytes / 2 > 0).count()
            );
            prop_assert_eq!(pinned.bytes(), model.values().map(|(bytes, _)| bytes).sum::<u64>());
            prop_assert_eq!(pinned.unread(), model.values().map(|(_, unread)| unread).sum::<u64>());
            let unread = model.values().filter(|(_, unread)| *unread > 0).count();
            prop_assert_eq!(pinned.oldest_unread(9).len(), unread);
            prop_assert_eq!(pinned.order.len(), pinned.streams.len());
        }
    }
}
