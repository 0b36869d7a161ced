//! Where a file was read up to, one time after the other, with what lay before: a copy that ends before
//! the last of these places is known by an earlier one.

use crate::identity::Facts;
use crate::tail_hash::TailHash;

/// Places kept of one file, 24 bytes each: close to each other near the position, and ever further apart.
const MARKS_MAX: usize = 8;
/// The file has not been looked at since.
const NOT_KNOWN: i64 = i64::MAX;

/// One place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    offset: u64,
    hash: u64,
    /// The file's modification time when it was seen to reach this far.
    there_at: i64,
}

/// Some of the places at which reading stopped, in the order of their offsets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Marks(Vec<Mark>);

impl Marks {
    /// The file was read up to here; `facts` are those of the last look at it, maybe before all of this
    /// was written.
    pub(super) fn push(&mut self, offset: u64, tail: TailHash, facts: &Facts) {
        let there_at = |offset| if offset <= facts.size { facts.modified } else { NOT_KNOWN };
        if offset == 0 {
            return;
        }
        while self.0.last().is_some_and(|mark| mark.offset >= offset) {
            self.0.pop();
        }
        if let Some(last) = self.0.last_mut().filter(|mark| mark.there_at == NOT_KNOWN) {
            last.there_at = there_at(last.offset);
        }
        if self.0.is_empty() {
            // Most files are read once and then are quiet: they pay for one place.
            self.0.reserve_exact(1);
        }
        self.0.push(Mark { offset, hash: tail.hash, there_at: there_at(offset) });
        if self.0.len() > MARKS_MAX {
            self.thin_out(offset);
        }
    }

    /// Takes out the mark whose neighbours are closest, measured by how far they are from the end.
    fn thin_out(&mut self, end: u64) {
        let closeness = |at: &usize| {
            let (before, after) = (self.0[at - 1].offset, self.0[at + 1].offset);
            let distance = u128::from(end - before);
            // As an integer, since floating point has no total order.
            (u128::from(after - before) << 64) / distance
        };
        if let Some(at) = (1..self.0.len() - 1).min_by_key(closeness) {
            self.0.remove(at);
        }
    }

    /// The last of the places in the first `size` bytes.
    pub(crate) fn within(&self, size: u64) -> Option<(u64, TailHash)> {
        let mark = self.0.iter().rev().find(|mark| mark.offset <= size)?;
        Some((mark.offset, TailHash::at(mark.offset, mark.hash)))
    }

    /// Whether all beyond the first `size` bytes may have been written after a file was made
    /// (nanoseconds since the epoch, as the file system tells).
    pub(crate) fn may_be_written_after(&self, size: u64, birth_time: i64) -> bool {
        let beyond = self.0.iter().find(|mark| mark.offset > size);
        beyond.is_none_or(|mark| mark.there_at >= birth_time)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tail::tests::open;

    fn facts(size: u64, modified: i64) -> Facts {
        let file = tempfile::NamedTempFile::new().expect("temp file");
        Facts { size, modified, ..open(file.path()).facts }
    }

    fn offsets(marks: &Marks) -> Vec<u64> {
        marks.0.iter().map(|mark| mark.offset).collect()
    }

    #[test]
    fn what_was_read_before_it_was_seen_is_dated_by_the_next_look() {
        let mut marks = Marks::default();
        marks.push(10, TailHash::start(), &facts(10, 1));
        marks.push(30, TailHash::start(), &facts(20, 2));
        assert!(marks.may_be_written_after(20, 9), "nobody knows");
        marks.push(40, TailHash::start(), &facts(40, 4));
        let may_be = |size, birth| marks.may_be_written_after(size, birth);
        assert_eq!([may_be(9, 1), may_be(9, 2)], [true, false]);
        assert_eq!([may_be(20, 4), may_be(20, 5)], [true, false]);
        assert!(may_be(40, 9), "nothing was read beyond");
        assert_eq!(marks.within(29).map(|(offset, _)| offset), Some(10));
        assert_eq!(marks.within(9), None);
    }

    #[test]
    fn going_back_forgets_what_lies_ahead() {
        let mut marks = Marks::default();
        for offset in [10, 20, 30, 20] {
            marks.push(offset, TailHash::start(), &facts(30, 1));
        }
        assert_eq!(offsets(&marks), [10, 20]);
    }

    proptest! {
        #[test]
        fn they_are_few_and_the_closer_to_the_end_the_closer_together(
            steps in proptest::collection::vec(1..10_000u64, 1..400),
        ) {
            let (mut marks, mut at) = (Marks::default(), 0);
            let facts = facts(u64::MAX, 1);
            for step in &steps {
                at += step;
                marks.push(at, TailHash::start(), &facts);
            }
            let kept = offsets(&marks);
            prop_assert_eq!(kept.len(), steps.len().min(MARKS_MAX));
            prop_assert_eq!((kept[0], *kept.last().expect("one")), (steps[0], at));
            prop_assert!(kept.is_sorted());
        }

        #[test]
        fn of_even_steps_those_near_the_end_stay(count in 9..3000u64) {
            let mut marks = Marks::default();
            let facts = facts(u64::MAX, 1);
            for at in 1..=count {
                marks.push(at * 100, TailHash::start(), &facts);
            }
            let end = count * 100;
            for size in (end / 2)..end {
                let (offset, _) = marks.within(size).expect("the first one stays");
                prop_assert!(end - offset <= (end - size) * 16 + 800, "{size}: {:?}", offsets(&marks));
            }
        }
    }
}
