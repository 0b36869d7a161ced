//! Waits for the topic: brokers that cannot be reached are asked again for as long as it takes, and
//! people are told.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sawlog_transport::kafka::{KafkaConfig, Topic, TopicError, TopicWishes, ensure_topic};
use tokio::sync::oneshot;

use super::Unusable;
use super::collecting::host_name;
use crate::config::{Kafka, TOPIC_RETENTION_MIN};

/// How long an attempt may take, the first and the longest: the first failure is to be told soon, and
/// slow brokers need time (to connect and ask takes about six round trips).
const ATTEMPT: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(30));
/// How long the next failures are not told, at first and at most.
const SAY_AGAIN: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));

/// What is waited for, in words; shared with who answers `/ready`.
#[derive(Clone, Debug)]
pub(super) struct Waiting(Arc<Mutex<Option<String>>>);

impl Waiting {
    /// Waits for the brokers to answer.
    pub(super) fn new(kafka: &Kafka) -> Self {
        let what = format!("waiting for topic {} on {}", kafka.topic, kafka.brokers);
        Self(Arc::new(Mutex::new(Some(what))))
    }

    /// `None` once nothing is waited for.
    pub(super) fn reason(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, reason: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }

    pub(super) fn over(&self) {
        self.set(None);
    }
}

/// How a role's clients talk to the brokers.
///
/// # Errors
/// [`Unusable`] if a setting is wrong.
pub(super) fn client(kafka: &Kafka, role: &str) -> anyhow::Result<KafkaConfig> {
    let config = KafkaConfig {
        brokers: kafka.brokers.clone(),
        topic: kafka.topic.clone(),
        client_id: format!("sawlog-{role}-{}", host_name()),
        tls_ca: kafka.tls_ca.clone(),
    };
    config.validate().map_err(|error| Unusable(chain(&error)))?;
    Ok(config)
}

fn chain(error: &dyn std::error::Error) -> String {
    sawlog_aggregator::error_chain(error)
}

fn wishes(kafka: &Kafka, has_filled: bool) -> TopicWishes {
    TopicWishes {
        create: kafka.create_topic && !has_filled,
        partitions: kafka.topic_partitions,
        replication: kafka.topic_replication,
        retention: kafka.topic_retention,
        retention_min: TOPIC_RETENTION_MIN,
    }
}

/// Looks for the topic on a thread of its own, which ends with the receiver of the outcome. One that
/// `has_filled` a store is not created again: the store's positions would mean other messages.
pub(super) fn find(
    config: KafkaConfig,
    kafka: &Kafka,
    has_filled: bool,
    waiting: Waiting,
) -> std::io::Result<oneshot::Receiver<anyhow::Result<Topic>>> {
    let (tell, outcome) = oneshot::channel();
    let wishes = wishes(kafka, has_filled);
    std::thread::Builder::new().name("topic".to_owned()).spawn(move || {
        let found = ask_on(&config, &wishes, &waiting, || tell.is_closed());
        let found = found.map_err(|error| Unusable(why(&error, has_filled)).into());
        // Nobody listens if the role was stopped meanwhile.
        tell.send(found).unwrap_or_default();
    })?;
    Ok(outcome)
}

/// Asks until the brokers answer, or nobody wants to know any more.
fn ask_on(
    config: &KafkaConfig,
    wishes: &TopicWishes,
    waiting: &Waiting,
    is_over: impl Fn() -> bool,
) -> Result<Topic, TopicError> {
    let (mut timeout, mut quiet) = (ATTEMPT.0, SAY_AGAIN.0);
    let mut said: Option<Instant> = None;
    loop {
        let error = match ensure_topic(config, wishes, timeout) {
            Ok(topic) => return Ok(told(topic)),
            Err(error) if error.is_transient() && !is_over() => error,
            Err(error) => return Err(error),
        };
        waiting.set(Some(format!("waiting for Kafka: {error}")));
        if said.is_none_or(|at| at.elapsed() >= quiet) {
            if said.is_some() {
                quiet = (quiet * 2).min(SAY_AGAIN.1);
            }
            said = Some(Instant::now());
            say(&error);
        }
        timeout = (timeout * 2).min(ATTEMPT.1);
    }
}

fn why(error: &TopicError, has_filled: bool) -> String {
    match error {
        TopicError::Missing { topic, brokers, .. } if has_filled => format!(
            "topic {topic} has filled this store and no longer exists on {brokers}: restore it, or go on with \
             an empty --data"
        ),
        error => chain(error),
    }
}

fn say(error: &TopicError) {
    tracing::error!("{error}. It is asked again until that is over; check --brokers");
}

fn told(topic: Topic) -> Topic {
    let Topic { name, cluster, partitions, doubts, .. } = &topic;
    for doubt in doubts {
        tracing::warn!("{doubt}");
    }
    tracing::info!(partitions, cluster, "topic {name} is in use");
    topic
}

/// The count of partitions that this data directory keeps to.
///
/// # Errors
/// See [`super::pin::pin_partitions`].
pub(super) fn pinned(dir: &Path, topic: &Topic) -> anyhow::Result<u32> {
    let partitions = super::pin::pin_partitions(&dir.join(super::PIN_FILE), topic)?;
    if partitions < topic.partitions {
        let (name, has) = (&topic.name, topic.partitions);
        tracing::info!(
            "topic {name} has {has} partitions, the first {partitions} are sent to, as ever"
        );
    }
    Ok(partitions)
}
