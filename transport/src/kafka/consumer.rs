//! The receiving side: partitions assigned by hand, from positions that the store keeps. The group's
//! offsets are committed for tools that show a lag; nothing is ever read from them.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::metadata::{MetadataPartition, MetadataTopic};
use rdkafka::{Offset, TopicPartitionList};

use super::config::{KafkaConfig, KafkaError};
use super::events::Events;
use super::reasons::reason;
use super::topic::Topic;
use super::topic_id::topic_id;
use crate::consumer::{Bounds, ConsumeError, Consumer, Event};

/// How long a question to the brokers may take: nothing is read meanwhile.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a position that was refused is left alone, if the partition's leader cannot be asked.
const PLACE_AGAIN: Duration = Duration::from_secs(10);
/// How often it is looked whether partitions were added, and how long that may hold up reading.
const GROWTH: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(1));

/// Reads the topic's partitions in order. It never revokes any by itself, and offers
/// ([`Event::Assigned`]) those that are added while it runs.
pub struct KafkaConsumer {
    config: KafkaConfig,
    group: String,
    /// The id of the topic that positions count messages of.
    topic_id: u128,
    client: BaseConsumer<Events>,
    /// A client that only asks. On the connection of one that reads, an answer waits behind that to the
    /// fetch under way, a quarter of a second each time there is nothing to read.
    asking: BaseConsumer<Events>,
    partitions: u32,
    cursors: BTreeMap<u32, Cursor>,
    /// What is to be told before the next message.
    pending: VecDeque<Event>,
    /// A position was refused by the brokers: when it is to be found out which one.
    find_place_at: Option<Instant>,
    /// The client failed for good.
    broken: bool,
    looked_for_growth: Instant,
}

#[derive(Debug)]
struct Cursor {
    next: u64,
    paused: bool,
    /// What the group was told.
    committed: u64,
}

impl std::fmt::Debug for KafkaConsumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaConsumer")
            .field("config", &self.config)
            .field("cursors", &self.cursors)
            .finish_non_exhaustive()
    }
}

impl KafkaConsumer {
    /// Makes a consumer of a topic that was checked; it connects in the background, and reads what is
    /// assigned to it. `group` is only what offsets are committed for.
    ///
    /// # Errors
    /// The configuration is wrong.
    pub fn new(config: &KafkaConfig, group: &str, topic: &Topic) -> Result<Self, KafkaError> {
        config.validate()?;
        Ok(Self {
            client: connect(config, group)?,
            asking: BaseConsumer::from_config_and_context(
                &config.client(),
                Events::silent("Kafka"),
            )
            .map_err(|error| KafkaError::Client(error.to_string()))?,
            config: config.clone(),
            group: group.to_owned(),
            topic_id: topic.id,
            partitions: topic.partitions,
            cursors: BTreeMap::new(),
            pending: VecDeque::new(),
            find_place_at: None,
            broken: false,
            looked_for_growth: Instant::now(),
        })
    }

    fn list(&self, partition: u32, offset: Offset) -> Result<TopicPartitionList, ConsumeError> {
        let mut list = TopicPartitionList::with_capacity(1);
        let number = i32::try_from(partition).unwrap_or(i32::MAX);
        list.add_partition_offset(&self.config.topic, number, offset)
            .map_err(|error| self.failed(partition, &error))?;
        Ok(list)
    }

    fn failed(&self, partition: u32, error: &ClientError) -> ConsumeError {
        ConsumeError::Failed {
            place: format!("partition {partition} of topic {}", self.config.topic),
            reason: reason(error, &self.config.topic),
        }
    }

    fn check(&self, partition: u32) -> Result<(), ConsumeError> {
        let partitions = self.partitions;
        if partition < partitions {
            return Ok(());
        }
        Err(ConsumeError::NoPartition { partition, partitions })
    }

    /// Whether the topic is still the one that was checked. It is asked where a position is refused: a
    /// topic that was made again has fewer messages, for a while.
    fn check_topic(&self) -> Result<(), ConsumeError> {
        if self.topic_id == 0 {
            return Ok(());
        }
        let found = topic_id(self.asking.client(), &self.config.topic, ASK_TIMEOUT);
        if found.is_none_or(|found| found == self.topic_id) {
            return Ok(());
        }
        Err(ConsumeError::Replaced { place: format!("topic {}", self.config.topic) })
    }

    /// A client that failed for good is replaced; its partitions are to be assigned again.
    fn rebuild_if_broken(&mut self) -> Result<(), ConsumeError> {
        if !self.broken {
            return Ok(());
        }
        self.client = connect(&self.config, &self.group).map_err(|error| ConsumeError::Failed {
            place: format!("topic {}", self.config.topic),
            reason: error.to_string(),
        })?;
        self.cursors.clear();
        self.pending.clear();
        self.broken = false;
        Ok(())
    }

