//! Keeps what deleted files hold on to within its budget: what is beyond goes into the spool.

use sawlog_transport::StreamId;

use super::{Loop, STEP_BYTES, TURN_COST};
use crate::clock::Now;
use crate::spill::Held;
use crate::stream::Turned;

/// The most bytes of batches that are on their way into the spool.
const SPILLING_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Streams whose deleted files are read before the loop looks at everything else again.
const STEP_STREAMS: usize = 64;

impl Loop {
    /// Notes that a stream has changed, and what its deleted files hold.
    pub(super) fn account(&mut self, id: StreamId, now: Now) {
        self.lag.touch(id);
        let Some(stream) = self.streams.by_id.get_mut(&id) else {
            self.pinned.set(id, Held::default());
            return;
        };
        if !self.streams.unnamed.contains(&id) && !self.pinned.has(id) {
            return;
        }
        match Held::of(stream, &self.checkpoints, now.monotonic) {
            Ok(held) => self.pinned.set(id, held),
            // The file's turn will say so.
            Err(error) => tracing::debug!(stream = %id, "cannot look at a deleted file: {error}"),
        }
    }

    /// More of a stream is acknowledged. Where there is no room for turns, nobody else would close
    /// its deleted files.
    pub(super) fn acknowledged(&mut self, id: StreamId, has_room: bool, now: Now) {
        if !self.pinned.has(id) {
            return;
        }
        if has_room {
            self.account(id, now);
        } else {
            self.release_now(id, now);
        }
    }

    /// Closes deleted files that are only held for what somebody may still write to them, the oldest
    /// first, if there is no room for them.
    fn release_kept(&mut self, now: Now) {
        if self.pinned.held() <= self.config.pinned_bytes_max {
            return;
        }
        for id in self.pinned.oldest_kept(STEP_STREAMS) {
            let Some(mut stream) = self.streams.by_id.remove(&id) else { continue };
            let mut closed = Vec::new();
            let due = self.with_reader(&mut closed, now, |turn| {
                turn.is_tight = true;
                stream.release(turn)
            });
            self.put_back(stream, closed, due, now);
            if self.pinned.held() <= self.config.pinned_bytes_max {
                return;
            }
        }
    }

    /// Above this many bytes, files are spilled.
    fn spill_above(&self) -> u64 {
        self.config.pinned_bytes_max / 4 * 3
    }

    /// Then it goes on until so many are left to be read.
    fn spill_until(&self) -> u64 {
        self.config.pinned_bytes_max / 2
    }

    /// Whether there is something to be spilled, and room on the way.
    pub(crate) fn may_spill(&self) -> bool {
        self.is_spilling && self.in_flight.spilling_bytes() < SPILLING_BYTES_MAX
    }

    /// Reads deleted files into the spool while they hold too much, the oldest first.
    ///
    /// A checkpoint tells up to where everything before is safe, so what is in flight already goes
    /// into the spool too: it stays in flight all the same.
    pub(super) fn spill(&mut self, now: Now) {
        self.release_kept(now);
        if self.pinned.bytes() <= self.spill_above() && !self.is_spilling {
            return;
        }
        if !self.write_names(now) {
            self.is_spilling = false;
            return;
        }
        if let Err(error) = self.spool.begin(now.monotonic) {
            self.metrics.load.spool_errors.inc();
            if self.metrics.load.spool_errors.get().is_power_of_two() {
                tracing::error!("cannot spill what deleted files hold, it is tried again: {error}");
            }
            self.is_spilling = false;
            return;
        }
        self.is_spilling = self.pinned.unread() > self.spill_until();
        if self.is_spilling {
            self.batcher.close();
            self.push_encoded(now);
            self.read_deleted(now);
            self.batcher.close();
            // Else they wait where they are, and go the way of all batches.
            if self.write_names(now) {
                for batch in self.take_encoded(now) {
                    self.in_flight.push_spilled(batch);
                }
            }
        }
        for batch in self.in_flight.take_for_spool() {
            self.spool.store(batch, now.monotonic, &self.metrics);
        }
    }

    fn read_deleted(&mut self, now: Now) {
        let mut budget = STEP_BYTES;
        let oldest = self.pinned.oldest_unread(STEP_STREAMS);
        let mut has_read = false;
        for id in oldest {
            if budget <= 0 || !self.may_spill() || self.pinned.unread() <= self.spill_until() {
                return;
            }
            let read = self.read_deleted_of(id, budget, now);
            has_read |= read > 0;
            budget -= read;
        }
        // What is left are lines without an end: they will be read when they have one.
        self.is_spilling &= has_read;
    }

    /// Reads what a stream's deleted files still have, whatever its rate is; gives what that cost.
    fn read_deleted_of(&mut self, id: StreamId, budget: i64, now: Now) -> i64 {
        let mut cost = 0;
        loop {
            let before = self.pinned.unread_of(id);
            if before == 0 {
                return cost;
            }
            let Some(mut stream) = self.streams.by_id.remove(&id) else { return cost };
            let mut closed = Vec::new();
            let turned = self.turn(&mut stream, &mut closed, now);
            let due = match turned {
                Turned::Idle(due) => due,
                Turned::Read(_) => None,
            };
            self.put_back(stream, closed, due, now);
            let Turned::Read(bytes) = turned else { return cost };
            cost += TURN_COST.max(bytes as i64);
            let is_enough = cost >= budget || self.pinned.unread() <= self.spill_until();
            if is_enough || self.pinned.unread_of(id) >= before {
                return cost;
            }
        }
    }
}
