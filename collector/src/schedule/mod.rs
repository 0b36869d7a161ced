//! Whose turn it is: what vanishes first is read first, each stream of a class gets its share of
//! bytes, and an eighth of all bytes belongs to the other classes, so that none of them starves.

mod class;

use std::collections::{HashMap, VecDeque};

use sawlog_transport::StreamId;
use sawlog_transport::limits::FRAME_TEXT_BYTES_MAX;

use class::CLASSES;
pub(crate) use class::Class;

/// What a stream may read in one round before the next stream has its turn, in bytes.
pub(crate) const QUANTUM: i64 = FRAME_TEXT_BYTES_MAX as i64;

/// For so many bytes of the most urgent class the others get one.
const URGENT_TO_OTHERS: i64 = 7;

/// The streams that wait for their turn. Every operation takes constant time, but that a stream that
/// became more urgent leaves an entry behind, which is passed over once.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    queues: [VecDeque<(StreamId, u64)>; CLASSES],
    /// Where each stream waits; entries of queues with other tickets are stale.
    waiting: HashMap<StreamId, Ticket>,
    /// Streams that wait, by class.
    lengths: [usize; CLASSES],
    tickets: u64,
    /// Bytes that the classes below the most urgent one have not had of their share.
    owed: i64,
    /// The class that had the last of these shares.
    last_other: usize,
}

#[derive(Clone, Copy, Debug)]
struct Ticket {
    class: Class,
    number: u64,
}

/// A stream whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Round {
    pub stream: StreamId,
    pub class: Class,
    /// Whether it is another class' turn than the most urgent one's.
    is_share: bool,
}