    /// Starts fetching a partition at a position, whatever was fetched of it before.
    fn fetch_from(&mut self, partition: u32, from: u64) -> Result<(), ConsumeError> {
        let offset = i64::try_from(from).map_err(|_| ConsumeError::Failed {
            place: format!("partition {partition} of topic {}", self.config.topic),
            reason: format!("{from} is no offset of Kafka's"),
        })?;
        let list = self.list(partition, Offset::Offset(offset))?;
        // The client would keep a pause for whenever the partition is assigned again.
        self.pause(partition, false);
        if self.cursors.remove(&partition).is_some() {
            self.client
                .incremental_unassign(&list)
                .map_err(|error| self.failed(partition, &error))?;
        }
        self.client.incremental_assign(&list).map_err(|error| self.failed(partition, &error))?;
        self.cursors.insert(partition, Cursor { next: from, paused: false, committed: 0 });
        Ok(())
    }

    /// Offers partitions that were added to the topic.
    fn look_for_growth(&mut self) {
        let (every, timeout) = GROWTH;
        if self.looked_for_growth.elapsed() < every {
            return;
        }
        self.looked_for_growth = Instant::now();
        let found = match self.asking.fetch_metadata(Some(&self.config.topic), timeout) {
            Ok(metadata) => metadata.topics().first().map_or(0, partitions_with_leaders),
            Err(error) => {
                tracing::debug!("cannot look whether the topic has grown: {error}");
                return;
            }
        };
        for partition in self.partitions..found {
            tracing::info!(partition, "the topic has a new partition");
            self.pending.push_back(Event::Assigned { partition });
        }
        self.partitions = self.partitions.max(found);
    }

    fn received(&mut self, received: Received) -> Option<Event> {
        let Received { partition, offset, stored_at, message } = received;
        let cursor = self.cursors.get_mut(&partition)?;
        let from = cursor.next;
        if offset < from {
            return None;
        }
        cursor.next = offset + 1;
        let event = Event::Message { partition, offset, stored_at, message };
        if offset == from {
            return Some(event);
        }
        self.pending.push_back(event);
        let reason =
            "the brokers skip them: damaged, compacted, or marks of transactions".to_owned();
        Some(Event::Missing { partition, from, to: offset, reason })
    }

    /// Takes in what the client says instead of a message.
    fn trouble(&mut self, error: &ClientError) -> Result<(), ConsumeError> {
        if let ClientError::MessageConsumptionFatal(_) = error {
            self.broken = true;
            return Err(ConsumeError::Failed {
                place: format!("topic {}", self.config.topic),
                reason: reason(error, &self.config.topic),
            });
        }
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                self.find_place_at = Some(Instant::now());
            }
            // The client tries again by itself, and has told its context.
            _ => tracing::debug!("reading {}: {error}", self.config.topic),
        }
        Ok(())
    }

    /// Finds the positions that the topic no longer (or never) had. Those that are deleted are told
    /// as missing; reading goes on where the topic begins.
    fn find_place(&mut self) -> Result<(), ConsumeError> {
        let cursors: Vec<(u32, u64, u64)> = self
            .cursors
            .iter()
            .map(|(partition, cursor)| (*partition, cursor.next, cursor.committed))
            .collect();
        for (partition, next, committed) in cursors {
            let Ok(Bounds { low, high }) = self.bounds(partition) else {
                // Its leader is away; the others go on.
                self.find_place_at = Some(Instant::now() + PLACE_AGAIN);
                continue;
            };
            if next > high {
                self.check_topic()?;
                return Err(ConsumeError::BeyondEnd { partition, position: next, high });
            }
            let paused = self.cursors.get(&partition).is_some_and(|cursor| cursor.paused);
            self.fetch_from(partition, next.max(low))?;
            self.pause(partition, paused);
            if let Some(cursor) = self.cursors.get_mut(&partition) {
                cursor.committed = committed;
            }
            if next < low {
                let reason = "the topic's retention deleted them before they were read".to_owned();
                self.pending.push_back(Event::Missing { partition, from: next, to: low, reason });
            }
        }
        Ok(())
    }
}

fn connect(config: &KafkaConfig, group: &str) -> Result<BaseConsumer<Events>, KafkaError> {
    let events = Events::new("Kafka consumer");
    BaseConsumer::from_config_and_context(&config.consumer(group), events)
        .map_err(|error| KafkaError::Client(error.to_string()))
}

/// How many partitions, from the first on, can be read: those that were just added may wait.
fn partitions_with_leaders(topic: &MetadataTopic) -> u32 {
    let has_leader = |partition: &&MetadataPartition| partition.leader() >= 0;
    let partitions = topic.partitions().iter().take_while(has_leader).count();
    u32::try_from(partitions).unwrap_or(u32::MAX)
}

