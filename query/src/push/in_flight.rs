//! What one push has sent, until all of it can be found by queries: a retry must not miss any of it.

use std::collections::BTreeMap;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use bytes::Bytes;
use sawlog_aggregator::Store;
use sawlog_transport::batch::split;
use sawlog_transport::{Ack, AckSender, Position, Producer, SendError};

use super::CODEC;

/// How long the background waits before it sends again what failed, at first and at most.
const RESEND: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(30));
/// How long it waits at once for what is under way.
const WAIT: Duration = Duration::from_secs(20);

/// Messages of one push that are sent and not yet known to be found by queries.
pub(super) struct InFlight {
    store: Arc<Store>,
    producer: Arc<dyn Producer>,
    partition: u32,
    acks: (AckSender, mpsc::Receiver<Ack>),
    /// What the transport has taken and not acknowledged as stored, by tag.
    unstored: BTreeMap<u64, Bytes>,
    next_tag: u64,
    /// Those of them that came back as failed: they may be stored all the same.
    failed: Vec<u64>,
    /// Those that were refused as too large, maybe for what was sent along with them: sent again one by one.
    refused: Vec<u64>,
    /// That which was sent alone last.
    alone: Option<u64>,
    /// The first failure of what may be stored when it is sent again.
    failure: Option<SendError>,
    /// The first refusal of a line that is too large by itself, and so is never stored.
    too_large: Option<SendError>,
    /// The latest failure, for people.
    reason: Option<String>,
    last: Option<Position>,
}

impl InFlight {
    pub(super) fn new(store: Arc<Store>, producer: Arc<dyn Producer>, partition: u32) -> Self {
        Self {
            store,
            producer,
            partition,
            acks: mpsc::channel(),
            unstored: BTreeMap::new(),
            next_tag: 0,
            failed: Vec::new(),
            refused: Vec::new(),
            alone: None,
            failure: None,
            too_large: None,
            reason: None,
            last: None,
        }
    }

    /// Sends all messages, or those before the first that the transport does not take.
    pub(super) fn send_all(&mut self, messages: Vec<Bytes>) -> Result<(), SendError> {
        for message in messages {
            let tag = self.take_tag();
            match self.producer.send(self.partition, message.clone(), tag, &self.acks.0) {
                Ok(()) => {}
                Err(SendError::RefusedAsTooLarge { .. }) => self.refused.push(tag),
                Err(error) => return Err(error),
            }
            self.unstored.insert(tag, message);
        }
        Ok(())
    }

    fn take_tag(&mut self) -> u64 {
        self.next_tag += 1;
        self.next_tag
    }

    /// Whether all that was sent is stored.
    pub(super) fn is_durable(&self) -> bool {
        self.unstored.is_empty()
    }

    pub(super) fn take_failure(&mut self) -> Option<SendError> {
        self.failure.take()
    }

    pub(super) fn take_too_large(&mut self) -> Option<SendError> {
        self.too_large.take()
    }

    /// Bytes of messages that are kept in order to send them again.
    pub(super) fn bytes(&self) -> usize {
        self.unstored.values().map(Bytes::len).sum()
    }

    /// Waits for all acknowledgements, then until what was stored can be found; false if `timeout`
    /// passed first, or something failed.
    pub(super) fn settle(&mut self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        while self.unstored.len() > self.failed.len() {
            if self.unstored.len() == self.failed.len() + self.refused.len() {
                self.send_alone();
                continue;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(ack) = self.acks.1.recv_timeout(left) else { return false };
            match ack.result {
                Ok(position) => {
                    self.unstored.remove(&ack.tag);
                    self.last = self.last.max(Some(position));
                }
                Err(err) => self.not_stored(ack.tag, err),
            }
        }
        let visible = self.last.is_none_or(|last| {
            let left = deadline.saturating_duration_since(Instant::now());
            self.store.wait_visible(last.partition, last.offset, left)
        });
        visible && self.failed.is_empty()
    }

    /// Sends one of those that were refused while nothing else is under way.
    fn send_alone(&mut self) {
        let Some(tag) = self.refused.pop() else { return };
        let Some(message) = self.unstored.get(&tag) else { return };
        self.alone = Some(tag);
        if let Err(error) = self.producer.send(self.partition, message.clone(), tag, &self.acks.0) {
            self.not_stored(tag, error);
        }
    }

    fn not_stored(&mut self, tag: u64, error: SendError) {
        match error {
            SendError::RefusedAsTooLarge { .. } if self.alone != Some(tag) => {
                self.refused.push(tag);
                return;
            }
            SendError::RefusedAsTooLarge { .. } => {
                // Too large by itself: it is stored in parts, or never.
                let Some(message) = self.unstored.remove(&tag) else { return };
                if let Ok(parts) = split(message, CODEC) {
                    for part in parts {
                        let tag = self.take_tag();
                        self.unstored.insert(tag, part);
                        self.refused.push(tag);
                    }
                    return;
                }
                self.too_large.get_or_insert(error);
                return;
            }
            _ => self.failed.push(tag),
        }
        self.reason = Some(error.to_string());
        self.failure.get_or_insert(error);
    }

    /// Waits for as long as it takes. What failed may still appear, so it is sent again, with the same
    /// addresses: the store takes it once, and then it is known to be found.
    pub(super) fn settle_at_last(mut self) {
        let mut pause = RESEND.0;
        let mut failures = 0_u64;
        while !self.settle(WAIT) {
            failures += 1;
            // An outage would otherwise fill the log: the 1st, 2nd, 4th, 8th, … failure is told.
            if failures.is_power_of_two() {
                let (partition, reason) = (self.partition, self.reason());
                tracing::warn!(
                    partition,
                    failures,
                    "what was pushed cannot be found yet, it is waited for and what failed is sent \
                     again: {reason}"
                );
            }
            if self.failed.is_empty() {
                continue;
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(RESEND.1);
            self.resend();
        }
    }

    /// Why not all is settled.
    pub(super) fn reason(&self) -> String {
        let is_visible = |last: Position| self.store.position(last.partition) > last.offset;
        match &self.reason {
            Some(reason) if !self.failed.is_empty() => reason.clone(),
            _ if !self.unstored.is_empty() => "the transport has not answered".to_owned(),
            _ if self.last.is_none_or(is_visible) => "it is just now there".to_owned(),
            _ if self.store.is_waiting(self.partition) => {
                "it is stored, its partition waits".to_owned()
            }
            _ => "it is stored and not consumed".to_owned(),
        }
    }

    fn resend(&mut self) {
        let mut failed = std::mem::take(&mut self.failed);
        failed.retain(|tag| {
            let Some(message) = self.unstored.get(tag) else { return false };
            match self.producer.send(self.partition, message.clone(), *tag, &self.acks.0) {
                Ok(()) => false,
                Err(err) => {
                    self.reason = Some(err.to_string());
                    true
                }
            }
        });
        self.failed = failed;
    }
}
