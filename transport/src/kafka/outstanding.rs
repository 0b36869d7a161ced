//! Messages that the brokers have not acknowledged, and their bytes.

use std::collections::HashMap;

use crate::producer::{Ack, AckSender, Position, SendError};

/// A message under way.
#[derive(Debug)]
pub(super) struct Sent {
    tag: u64,
    bytes: usize,
    acks: AckSender,
}

/// All messages under way of one producer, each with a number of its own.
#[derive(Debug, Default)]
pub(super) struct Outstanding {
    sent: HashMap<usize, Sent>,
    bytes: usize,
    next: usize,
}

impl Outstanding {
    /// Notes a message; gives its number, or `None` if it would exceed `bytes_max`. A single message
    /// is always taken.
    pub(super) fn begin(
        &mut self,
        tag: u64,
        bytes: usize,
        acks: &AckSender,
        bytes_max: usize,
    ) -> Option<usize> {
        if !self.sent.is_empty() && self.bytes + bytes > bytes_max {
            return None;
        }
        let id = self.next;
        self.next += 1;
        self.bytes += bytes;
        self.sent.insert(id, Sent { tag, bytes, acks: acks.clone() });
        Some(id)
    }

    /// Takes a message out that was not sent after all, or whose report has come.
    pub(super) fn end(&mut self, id: usize) -> Option<Sent> {
        let sent = self.sent.remove(&id)?;
        self.bytes -= sent.bytes;
        Some(sent)
    }

    /// Takes all messages out, in the order in which they were sent.
    pub(super) fn end_all(&mut self) -> Vec<Sent> {
        self.bytes = 0;
        let mut all: Vec<_> = self.sent.drain().collect();
        all.sort_unstable_by_key(|(id, _)| *id);
        all.into_iter().map(|(_, sent)| sent).collect()
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Sent {
    /// Bytes of the message.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Tells the sender what became of its message.
    pub(super) fn acknowledge(self, result: Result<Position, SendError>) {
        if self.acks.send(Ack { tag: self.tag, result }).is_err() {
            tracing::debug!("the sender of a message does not wait for its acknowledgement");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn bytes_are_bounded_and_given_back() {
        let (acks, arrived) = mpsc::channel();
        let mut outstanding = Outstanding::default();
        let large = outstanding.begin(1, 500, &acks, 100).expect("the only one is taken");
        assert_eq!(outstanding.begin(2, 1, &acks, 100), None);
        outstanding.end(large).expect("known");
        assert!(outstanding.end(large).is_none());
        for tag in 3..6 {
            outstanding.begin(tag, 30, &acks, 100).expect("room");
        }
        assert_eq!((outstanding.begin(6, 30, &acks, 100), outstanding.bytes()), (None, 90));
        for sent in outstanding.end_all() {
            sent.acknowledge(Ok(Position { partition: 0, offset: 7 }));
        }
        assert_eq!(outstanding.bytes(), 0);
        assert_eq!(arrived.try_iter().map(|ack| ack.tag).collect::<Vec<_>>(), [3, 4, 5]);
    }
}
