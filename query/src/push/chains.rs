//! Which nanoseconds of one stream are taken: entries with equal times stand behind each other.

use std::collections::{BTreeSet, HashMap};

/// Which nanoseconds of a stream are taken, and by what. Entries with equal times stand in a chain of
/// neighbouring nanoseconds.
#[derive(Debug, Default)]
pub(super) struct Chains {
    /// A taken nanosecond → one further on in its chain, or just behind it (path compression).
    next: HashMap<i64, i64>,
    /// Content → the times at which it is held and was not yet found again by this request.
    held: HashMap<u128, BTreeSet<i64>>,
}

impl Chains {
    pub(super) fn hold(&mut self, time: i64, content: u128) {
        self.next.insert(time, time + 1);
        self.held.entry(content).or_default().insert(time);
    }

    pub(super) fn is_held(&self, time: i64) -> bool {
        self.next.contains_key(&time)
    }

    /// The first free nanosecond from `time` on.
    fn free_from(&mut self, time: i64) -> i64 {
        let mut at = time;
        let mut passed = Vec::new();
        while let Some(next) = self.next.get(&at) {
            passed.push(at);
            at = *next;
        }
        for step in passed {
            self.next.insert(step, at);
        }
        at
    }

    /// Where a pushed entry goes; `None` if it is held in the chain that begins at its time. Each
    /// held entry answers for one pushed entry only.
    pub(super) fn place(&mut self, time: i64, content: u128) -> Option<i64> {
        let free = self.free_from(time);
        if let Some(times) = self.held.get_mut(&content)
            && let Some(held) = times.range(time..free).next().copied()
        {
            times.remove(&held);
            return None;
        }
        self.next.insert(free, free + 1);
        Some(free)
    }
}

/// Line and metadata in 128 bits: no two contents of one stream will ever meet in it.
pub(super) fn content_hash(line: &[u8], metadata: &[u8]) -> u128 {
    let mut hasher = xxhash_rust::xxh3::Xxh3::new();
    hasher.update(&(line.len() as u64).to_le_bytes());
    hasher.update(line);
    hasher.update(metadata);
    hasher.digest128()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn place_all(chains: &mut Chains, entries: &[(i64, u128)]) -> Vec<Option<i64>> {
        entries.iter().map(|(time, content)| chains.place(*time, *content)).collect()
    }

    /// What a first request stored, a second try of it finds, entry for entry.
    fn retry_of(entries: &[(i64, u128)]) -> Vec<Option<i64>> {
        let mut first = Chains::default();
        let placed = place_all(&mut first, entries);
        let mut second = Chains::default();
        for (time, (_, content)) in placed.iter().zip(entries) {
            second.hold(time.expect("nothing was held before"), *content);
        }
        place_all(&mut second, entries)
    }

    #[test]
    fn equal_times_go_to_the_next_free_nanosecond() {
        let mut chains = Chains::default();
        chains.hold(7, 1);
        let placed = place_all(&mut chains, &[(5, 2), (5, 3), (6, 4), (5, 5), (7, 1)]);
        assert_eq!(placed, [Some(5), Some(6), Some(8), Some(9), None]);
    }

    #[test]
    fn an_entry_next_to_its_shifted_twin_is_kept_and_retried_once() {
        let (a, b) = (1, 2);
        let entries = [(10, a), (10, b), (11, b)];
        assert_eq!(place_all(&mut Chains::default(), &entries), [Some(10), Some(11), Some(12)]);
        assert_eq!(retry_of(&entries), [None; 3]);
    }

    proptest::proptest! {
        #[test]
        fn a_retry_adds_nothing(
            mut entries in proptest::collection::vec((0i64..12, 0u128..6), 0..40),
        ) {
            let mut seen = HashSet::new();
            entries.retain(|entry| seen.insert(*entry));
            proptest::prop_assert_eq!(retry_of(&entries), vec![None; entries.len()]);
        }
    }

    /// A chain of a hundred thousand equal times is passed in few steps each.
    #[test]
    fn many_equal_times_are_not_walked_one_by_one() {
        let mut chains = Chains::default();
        for n in 0..100_000u32 {
            assert_eq!(chains.place(5, u128::from(n)), Some(5 + i64::from(n)));
        }
        assert_eq!(chains.place(5, 99_999), Some(100_005), "not held before this request");
    }
}
