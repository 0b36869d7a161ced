//! Reading in rounds: who is next, how much it may read, and what becomes of files that are done.

use std::cmp::Reverse;
use std::time::Duration;

use sawlog_transport::StreamId;
use sawlog_transport::limits::FRAME_TEXT_BYTES_MAX;

use super::{Loop, STEP_BYTES, TURN_COST};
use crate::clock::Now;
use crate::discover::{Settled, Skipped};
use crate::rate::Leave;
use crate::reader::Reader;
use crate::schedule::{Class, QUANTUM, Round};
use crate::stream::{Closed, Stream, Turn, Turned, Why};
use crate::why::Decision;

/// Streams that have their turn before the loop looks at everything else again.
const STEP_TURNS: usize = 1024;

/// How a round ended.
enum Ended {
    /// The stream may have more.
    HasMore,
    /// Its application has had its share of bytes; it is woken when there is some again.
    Throttled,
    /// Nothing to do until something happens or the moment comes (monotonic).
    Idle(Option<Duration>),
}

impl Loop {
    /// Reads in rounds over the streams, each its share of bytes.
    pub(super) fn read(&mut self, now: Now) {
        if !self.has_room() && self.looks.due(now.monotonic).is_some() {
            self.look_at_waiting(now);
        }
        let mut budget = STEP_BYTES;
        // Each stream at most once a step, unless it has more to give.
        let mut turns = self.schedule.len().min(STEP_TURNS);
        while budget > 0 && turns > 0 && self.has_room() {
            turns -= 1;
            let Some(round) = self.schedule.next() else { break };
            let cost = self.round(round, now);
            self.schedule.charge(round, cost);
            budget -= cost;
        }
    }

    /// Looks at the files of streams that wait while nothing may be read: what was seen of them and is
    /// gone later can be declared.
    fn look_at_waiting(&mut self, now: Now) {
        let waiting: Vec<StreamId> = self.schedule.waiting().collect();
        for id in waiting {
            let Some(mut stream) = self.streams.by_id.remove(&id) else { continue };
            let node = stream.node;
            let relist = self.with_reader(&mut Vec::new(), now, |turn| {
                stream.observe_from(0, turn);
                turn.relist
            });
            self.streams.by_id.insert(id, stream);
            self.lag.touch(id);
            if relist {
                self.tree.look_for_copies(node);
            }
        }
    }

    /// Whether another run may be read without exceeding what may be in flight.
    pub(super) fn has_room(&self) -> bool {
        let sent = self.in_flight.text_bytes().max(self.in_flight.memory_bytes());
        let held = sent + self.batcher.text_bytes() + self.spool.memory_bytes();
        held + FRAME_TEXT_BYTES_MAX <= self.config.in_flight_bytes_max
    }

    /// Lets a stream read its share; gives what that cost.
    fn round(&mut self, round: Round, now: Now) -> i64 {
        let Some(mut stream) = self.streams.by_id.remove(&round.stream) else { return 0 };
        stream.credit = (stream.credit + QUANTUM).min(QUANTUM);
        let mut closed = Vec::new();
        let before = stream.credit;
        let ended = self.turns(&mut stream, round.class, &mut closed, now);
        let cost = before - stream.credit;
        let due = match ended {
            Ended::HasMore => None,
            Ended::Throttled => self.release(&mut stream, &mut closed, now),
            Ended::Idle(due) => {
                stream.credit = 0;
                due
            }
        };
        self.put_back(stream, closed, due, now);
        if matches!(ended, Ended::HasMore) {
            self.wake(round.stream, now);
        }
        cost
    }

    fn turns(
        &mut self,
        stream: &mut Stream,
        class: Class,
        closed: &mut Vec<Closed>,
        now: Now,
    ) -> Ended {
        while stream.credit > 0 && self.has_room() {
            let leave = self.rates.ask(&stream.source, now.monotonic);
            if leave == Leave::Wait {
                return Ended::Throttled;
            }
            self.batcher.set_dropping(leave == Leave::Drop);
            let turned = self.turn(stream, closed, now);
            self.batcher.set_dropping(false);
            match turned {
                Turned::Read(bytes) => {
                    stream.credit -= TURN_COST.max(bytes as i64);
                    self.spend(stream, bytes, leave, now);
                }
                Turned::Idle(due) => return Ended::Idle(due),
            }
            // What vanishes first is read, and the rest has time.
            if class != Class::Live && Class::of(stream, now.monotonic) > class {
                break;
            }
        }
        Ended::HasMore
    }