impl Schedule {
    /// How many streams wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The streams that wait, in no order.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = StreamId> {
        self.waiting.keys().copied()
    }

    /// Lets a stream wait for its turn. One that waits already keeps its place, unless it is more
    /// urgent now.
    pub(crate) fn wait(&mut self, stream: StreamId, class: Class) {
        if let Some(ticket) = self.waiting.get(&stream) {
            if ticket.class <= class {
                return;
            }
            self.lengths[ticket.class as usize] -= 1;
        }
        let number = self.tickets;
        self.tickets += 1;
        self.waiting.insert(stream, Ticket { class, number });
        self.lengths[class as usize] += 1;
        self.queues[class as usize].push_back((stream, number));
    }

    /// Takes the stream whose turn it is.
    pub(crate) fn next(&mut self) -> Option<Round> {
        let urgent = self.lengths.iter().position(|length| *length > 0)?;
        let other = if self.owed >= QUANTUM { self.other_than(urgent) } else { None };
        if let Some(other) = other {
            self.last_other = other;
        }
        let stream = self.pop(other.unwrap_or(urgent))?;
        let class = Class::ALL[other.unwrap_or(urgent)];
        Some(Round { stream, class, is_share: other.is_some() })
    }

    /// The next class below the most urgent one that has its share.
    fn other_than(&self, urgent: usize) -> Option<usize> {
        let after = self.last_other + 1..CLASSES;
        let mut others = after.chain(0..=self.last_other);
        others.find(|class| *class != urgent && self.lengths[*class] > 0)
    }

    fn pop(&mut self, class: usize) -> Option<StreamId> {
        while let Some((stream, number)) = self.queues[class].pop_front() {
            if self.waiting.get(&stream).is_some_and(|ticket| ticket.number == number) {
                self.waiting.remove(&stream);
                self.lengths[class] -= 1;
                return Some(stream);
            }
        }
        None
    }

    /// Accounts for what a round cost, in bytes.
    pub(crate) fn charge(&mut self, round: Round, bytes: i64) {
        let others_wait = (round.class as usize + 1..CLASSES).any(|class| self.lengths[class] > 0);
        if round.is_share {
            self.owed -= bytes;
        } else if others_wait {
            self.owed = (self.owed + bytes / URGENT_TO_OTHERS).min(2 * QUANTUM);
        } else {
            self.owed = self.owed.min(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stream(n: usize) -> StreamId {
        StreamId(n as u128)
    }

    #[test]
    fn the_most_urgent_goes_first_and_a_stream_waits_once() {
        let mut schedule = Schedule::default();
        schedule.wait(stream(1), Class::Live);
        schedule.wait(stream(2), Class::Rotated);
        schedule.wait(stream(1), Class::Live);
        schedule.wait(stream(3), Class::Live);
        schedule.wait(stream(3), Class::Unlinked);
        assert_eq!(schedule.len(), 3);
        let order: Vec<_> = std::iter::from_fn(|| schedule.next()).collect();
        let found: Vec<_> = order.iter().map(|round| (round.stream, round.class)).collect();
        let expected = [(3, Class::Unlinked), (2, Class::Rotated), (1, Class::Live)]
            .map(|(n, c)| (stream(n), c));
        assert_eq!(found, expected);
        assert!(schedule.is_empty() && schedule.next().is_none());
    }

    #[test]
    fn less_urgent_news_change_nothing() {
        let mut schedule = Schedule::default();
        schedule.wait(stream(1), Class::RotatedUnlinked);
        schedule.wait(stream(2), Class::RotatedUnlinked);
        schedule.wait(stream(1), Class::Live);
        let first = schedule.next().expect("two wait");
        assert_eq!((first.stream, first.class), (stream(1), Class::RotatedUnlinked));
    }

    #[test]
    fn an_eighth_of_the_bytes_goes_to_the_others() {
        let mut schedule = Schedule::default();
        let mut read = [0; 2];
        for n in 0..2 {
            schedule.wait(stream(n), [Class::Unlinked, Class::Live][n]);
        }
        for _ in 0..8000 {
            let round = schedule.next().expect("both wait");
            let n = round.stream.0 as usize;
            read[n] += QUANTUM;
            schedule.charge(round, QUANTUM);
            schedule.wait(round.stream, round.class);
        }
        let share = read[1] as f64 / (read[0] + read[1]) as f64;
        assert!((share - 0.125).abs() < 0.01, "the live stream got {share}");
    }

    proptest! {
        /// Whatever the classes and the costs of rounds: no stream that always has something to give
        /// waits longer than its class' share of the bytes takes to come round to it.
        #[test]
        fn each_waiting_stream_gets_its_turn_within_a_bound(
            classes in proptest::collection::vec(0..CLASSES, 1..24),
            costs in proptest::collection::vec(4096..QUANTUM, 50),
        ) {
            let mut schedule = Schedule::default();
            for (n, class) in classes.iter().enumerate() {
                schedule.wait(stream(n), Class::ALL[*class]);
            }
            let members = |class: usize| classes.iter().filter(|one| **one == class).count() as i64;
            let groups = (0..CLASSES).filter(|class| members(*class) > 0).count() as i64;
            // A share comes after at most 8 quanta, to each of the others in turn.
            let bound = |class: usize| (members(class) + 1) * groups * 8 * 2 * QUANTUM;
            let bounds: Vec<i64> = classes.iter().map(|class| bound(*class)).collect();
            let mut since = vec![0; classes.len()];
            for step in 0..classes.len() * 60 {
                let round = schedule.next().expect("all wait always");
                let cost = costs[step % costs.len()];
                since.iter_mut().for_each(|bytes| *bytes += cost);
                since[round.stream.0 as usize] = 0;
                schedule.charge(round, cost);
                schedule.wait(round.stream, round.class);
                let too_long = since.iter().zip(&bounds).position(|(bytes, bound)| bytes > bound);
                prop_assert_eq!(too_long, None);
            }
        }

        /// Streams of one class that always have something to give get the same bytes, up to a round.
        #[test]
        fn streams_of_a_class_get_the_same(n in 1..50usize, rounds in 1..40usize) {
            let mut schedule = Schedule::default();
            (0..n).for_each(|n| schedule.wait(stream(n), Class::Rotated));
            let mut had = vec![0; n];
            for _ in 0..rounds * n {
                let round = schedule.next().expect("all wait");
                had[round.stream.0 as usize] += 1;
                schedule.charge(round, QUANTUM);
                schedule.wait(round.stream, round.class);
            }
            prop_assert!(had.iter().all(|had| *had == rounds));
        }
    }
}
