//! Which batches of the spool are still needed: those not delivered, in order, and who delivers them.

use std::collections::{BTreeSet, HashMap, HashSet};

/// The offsets of a spool. Everything before `front` is needed no more.
#[derive(Debug, Default)]
pub(super) struct Offsets {
    front: u64,
    /// Of everything before it is known who delivers it.
    known: u64,
    /// Delivered, beyond the front.
    done: BTreeSet<u64>,
    /// Batches that are in flight beside the spool, by their numbers: the spool delivers them only
    /// after a restart.
    elsewhere: HashMap<u64, u64>,
    elsewhere_offsets: HashSet<u64>,
}

impl Offsets {
    /// A spool with the batches `front..end`, all of which it delivers.
    pub(super) fn new(front: u64, end: u64) -> Self {
        Self { front, known: end, ..Self::default() }
    }

    /// Of everything before this offset it is known who delivers it.
    pub(super) fn known(&self) -> u64 {
        self.known
    }

    /// The batch at this offset is durable; what else is said of it was said before.
    pub(super) fn know(&mut self, offset: u64) {
        self.known = self.known.max(offset + 1);
    }

    pub(super) fn front(&self) -> u64 {
        self.front
    }

    /// Whether the spool has to deliver it.
    pub(super) fn is_ours(&self, offset: u64) -> bool {
        self.is_needed(offset) && !self.elsewhere_offsets.contains(&offset)
    }

    /// Whether it is not delivered.
    pub(super) fn is_needed(&self, offset: u64) -> bool {
        offset >= self.front && !self.done.contains(&offset)
    }

    /// The batch of this number is in flight too.
    pub(super) fn is_elsewhere(&mut self, number: u64, offset: u64) {
        self.elsewhere.insert(number, offset);
        self.elsewhere_offsets.insert(offset);
    }

    /// The batch of this number, which was in flight too, is delivered.
    pub(super) fn delivered_elsewhere(&mut self, number: u64) {
        if let Some(offset) = self.elsewhere.remove(&number) {
            self.elsewhere_offsets.remove(&offset);
            self.delivered(offset);
        }
    }

    pub(super) fn delivered(&mut self, offset: u64) {
        if offset >= self.front {
            self.done.insert(offset);
            self.advance();
        }
    }

    /// Nothing before `upto` is needed any more.
    pub(super) fn give_up(&mut self, upto: u64) {
        self.front = self.front.max(upto);
        self.done = self.done.split_off(&self.front);
        self.advance();
    }

    fn advance(&mut self) {
        while self.done.remove(&self.front) {
            self.front += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_front_moves_contiguously() {
        let mut offsets = Offsets::new(10, 15);
        offsets.delivered(9);
        offsets.delivered(12);
        offsets.is_elsewhere(77, 11);
        assert_eq!(
            (offsets.front(), offsets.is_ours(11), offsets.is_needed(11)),
            (10, false, true)
        );
        offsets.delivered(10);
        assert_eq!(offsets.front(), 11);
        offsets.delivered_elsewhere(77);
        offsets.delivered_elsewhere(78);
        assert_eq!((offsets.front(), offsets.is_needed(11)), (13, false));
    }

    #[test]
    fn what_is_given_up_is_not_needed() {
        let mut offsets = Offsets::new(0, 9);
        for offset in [3, 5, 6] {
            offsets.delivered(offset);
        }
        offsets.is_elsewhere(1, 2);
        offsets.give_up(5);
        assert_eq!((offsets.front(), offsets.is_ours(7)), (7, true));
        offsets.delivered_elsewhere(1);
        offsets.give_up(3);
        assert_eq!(offsets.front(), 7);
    }
}