    fn spend(&mut self, stream: &Stream, bytes: u64, leave: Leave, now: Now) {
        if leave == Leave::Drop {
            let dropped = self.batcher.take_dropped();
            self.metrics.load.dropped_bytes.with_label_values(&["rate"]).inc_by(dropped);
        } else {
            self.rates.spend(&stream.source, bytes, now.monotonic);
        }
    }

    /// Gives a stream back that was taken out for its turns, if it still has files.
    pub(super) fn put_back(
        &mut self,
        mut stream: Stream,
        closed: Vec<Closed>,
        due: Option<Duration>,
        now: Now,
    ) {
        if stream.source.times_are_true {
            // Ours: whoever wrote them wants to know which may be deleted.
            for (file, size) in stream.drained(&self.checkpoints) {
                self.metadata.drained(file, size);
            }
        }
        let (id, node, source) = (stream.source.id, stream.node, stream.source.clone());
        if stream.files.is_empty() {
            self.rates.forget(id);
            self.streams.unfinished.keep(id, stream.text.unfinished);
        } else {
            let due = due.filter(|at| stream.due.is_none_or(|due| *at < due));
            stream.due = due.or(stream.due);
            self.timers.extend(due.map(|at| Reverse((at, id))));
            self.streams.by_id.insert(id, stream);
        }
        for one in closed {
            let decision = match one.why {
                Why::Finished => Decision::Finished,
                Why::Parked => Decision::Parked,
                Why::Skipped(reason) => Decision::NotText(reason),
            };
            let directory = self.tree.path(node);
            let (source, file) = (source.clone(), &one.file);
            self.closed_files.remember(directory, source, file, decision, now.wall);
            self.closed(node, one);
        }
        self.account(id, now);
    }

    pub(super) fn turn(
        &mut self,
        stream: &mut Stream,
        closed: &mut Vec<Closed>,
        now: Now,
    ) -> Turned {
        self.metrics.load.turns.inc();
        let node = stream.node;
        let (turned, relist) =
            self.with_reader(closed, now, |turn| (stream.turn(turn), turn.relist));
        if relist {
            self.tree.look_for_copies(node);
        }
        turned
    }

    /// Closes files of a stream that are done, and reads nothing; tells when to look again.
    pub(super) fn release(
        &mut self,
        stream: &mut Stream,
        closed: &mut Vec<Closed>,
        now: Now,
    ) -> Option<Duration> {
        self.with_reader(closed, now, |turn| stream.release(turn))
    }

    pub(super) fn with_reader<T>(
        &mut self,
        closed: &mut Vec<Closed>,
        now: Now,
        act: impl FnOnce(&mut Turn<'_, '_>) -> T,
    ) -> T {
        let mut reader = Reader {
            now,
            buffers: &mut self.buffers,
            batcher: &mut self.batcher,
            metrics: &self.metrics,
            redactor: self.redactor.as_mut(),
            zone: &*self.zone,
        };
        act(&mut Turn {
            reader: &mut reader,
            config: &self.config,
            checkpoints: &mut self.checkpoints,
            closed,
            is_tight: false,
            relist: false,
        })
    }

    /// Closes what can be closed of a stream that has no turn for now.
    pub(super) fn release_now(&mut self, id: StreamId, now: Now) {
        let Some(mut stream) = self.streams.by_id.remove(&id) else { return };
        let mut closed = Vec::new();
        let due = self.release(&mut stream, &mut closed, now);
        self.put_back(stream, closed, due, now);
    }

    /// Remembers a closed file, so that it is not opened again without need.
    pub(super) fn closed(&mut self, node: u64, Closed { file, why }: Closed) {
        self.streams.open.remove(&file.key());
        let is_finished = matches!(why, Why::Finished | Why::Parked);
        if is_finished && self.tree.is_generated(node) {
            self.metadata.drained(file.key(), file.facts.size);
        }
        if is_finished && file.is_deleted() {
            self.checkpoints.forget(&file.identity);
            return;
        }
        if let Why::Skipped(reason) = why {
            self.metrics.skipped_files.with_label_values(&[reason]).inc();
            let name = file.name.as_ref().map(|(name, _)| name.as_os_str()).unwrap_or_default();
            let path = self.tree.path(node).join(name);
            tracing::warn!(reason, "'{}' is left out: it is not text", path.display());
        }
        let Some(memory) = self.tree.memory(node) else { return };
        match why {
            Why::Skipped(_) => {
                memory.skipped.insert(file.key(), Skipped::NotText);
            }
            Why::Finished | Why::Parked if file.name.is_some() => {
                let (size, modified) = file.on_disk();
                let settled = Settled {
                    identity: file.identity,
                    size,
                    modified,
                    is_parked: why == Why::Parked,
                };
                memory.settled.insert(file.key(), settled);
            }
            Why::Finished | Why::Parked => {}
        }
    }
}
