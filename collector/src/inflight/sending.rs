//! The way to the transport: what is sent when, and what its answers mean.

use std::time::Duration;

use sawlog_transport::SendError;

use super::sent::{InSpool, State};
use super::{Done, InFlight};
use crate::metrics::Metrics;

impl InFlight {
    /// The partition of all batches; `None` while the transport does not know its partitions.
    fn partition(&self) -> Option<u32> {
        let partitions = u64::from(self.producer.partitions());
        let partition = self.id_hash.checked_rem(partitions)?;
        u32::try_from(partition).ok()
    }

    /// Sends what is due, in order: nothing overtakes a batch that waits to be sent again.
    pub(crate) fn send(&mut self, now: Duration, metrics: &Metrics) {
        let Some(partition) = self.partition() else { return };
        for (number, sent) in self.batches.iter_mut().filter(|(_, sent)| !sent.is_spilled) {
            match sent.state {
                State::Waiting(due) if due > now => return,
                State::Waiting(_) => {}
                State::Taken | State::Stored => continue,
            }
            fail::fail_point!("collector::before_send");
            match self.producer.send(partition, sent.message.clone(), *number, &self.acks) {
                Ok(()) => {
                    sent.state = State::Taken;
                    metrics.batches_sent.inc();
                }
                Err(SendError::Full) => return,
                Err(error) => {
                    let pause = (self.resend_after, self.resend_after_max);
                    sent.failed(*number, &error, now, pause, metrics);
                    return;
                }
            }
        }
    }

    /// Takes in acknowledgements; gives the batches up to which everything is now done, oldest
    /// first.
    pub(crate) fn receive(&mut self, now: Duration, metrics: &Metrics) -> Vec<Done> {
        while let Ok(ack) = self.arrived.try_recv() {
            let Some(sent) = self.batches.get_mut(&ack.tag) else { continue };
            match ack.result {
                Ok(_) => self.store(ack.tag),
                Err(_) if sent.state == State::Stored => {}
                Err(error) => {
                    let pause = (self.resend_after, self.resend_after_max);
                    sent.failed(ack.tag, &error, now, pause, metrics);
                }
            }
        }
        self.report()
    }

    fn store(&mut self, number: u64) {
        let Some(sent) = self.batches.get_mut(&number) else { return };
        sent.state = State::Stored;
        if sent.spool != InSpool::No {
            self.stored.push(number);
        }
        if self.unreported.front().is_none_or(|first| *first > number) {
            self.remove(number);
        }
    }
}
