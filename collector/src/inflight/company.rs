//! What is under way to one transport from all that send to it: whether a message was refused alone is
//! known only from all of them together.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::sizes::Sizes;

/// What those that send to one transport know together. Cloned for each of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Company(Arc<Mutex<UnderWay>>);

#[derive(Debug, Default)]
struct UnderWay {
    messages: usize,
    bytes: usize,
    /// What was sent last, if nothing else was under way: by whom, and its tag.
    alone: Option<(u64, u64)>,
    sizes: Sizes,
    senders: u64,
}

impl Company {
    /// One more sends; gives its number.
    pub(super) fn join(&self) -> u64 {
        let mut this = self.0.lock();
        this.senders += 1;
        this.senders
    }

    /// See [`Sizes::forget`].
    pub(super) fn forget(&self, now: Duration) {
        self.0.lock().sizes.forget(now);
    }

    /// See [`Sizes::is_too_large`].
    pub(super) fn is_too_large(&self, bytes: usize) -> bool {
        self.0.lock().sizes.is_too_large(bytes)
    }

    /// Whether a message may go with what is under way.
    pub(super) fn may_join(&self, bytes: usize) -> bool {
        let this = self.0.lock();
        this.sizes.may_join(bytes, this.bytes)
    }

    /// The transport has taken a message.
    pub(super) fn taken(&self, sender: u64, tag: u64, bytes: usize) {
        let mut this = self.0.lock();
        this.alone = (this.messages == 0).then_some((sender, tag));
        this.messages += 1;
        this.bytes += bytes;
    }

    /// It has answered, or nobody waits for its answer any more.
    pub(super) fn answered(&self, messages: usize, bytes: usize) {
        let mut this = self.0.lock();
        this.messages -= messages;
        this.bytes -= bytes;
    }

    /// Whether nothing else was under way since the message was sent.
    pub(super) fn was_alone(&self, sender: u64, tag: u64) -> bool {
        self.0.lock().alone == Some((sender, tag))
    }

    /// See [`Sizes::refused`].
    pub(super) fn refused(&self, bytes: usize, alone: bool, now: Duration) {
        self.0.lock().sizes.refused(bytes, alone, now);
    }

    /// See [`Sizes::stored`].
    pub(super) fn stored(&self, bytes: usize) {
        self.0.lock().sizes.stored(bytes);
    }
}
