//! What a client says by itself: connections that fail, brokers that are gone. It would say so many
//! times a second; people are told once and then every half minute.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// How long the same trouble is not told again.
const QUIET: Duration = Duration::from_secs(30);
/// The longest text that is taken over from librdkafka, in bytes.
const TEXT_BYTES_MAX: usize = 1024;

/// Tells people, and remembers the last cause for an error that has none of its own.
#[derive(Debug)]
pub(super) struct Events {
    /// Whose trouble it is.
    who: &'static str,
    /// Nothing is told, only remembered: the owner puts the cause into an error.
    silent: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By the number of the error.
    told: HashMap<i32, Instant>,
    last: Option<String>,
}

impl Events {
    pub(super) fn new(who: &'static str) -> Self {
        Self { who, silent: false, state: Mutex::default() }
    }

    pub(super) fn silent(who: &'static str) -> Self {
        Self { silent: true, ..Self::new(who) }
    }

    /// Why the last connection failed, if one did.
    pub(super) fn last_cause(&self) -> Option<String> {
        self.state.lock().last.clone()
    }

    /// Whether it is time to tell of this kind of trouble.
    fn is_due(&self, code: RDKafkaErrorCode) -> bool {
        let (now, mut state) = (Instant::now(), self.state.lock());
        let due = state.told.get(&(code as i32)).is_none_or(|at| now.duration_since(*at) >= QUIET);
        if due {
            state.told.insert(code as i32, now);
        }
        due
    }

    fn remember(&self, reason: &str) {
        self.state.lock().last = Some(cause(reason));
    }
}

/// librdkafka's text without what only its developers want to know.
fn cause(text: &str) -> String {
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let text = &text[..end];
    let text = text.split(" (after ").next().unwrap_or(text);
    text.strip_prefix("ssl://").unwrap_or(text).trim().to_owned()
}

impl ClientContext for Events {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // A setting that does nothing is ours to hear of; the rest comes to `error` as well, as far as
        // people can do something about it.
        if facility == "CONFWARN" {
            tracing::warn!("{}: {message}", self.who);
        }
        tracing::debug!(target: "librdkafka", ?level, facility, "{message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
        if code != RDKafkaErrorCode::AllBrokersDown {
            self.remember(reason);
        }
        if self.silent || !self.is_due(code) {
            return;
        }
        let who = self.who;
        match code {
            RDKafkaErrorCode::AllBrokersDown => {
                tracing::error!(
                    "{who}: no broker can be reached; it goes on as soon as one is back"
                );
            }
            _ => tracing::warn!("{who}: {}", cause(reason)),
        }
    }
}

impl ConsumerContext for Events {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_trouble_is_told_once_and_its_cause_is_kept() {
        let events = Events::new("test");
        assert!(events.is_due(RDKafkaErrorCode::AllBrokersDown));
        assert!(!events.is_due(RDKafkaErrorCode::AllBrokersDown));
        assert!(events.is_due(RDKafkaErrorCode::BrokerTransportFailure));
        let down = KafkaError::Global(RDKafkaErrorCode::BrokerTransportFailure);
        events.error(down, "k:1/bootstrap: Connection refused (after 0ms in state CONNECT)");
        events.error(KafkaError::Global(RDKafkaErrorCode::AllBrokersDown), "1/1 brokers are down");
        assert_eq!(events.last_cause().as_deref(), Some("k:1/bootstrap: Connection refused"));
        let long = "é".repeat(TEXT_BYTES_MAX);
        assert!(cause(&long).len() <= TEXT_BYTES_MAX);
    }
}
