//! The sending side: an idempotent producer whose delivery reports are the acknowledgements.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use rdkafka::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{
    BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer,
};

use super::config::{KafkaConfig, KafkaError, PRODUCER_BYTES_MAX};
use super::events::Events;
use super::outstanding::Outstanding;
use super::reasons::refusal;
use crate::limits::MESSAGE_BYTES_MAX;
use crate::producer::{AckSender, Position, Producer, SendError};

/// Sends batches to the topic. Nothing is given up: while no broker answers, what was taken stays
/// under way, and beyond [`PRODUCER_BYTES_MAX`] nothing more is taken.
pub struct KafkaProducer {
    config: KafkaConfig,
    outstanding: Arc<Mutex<Outstanding>>,
    /// `None` after a fatal error, until the next message builds a new one.
    client: Mutex<Option<Client>>,
    /// 0 until the topic is known.
    partitions: AtomicU32,
}

type Client = ThreadedProducer<Reports>;

impl std::fmt::Debug for KafkaProducer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaProducer").field("config", &self.config).finish_non_exhaustive()
    }
}

impl KafkaProducer {
    /// Makes a producer; it connects in the background. It takes messages once it is told the count
    /// of partitions by [`Self::open`].
    ///
    /// # Errors
    /// The configuration is wrong.
    pub fn new(config: &KafkaConfig) -> Result<Self, KafkaError> {
        config.validate()?;
        let outstanding = Arc::default();
        let client = connect(config, &outstanding)?;
        Ok(Self {
            config: config.clone(),
            outstanding,
            client: Mutex::new(Some(client)),
            partitions: AtomicU32::new(0),
        })
    }

    /// The topic was checked and is used with so many partitions from now on.
    pub fn open(&self, partitions: u32) {
        self.partitions.store(partitions, Ordering::Release);
    }

    fn place(&self, partition: u32) -> String {
        place(&self.config, partition)
    }

    /// A client that failed for good is replaced. What it had under way may be stored or not: it is
    /// reported as failed, and the sender sends it again.
    fn rebuild_if_broken(&self, client: &mut Option<Client>) -> Result<(), KafkaError> {
        let broken = client.as_ref().and_then(|client| client.client().fatal_error());
        if let Some((code, text)) = broken {
            tracing::error!(%code, "the Kafka producer cannot go on and is built anew: {text}");
            *client = None;
            let failed = self.outstanding.lock().end_all();
            for sent in failed {
                let place = format!("topic {}", self.config.topic);
                sent.acknowledge(Err(SendError::Failed { place, reason: text.clone() }));
            }
        }
        if client.is_none() {
            *client = Some(connect(&self.config, &self.outstanding)?);
        }
        Ok(())
    }
}

impl Drop for KafkaProducer {
    /// What is still under way may be stored or not; nobody waits in vain for its report.
    fn drop(&mut self) {
        *self.client.lock() = None;
        let left = self.outstanding.lock().end_all();
        for sent in left {
            let place = format!("topic {}", self.config.topic);
            let reason = "the producer ended before the brokers answered".to_owned();
            sent.acknowledge(Err(SendError::Failed { place, reason }));
        }
    }
}

fn place(config: &KafkaConfig, partition: u32) -> String {
    format!("partition {partition} of topic {}", config.topic)
}

fn connect(
    config: &KafkaConfig,
    outstanding: &Arc<Mutex<Outstanding>>,
) -> Result<Client, KafkaError> {
    let reports = Reports {
        events: Events::new("Kafka producer"),
        config: config.clone(),
        outstanding: outstanding.clone(),
    };
    Client::from_config_and_context(&config.producer(), reports)
        .map_err(|error| KafkaError::Client(error.to_string()))
}

impl Producer for KafkaProducer {
    fn partitions(&self) -> u32 {
        self.partitions.load(Ordering::Acquire)
    }

    fn send(
        &self,
        partition: u32,
        message: Bytes,
        tag: u64,
        acks: &AckSender,
    ) -> Result<(), SendError> {
        let partitions = self.partitions();
        if partitions == 0 {
            return Err(SendError::Full);
        }
        if partition >= partitions {
            return Err(SendError::NoPartition { partition, partitions });
        }
        if message.len() > MESSAGE_BYTES_MAX {
            return Err(SendError::TooLarge { bytes: message.len(), limit: MESSAGE_BYTES_MAX });
        }
        let failed = |reason| SendError::Failed { place: self.place(partition), reason };
        let mut client = self.client.lock();
        self.rebuild_if_broken(&mut client).map_err(|error| failed(error.to_string()))?;
        let Some(client) = client.as_ref() else { return Err(SendError::Full) };
        let id = self
            .outstanding
            .lock()
            .begin(tag, message.len(), acks, PRODUCER_BYTES_MAX)
            .ok_or(SendError::Full)?;
        let record = BaseRecord::<(), [u8], usize>::with_opaque_to(&self.config.topic, id)
            .partition(i32::try_from(partition).unwrap_or(i32::MAX))
            .payload(&message);
        let Err((error, _)) = client.send(record) else { return Ok(()) };
        self.outstanding.lock().end(id);
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::QueueFull) => Err(SendError::Full),
            _ => Err(refusal(&error, &self.config.topic, self.place(partition), message.len())),
        }
    }
}

/// Takes in delivery reports, on the client's polling thread.
struct Reports {
    events: Events,
    config: KafkaConfig,
    outstanding: Arc<Mutex<Outstanding>>,
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.events.log(level, facility, message);
    }

    fn error(&self, error: ClientError, reason: &str) {
        self.events.error(error, reason);
    }
}

impl Reports {
    fn outcome(&self, report: &DeliveryResult<'_>, bytes: usize) -> Result<Position, SendError> {
        let message = match report {
            Ok(message) | Err((_, message)) => message,
        };
        let partition = u32::try_from(message.partition()).unwrap_or_default();
        let place = || place(&self.config, partition);
        match report {
            Ok(message) => match u64::try_from(message.offset()) {
                Ok(offset) => Ok(Position { partition, offset }),
                // The brokers found out that they had it, and no longer know where.
                Err(_) => {
                    let reason = "it is stored, but the brokers do not say where".to_owned();
                    Err(SendError::Failed { place: place(), reason })
                }
            },
            Err((error, _)) => Err(refusal(error, &self.config.topic, place(), bytes)),
        }
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = usize;

    fn delivery(&self, report: &DeliveryResult<'_>, id: usize) {
        let Some(sent) = self.outstanding.lock().end(id) else { return };
        let outcome = self.outcome(report, sent.bytes());
        sent.acknowledge(outcome);
    }
}
