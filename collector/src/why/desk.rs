//! Where questions to the loop wait, and how other threads ask them.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use super::{AcknowledgedFile, Explained, View};

/// Questions that may wait; the next one is refused.
const QUESTIONS_MAX: usize = 16;
/// How long an answer is waited for: the loop answers between two steps, of some milliseconds each.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// A question finds its own way back.
type Question = Box<dyn FnOnce(&View<'_>) + Send>;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    #[error("the collector is asked too much at once: ask again")]
    Busy,
    #[error("the collector did not answer within {} s: its machine or disk may be overloaded", ANSWER_TIMEOUT.as_secs())]
    Timeout,
    #[error("the collector has ended")]
    Ended,
    #[error("name what is asked about: a task, container or app, or the path of a file")]
    Empty,
}

/// Asks a running collector; answers come from its loop, which does nothing for it while nobody asks.
#[derive(Clone)]
pub struct Asker {
    questions: SyncSender<Question>,
    wake: Arc<OwnedFd>,
}

/// The loop's end.
pub(crate) struct Desk {
    questions: Receiver<Question>,
}

impl Desk {
    /// A desk, and who asks there; `wake` ends the sleep of the loop when written to.
    pub(crate) fn new(wake: Arc<OwnedFd>) -> (Self, Asker) {
        let (sender, questions) = sync_channel(QUESTIONS_MAX);
        (Self { questions }, Asker { questions: sender, wake })
    }

    /// Answers one question, if there is any.
    pub(crate) fn answer<'a>(&self, view: impl FnOnce() -> View<'a>) -> bool {
        let question = self.questions.try_recv();
        let is_asked = question.is_ok();
        if let Ok(question) = question {
            question(&view());
        }
        is_asked
    }
}

impl Asker {
    /// The state of each file that a task, container, app, stream or path names, and of those that
    /// are not collected, why not. Blocks for up to 10 s.
    ///
    /// # Errors
    /// There is no answer; see [`AskError`].
    pub fn why(&self, query: &str) -> Result<Explained, AskError> {
        let query = query.trim().to_owned();
        if query.is_empty() {
            return Err(AskError::Empty);
        }
        self.ask(move |view| view.why(&query))
    }

    /// How far the files of a log (`…/stdout`: also its rotated siblings) are acknowledged. Blocks
    /// for up to 10 s.
    ///
    /// # Errors
    /// There is no answer; see [`AskError`].
    pub fn acknowledged(&self, log: PathBuf) -> Result<Vec<AcknowledgedFile>, AskError> {
        self.ask(move |view| view.acknowledged(&log))
    }

    fn ask<T: Send + 'static>(
        &self,
        look: impl FnOnce(&View<'_>) -> T + Send + 'static,
    ) -> Result<T, AskError> {
        let (sender, answer) = sync_channel(1);
        let question: Question = Box::new(move |view| {
            // Whoever asked may have given up.
            sender.try_send(look(view)).unwrap_or_default();
        });
        self.questions.try_send(question).map_err(|error| match error {
            TrySendError::Full(_) => AskError::Busy,
            TrySendError::Disconnected(_) => AskError::Ended,
        })?;
        if let Err(error) = rustix::io::write(&*self.wake, &1u64.to_ne_bytes()) {
            tracing::debug!("the collector will see the question at its next step: {error}");
        }
        answer.recv_timeout(ANSWER_TIMEOUT).map_err(|error| match error {
            RecvTimeoutError::Timeout => AskError::Timeout,
            RecvTimeoutError::Disconnected => AskError::Ended,
        })
    }
}
