//! Batches on their way out, and acknowledgements on their way in.

use super::Loop;
use crate::batcher::Encoded;
use crate::clock::Now;

/// Checkpoints are written early when so large a part of what may be in flight was acknowledged: that
/// bounds what a death makes us send again, however fast files are read.
const CHECKPOINT_SHARE: u64 = 2;

impl Loop {
    pub(super) fn take_acks(&mut self, now: Now) {
        for number in self.spool.receive(now.monotonic, &self.metrics) {
            self.in_flight.in_spool(number);
        }
        let has_room = self.has_room();
        for batch in self.in_flight.receive(now.monotonic, &self.metrics) {
            for progress in &batch.progress {
                self.checkpoints.advance(*progress, now.wall);
                // A file that is read and now acknowledged may be closed.
                self.wake(progress.stream, now);
                self.lag.touch(progress.stream);
                self.acknowledged(progress.stream, has_room, now);
            }
            self.metrics.acked_bytes.inc_by(batch.source_bytes);
            fail::fail_point!("collector::after_ack");
        }
        for number in self.in_flight.take_stored() {
            self.spool.delivered_elsewhere(number);
        }
        // Who dies now sends again what is in flight and what was acknowledged since.
        let acked = self.metrics.acked_bytes.get() - self.flushed_bytes;
        if acked >= self.config.in_flight_bytes_max as u64 / CHECKPOINT_SHARE {
            self.flush_checkpoints(now);
        }
    }

    pub(super) fn ship(&mut self, now: Now, everything: bool) {
        let is_named = self.write_names(now);
        if everything {
            self.batcher.close();
        } else if is_named && !self.in_flight.is_held_up() {
            self.batcher.close_if_due(now.monotonic, self.config.linger);
        }
        // What was pushed before had its names; the spool must get on, lest it keep the disk full.
        if is_named {
            self.push_encoded(now);
        }
        // Who is first gets what room a full transport has: both get on.
        if self.spool_first {
            self.spool.send(now.monotonic, &self.metrics);
        }
        self.in_flight.send(now.monotonic, &self.metrics);
        if !self.spool_first {
            self.spool.send(now.monotonic, &self.metrics);
        }
        self.spool_first = !self.spool_first;
    }

    pub(super) fn push_encoded(&mut self, now: Now) {
        for batch in self.take_encoded(now) {
            self.in_flight.push(batch);
        }
    }

    /// The batches that are to be sent, once it is written down what nothing else would tell of them.
    pub(super) fn take_encoded(&mut self, now: Now) -> Vec<Encoded> {
        let batches: Vec<Encoded> = std::iter::from_fn(|| self.batcher.take()).collect();
        self.write_begun(&batches, now);
        batches
    }
}
