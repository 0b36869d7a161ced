//! What one push has sent, until all of it can be found by queries: a retry must not miss any of it.

use std::collections::BTreeMap;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use bytes::Bytes;
use sawlog_aggregator::Store;
use sawlog_transport::{Ack, AckSender, Position, Producer, SendError};

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
    /// Those of them that came back as failed: they may be stored all the same.
    failed: Vec<u64>,
    /// The first failure.
    failure: Option<SendError>,
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
            failed: Vec::new(),
            failure: None,
            reason: None,
            last: None,
        }
    }

    /// Sends all messages, or those before the first that the transport does not take.
    pub(super) fn send_all(&mut self, messages: Vec<Bytes>) -> Result<(), SendError> {
        for (tag, message) in messages.into_iter().enumerate() {
            let tag = tag as u64;
            self.producer.send(self.partition, message.clone(), tag, &self.acks.0)?;
            self.unstored.insert(tag, message);
        }
        Ok(())
    }

    /// Whether all that was sent is stored.
    pub(super) fn is_durable(&self) -> bool {
        self.unstored.is_empty()
    }

    pub(super) fn take_failure(&mut self) -> Option<SendError> {
        self.failure.take()
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
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(ack) = self.acks.1.recv_timeout(left) else { return false };
            match ack.result {
                Ok(position) => {
                    self.unstored.remove(&ack.tag);
                    self.last = self.last.max(Some(position));
                }
                Err(err) => {
                    self.failed.push(ack.tag);
                    self.reason = Some(err.to_string());
                    self.failure.get_or_insert(err);
                }
            }
        }
        let visible = self.last.is_none_or(|last| {
            let left = deadline.saturating_duration_since(Instant::now());
            self.store.wait_visible(last.partition, last.offset, left)
        });
        visible && self.failed.is_empty()
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
