//! A producer that keeps what it is sent, and fails as it is told.

use bytes::Bytes;
use parking_lot::Mutex;
use sawlog_transport::{Ack, AckSender, Position, Producer, SendError};

use super::store::Store;

/// What the transport does with the next messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Mode {
    #[default]
    Acknowledge,
    /// Stores and keeps the acknowledgements back.
    Hold,
    /// Takes nothing.
    Full,
    /// Refuses each message at once.
    Refuse,
    /// Takes, stores nothing, and says so.
    Fail,
    /// Takes and stores, and says that it failed: the same comes once more.
    Unsure,
    /// Refuses messages of more bytes.
    AtMost(usize),
}

#[derive(Default)]
pub(super) struct Recorder {
    pub mode: Mutex<Mode>,
    pub store: Mutex<Store>,
    held: Mutex<Vec<(u64, AckSender)>>,
}

impl Recorder {
    /// What was held back is answered, unless it still is: it was stored, whatever is said.
    pub(super) fn set(&self, mode: Mode) {
        *self.mode.lock() = mode;
        let answer = if matches!(mode, Mode::Fail | Mode::Unsure) { fail } else { acknowledge };
        if mode != Mode::Hold {
            for (tag, acks) in self.held.lock().drain(..) {
                answer(tag, &acks);
            }
        }
    }
}

fn acknowledge(tag: u64, acks: &AckSender) {
    let position = Position { partition: 0, offset: tag };
    // The collector may be gone.
    drop(acks.send(Ack { tag, result: Ok(position) }));
}

fn fail(tag: u64, acks: &AckSender) {
    drop(acks.send(Ack { tag, result: Err(failed()) }));
}

fn failed() -> SendError {
    SendError::Failed { place: "test".into(), reason: "told to".into() }
}

impl Producer for Recorder {
    fn partitions(&self) -> u32 {
        3
    }

    fn send(&self, _: u32, message: Bytes, tag: u64, acks: &AckSender) -> Result<(), SendError> {
        match *self.mode.lock() {
            Mode::Full => return Err(SendError::Full),
            Mode::Refuse => return Err(failed()),
            Mode::Fail => {
                fail(tag, acks);
                return Ok(());
            }
            Mode::AtMost(most) if message.len() > most => {
                let (place, reason) = ("test".into(), format!("at most {most} bytes"));
                let error = SendError::RefusedAsTooLarge { place, bytes: message.len(), reason };
                drop(acks.send(Ack { tag, result: Err(error) }));
                return Ok(());
            }
            Mode::Acknowledge | Mode::AtMost(_) => acknowledge(tag, acks),
            Mode::Unsure => fail(tag, acks),
            Mode::Hold => self.held.lock().push((tag, acks.clone())),
        }
        self.store.lock().take(message);
        Ok(())
    }
}
