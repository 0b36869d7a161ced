//! Batches on their way out, and acknowledgements on their way in.

use super::Loop;
use crate::clock::Now;

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
    }

    pub(super) fn ship(&mut self, now: Now, everything: bool) {
        if everything {
            self.batcher.close();
        } else if !self.in_flight.is_held_up() {
            self.batcher.close_if_due(now.monotonic, self.config.linger);
        }
        self.push_encoded();
        self.flush_history();
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

    /// What names the bytes of a batch must be durable before the batch is.
    pub(super) fn flush_history(&mut self) {
        if self.checkpoints.history.is_changed()
            && let Err(error) = self.checkpoints.history.flush()
        {
            self.checkpoint_failed(&error);
        }
    }

    pub(super) fn push_encoded(&mut self) {
        while let Some(batch) = self.batcher.take() {
            self.in_flight.push(batch);
        }
    }
}