/// A message that no longer borrows from the client.
struct Received {
    partition: u32,
    offset: u64,
    stored_at: i64,
    message: Bytes,
}

impl Received {
    fn copy(message: &BorrowedMessage<'_>) -> Self {
        Self {
            partition: u32::try_from(message.partition()).unwrap_or_default(),
            offset: u64::try_from(message.offset()).unwrap_or_default(),
            stored_at: message.timestamp().to_millis().unwrap_or(0).saturating_mul(1_000_000),
            message: Bytes::copy_from_slice(message.payload().unwrap_or_default()),
        }
    }
}

impl Consumer for KafkaConsumer {
    fn partitions(&self) -> u32 {
        self.partitions
    }

    fn assign(&mut self, partition: u32, from: u64) -> Result<(), ConsumeError> {
        self.rebuild_if_broken()?;
        if from > 0 {
            self.check_topic()?;
        }
        let Bounds { high, .. } = self.bounds(partition)?;
        if from > high {
            return Err(ConsumeError::BeyondEnd { partition, position: from, high });
        }
        self.pending.retain(|event| partition_of(event) != Some(partition));
        self.fetch_from(partition, from)
    }

    fn revoke(&mut self, partition: u32) {
        self.pause(partition, false);
        if self.cursors.remove(&partition).is_none() {
            return;
        }
        self.pending.retain(|event| partition_of(event) != Some(partition));
        let list = self.list(partition, Offset::Invalid);
        let revoked = list.and_then(|list| {
            self.client.incremental_unassign(&list).map_err(|error| self.failed(partition, &error))
        });
        if let Err(error) = revoked {
            tracing::warn!("a partition that is no longer wanted is read on and not used: {error}");
        }
    }

    fn pause(&mut self, partition: u32, paused: bool) {
        let changes = |cursor: &&mut Cursor| cursor.paused != paused;
        let Some(cursor) = self.cursors.get_mut(&partition).filter(changes) else { return };
        cursor.paused = paused;
        let done = self.list(partition, Offset::Invalid).and_then(|list| {
            let done = if paused { self.client.pause(&list) } else { self.client.resume(&list) };
            done.map_err(|error| self.failed(partition, &error))
        });
        if let Err(error) = done {
            tracing::warn!(partition, paused, "cannot pause or resume: {error}");
        }
    }

    fn poll(&mut self, timeout: Duration) -> Result<Option<Event>, ConsumeError> {
        self.look_for_growth();
        // Nothing comes from it but what it says by itself, which must not pile up.
        if let Some(Err(error)) = self.asking.poll(Duration::ZERO) {
            tracing::debug!("asking the brokers: {error}");
        }
        if self.find_place_at.is_some_and(|at| at <= Instant::now()) {
            self.find_place_at = None;
            self.find_place()?;
        }
        if let Some(event) = self.pending.pop_front() {
            return Ok(Some(event));
        }
        let polled = self.client.poll(timeout).map(|polled| polled.map(|one| Received::copy(&one)));
        match polled {
            None => Ok(None),
            Some(Ok(received)) => Ok(self.received(received)),
            Some(Err(error)) => self.trouble(&error).map(|()| None),
        }
    }

    fn bounds(&self, partition: u32) -> Result<Bounds, ConsumeError> {
        self.check(partition)?;
        let number = i32::try_from(partition).unwrap_or(i32::MAX);
        let (low, high) = self
            .asking
            .fetch_watermarks(&self.config.topic, number, ASK_TIMEOUT)
            .map_err(|error| self.failed(partition, &error))?;
        let offset = |offset: i64| u64::try_from(offset).unwrap_or(0);
        Ok(Bounds { low: offset(low), high: offset(high) })
    }

    /// Commits the position for the group. Kafka deletes by the topic's retention alone.
    fn processed(&mut self, partition: u32, upto: u64) {
        let Some(cursor) = self.cursors.get_mut(&partition) else { return };
        if upto <= cursor.committed {
            return;
        }
        cursor.committed = upto;
        let offset = Offset::Offset(i64::try_from(upto).unwrap_or(i64::MAX));
        let done = self.list(partition, offset).and_then(|list| {
            let commit = self.client.commit(&list, CommitMode::Async);
            commit.map_err(|error| self.failed(partition, &error))
        });
        if let Err(error) = done {
            tracing::debug!("the group's offset is only for tools, and was not committed: {error}");
        }
    }
}

fn partition_of(event: &Event) -> Option<u32> {
    match event {
        Event::Message { partition, .. } | Event::Missing { partition, .. } => Some(*partition),
        Event::Assigned { .. } | Event::Revoked { .. } => None,
    }
}
