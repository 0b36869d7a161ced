//! Bytes in open files that are not acknowledged, summed up without asking quiet streams again.

use std::collections::{HashMap, HashSet};

use sawlog_transport::StreamId;

/// The lag of all streams.
#[derive(Debug, Default)]
pub(super) struct Lag {
    /// Of the streams that have one, in bytes.
    by_stream: HashMap<StreamId, u64>,
    total: u64,
    /// Streams whose lag may be another one now.
    touched: HashSet<StreamId>,
}

impl Lag {
    /// Something of a stream was read, acknowledged, or seen to have changed.
    pub(super) fn touch(&mut self, stream: StreamId) {
        self.touched.insert(stream);
    }

    /// Whether the sum may be another one now.
    pub(super) fn is_touched(&self) -> bool {
        !self.touched.is_empty()
    }

    /// The sum over all streams, in bytes; asks about those that were touched.
    pub(super) fn total(&mut self, of: impl Fn(StreamId) -> u64) -> u64 {
        for stream in self.touched.drain() {
            let bytes = of(stream);
            let before = match bytes {
                0 => self.by_stream.remove(&stream),
                bytes => self.by_stream.insert(stream, bytes),
            };
            self.total = self.total - before.unwrap_or(0) + bytes;
        }
        self.total
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_total_is_the_sum_and_only_what_was_touched_is_asked(
            steps in proptest::collection::vec((0..5usize, 0..9u64, any::<bool>()), 0..60),
        ) {
            let mut lag = Lag::default();
            let mut model = [0u64; 5];
            let mut touched = HashSet::new();
            for (n, bytes, is_asked) in steps {
                model[n] = bytes;
                lag.touch(StreamId(n as u128));
                touched.insert(n);
                if is_asked {
                    let asked = Cell::new(0);
                    let total = lag.total(|stream| {
                        asked.set(asked.get() + 1);
                        model[stream.0 as usize]
                    });
                    prop_assert_eq!(total, model.iter().sum::<u64>());
                    prop_assert_eq!(asked.get(), touched.len());
                    touched.clear();
                    prop_assert!(!lag.is_touched());
                }
            }
            prop_assert_eq!(lag.by_stream.values().sum::<u64>(), lag.total);
        }
    }
}
