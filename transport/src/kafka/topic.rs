//! The topic is there and fit to be used: looked up, created if it may be, checked.

use std::time::{Duration, Instant};

use futures_executor::block_on;
use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResource, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::metadata::MetadataTopic;

use super::config::{KafkaConfig, KafkaError};
use super::events::Events;
use super::topic_id::topic_id;
use super::topic_rules::{faults, mend, settings_for};

/// How long a broker may take to create a topic or to tell its settings.
const ADMIN_TIMEOUT: Duration = Duration::from_secs(15);
/// How long to wait until brokers that know no topic yet, or have no leader for it, are asked again.
const AGAIN: Duration = Duration::from_millis(200);
/// How often a topic's id is asked for: a broker may not know yet the topic that another has created.
const ID_ATTEMPTS: usize = 5;
/// How many replicas a created topic gets where there are brokers enough.
const REPLICATION: usize = 3;
/// How long fewer brokers than that must be all there are, before a topic is created on them: a cluster
/// that is coming up shows those that are up.
const SETTLE: Duration = Duration::from_secs(5);

/// What is wanted of a topic that may have to be created.
#[derive(Clone, Debug)]
pub struct TopicWishes {
    /// Whether it may be created.
    pub create: bool,
    /// How many partitions it is created with: no more aggregators can share it.
    pub partitions: u32,
    /// How many brokers hold each batch; `None`: three, or as many as there are.
    pub replication: Option<u16>,
    /// How long it keeps batches if it is created.
    pub retention: Duration,
    /// How long a topic that was there must keep batches, lest it be refused.
    pub retention_min: Duration,
}

/// A topic that was found fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    pub name: String,
    /// The cluster's id: another cluster's topic of the same name is another one.
    pub cluster: String,
    /// The topic's own id: one that was deleted and made again is another one. 0 where brokers have
    /// none (before Kafka 2.8).
    pub id: u128,
    pub partitions: u32,
    /// What is not wrong, but should be known.
    pub doubts: Vec<String>,
}

/// Why a topic is not used.
#[derive(Debug, thiserror::Error)]
pub enum TopicError {
    #[error(transparent)]
    Config(#[from] KafkaError),
    #[error("no broker of {brokers} answers: {cause}")]
    Unreachable { brokers: String, cause: String },
    #[error("topic {topic} cannot be used yet: {cause}")]
    NotYet { topic: String, cause: String },
    #[error(
        "topic {topic} does not exist on {brokers}, and creating it is not allowed here: create it, or \
         leave out --no-create-topic. The command:\n  {command}"
    )]
    Missing { topic: String, brokers: String, command: String },
    #[error(
        "topic {topic} cannot be created: {reason}. The command for somebody who may:\n  {command}"
    )]
    NotCreated { topic: String, reason: String, command: String },
    #[error("this client may not see topic {topic}: grant it Describe, and Write or Read")]
    Denied { topic: String },
    #[error("topic {topic} would lose batches:\n{faults}This command mends it:\n  {command}")]
    Refused { topic: String, faults: String, command: String },
    #[error(
        "topic {topic} would lose batches: a partition has one replica, though there are {brokers} \
         brokers. Give it three with kafka-reassign-partitions.sh, or create another topic"
    )]
    OneReplica { topic: String, brokers: usize },
}

impl TopicError {
    /// Whether it may pass by itself: brokers or leaders are not there yet.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::NotYet { .. })
    }
}

/// Looks the topic up, creates it if it is not there and may be, and checks it. Blocks, for
/// `timeout` at most while no broker answers, and then for as long as one takes.
///
/// # Errors
/// The brokers cannot be reached, or the topic cannot be used: each error says what would help.
pub fn ensure_topic(
    config: &KafkaConfig,
    wishes: &TopicWishes,
    timeout: Duration,
) -> Result<Topic, TopicError> {
    config.validate()?;
    let probe = Probe::connect(config, timeout)?;
    let mut created = false;
    loop {
        let (found, brokers) = probe.look()?;
        match found {
            Some(found) => return check(config, wishes, &probe, &found, brokers),
            None if created => probe.pause(Some("it was just created"))?,
            None => {
                let replicas = replicas(wishes, &probe, brokers)?;
                created = create(&probe, wishes, replicas)?;
            }
        }
    }
}

/// How many replicas a topic is created with.
fn replicas(wishes: &TopicWishes, probe: &Probe<'_>, seen: usize) -> Result<usize, TopicError> {
    if let Some(replicas) = wishes.replication {
        return Ok(usize::from(replicas));
    }
    let (since, mut brokers) = (Instant::now(), seen);
    while wishes.create && brokers < REPLICATION && since.elapsed() < SETTLE {
        std::thread::sleep(AGAIN);
        brokers = probe.look()?.1;
    }
    Ok(REPLICATION.min(brokers).max(1))
}

/// What the brokers say about a topic.
struct Found {
    partitions: u32,
    /// The fewest of any partition.
    replicas: usize,
}

/// Asks the brokers until they answer.
struct Probe<'a> {
    config: &'a KafkaConfig,
    client: BaseConsumer<Events>,
    /// How long one question may take: as long as the whole attempt. The client drops a connection on
    /// which an answer is late, so that a slow line needs one long question, not many short ones.
    timeout: Duration,
    deadline: Instant,
}

impl<'a> Probe<'a> {
    fn connect(config: &'a KafkaConfig, timeout: Duration) -> Result<Self, TopicError> {
        let events = Events::silent("Kafka");
        let client = BaseConsumer::from_config_and_context(&config.client(), events)
            .map_err(|error| KafkaError::Client(error.to_string()))?;
        Ok(Self { config, client, timeout, deadline: Instant::now() + timeout })
    }

    /// What is known of the topic (`None`: it does not exist), and the count of brokers.
    fn look(&self) -> Result<(Option<Found>, usize), TopicError> {
        loop {
            match self.client.fetch_metadata(Some(&self.config.topic), self.timeout) {
                Ok(metadata) => {
                    let brokers = metadata.brokers().len();
                    match metadata.topics().first().map(|topic| self.read(topic)) {
                        Some(Ok(found)) => return Ok((found, brokers)),
                        Some(Err(Some(error))) => return Err(error),
                        // Its leaders are being elected.
                        Some(Err(None)) | None => {
                            self.pause(Some("its partitions have no leaders"))?
                        }
                    }
                }
                Err(error) => {
                    tracing::debug!("asking {}: {error}", self.config.brokers);
                    self.pause(None)?;
                }
            }
        }
    }

    /// `Err(None)`: ask again.
    fn read(&self, topic: &MetadataTopic) -> Result<Option<Found>, Option<TopicError>> {
        let error = topic.error().map(RDKafkaErrorCode::from);
        match error {
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                return Ok(None);
            }
            Some(RDKafkaErrorCode::TopicAuthorizationFailed) => {
                return Err(Some(TopicError::Denied { topic: self.config.topic.clone() }));
            }
            Some(_) => return Err(None),
            None => {}
        }
        let partitions = topic.partitions();
        let replicas = partitions.iter().map(|partition| partition.replicas().len()).min();
        let count = u32::try_from(partitions.len()).unwrap_or(u32::MAX);
        let replicas = replicas.ok_or(None)?;
        Ok(Some(Found { partitions: count, replicas }))
    }

    fn cluster(&self) -> Result<String, TopicError> {
        loop {
            if let Some(cluster) = self.client.client().fetch_cluster_id(self.timeout) {
                return Ok(cluster);
            }
            self.pause(Some("the cluster does not tell its id"))?;
        }
    }

    /// The topic's id, or 0 if brokers that do answer give none.
    fn topic_id(&self) -> Result<u128, TopicError> {
        for _ in 0..ID_ATTEMPTS {
            if let Some(id) = topic_id(self.client.client(), &self.config.topic, ADMIN_TIMEOUT) {
                return Ok(id);
            }
            self.pause(Some("the cluster does not tell the topic's id"))?;
        }
        Ok(0)
    }

    /// Waits a little. `why` is what brokers that do answer lack.
    ///
    /// # Errors
    /// The time is over.
    fn pause(&self, why: Option<&str>) -> Result<(), TopicError> {
        // Lets the client tell its context why nothing comes.
        if let Some(Err(error)) = self.client.poll(AGAIN) {
            tracing::debug!("{}: {error}", self.config.brokers);
            std::thread::sleep(AGAIN);
        }
        if Instant::now() < self.deadline {
            return Ok(());
        }
        let cause = self.client.context().last_cause();
        Err(match why {
            Some(cause) => {
                TopicError::NotYet { topic: self.config.topic.clone(), cause: cause.to_owned() }
            }
            None => TopicError::Unreachable {
                brokers: self.config.brokers.clone(),
                cause: cause.unwrap_or_else(|| "none answered in time".to_owned()),
            },
        })
    }
}

fn admin(config: &KafkaConfig) -> Result<AdminClient<DefaultClientContext>, TopicError> {
    let admin = config.client().create();
    Ok(admin.map_err(|error| KafkaError::Client(error.to_string()))?)
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(ADMIN_TIMEOUT)).operation_timeout(Some(ADMIN_TIMEOUT))
}

/// `false` if it is to be tried again.
fn create(probe: &Probe<'_>, wishes: &TopicWishes, replicas: usize) -> Result<bool, TopicError> {
    let config = probe.config;
    let settings = settings_for(replicas, wishes.retention);
    let topic = config.topic.clone();
    let command = create_command(config, wishes.partitions, replicas, &settings);
    if !wishes.create {
        return Err(TopicError::Missing { topic, brokers: config.brokers.clone(), command });
    }
    let count = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    let partitions = i32::try_from(wishes.partitions).unwrap_or(i32::MAX);
    let new = NewTopic::new(&topic, partitions, TopicReplication::Fixed(count(replicas)));
    let new = settings.iter().fold(new, |new, (name, value)| new.set(name, value));
    let answer = block_on(admin(config)?.create_topics([&new], &options()));
    let code = match answer {
        Ok(results) => results.into_iter().next().and_then(Result::err).map(|(_, code)| code),
        Err(error) => Some(code_of(&error)),
    };
    match code {
        None => {
            tracing::info!(partitions, replicas, "topic {topic} was created");
            Ok(true)
        }
        // The other end was faster.
        Some(RDKafkaErrorCode::TopicAlreadyExists) => Ok(true),
        Some(code) if passes(code) => probe.pause(Some(&code.to_string())).map(|()| false),
        Some(code) => Err(TopicError::NotCreated { topic, reason: code.to_string(), command }),
    }
}

/// What an administrator's request failed with; the client keeps the code of a whole request elsewhere.
fn code_of(error: &ClientError) -> RDKafkaErrorCode {
    match error {
        ClientError::AdminOp(code) => *code,
        error => error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown),
    }
}

/// Whether an administrator's request may succeed when it is asked again: brokers come and go.
fn passes(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::RequestTimedOut
            | RDKafkaErrorCode::OperationTimedOut
            | RDKafkaErrorCode::NotController
            | RDKafkaErrorCode::BrokerTransportFailure
            | RDKafkaErrorCode::AllBrokersDown
            | RDKafkaErrorCode::BrokerNotAvailable
            | RDKafkaErrorCode::NetworkException
            | RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::LeaderNotAvailable
    )
}

fn create_command(
    config: &KafkaConfig,
    partitions: u32,
    replicas: usize,
    settings: &[(&'static str, String)],
) -> String {
    let (tool, topic) = (config.tool_args(), &config.topic);
    let settings: String =
        settings.iter().map(|(name, value)| format!(" --config {name}={value}")).collect();
    format!(
        "kafka-topics.sh {tool} --create --topic {topic} --partitions {partitions} \
         --replication-factor {replicas}{settings}"
    )
}

fn check(
    config: &KafkaConfig,
    wishes: &TopicWishes,
    probe: &Probe<'_>,
    found: &Found,
    brokers: usize,
) -> Result<Topic, TopicError> {
    let topic = config.topic.clone();
    let mut doubts = Vec::new();
    if found.replicas < 2 {
        if brokers > 1 && wishes.replication != Some(1) {
            return Err(TopicError::OneReplica { topic, brokers });
        }
        doubts.push(format!(
            "topic {topic} is kept by one broker alone: what it has acknowledged is lost with its disk"
        ));
    }
    if let Some(settings) = settings_in_effect(probe)? {
        let value = |name: &str| settings.get(name).and_then(|entry| entry.value.as_deref());
        let faults = faults(value, found.replicas, wishes.retention_min);
        if !faults.is_empty() {
            let command = mend(&faults, config);
            let faults = faults.iter().map(|fault| format!("  {fault}\n")).collect();
            return Err(TopicError::Refused { topic, faults, command });
        }
    } else {
        doubts.push(format!(
            "the settings of topic {topic} cannot be checked: grant DescribeConfigs on it"
        ));
    }
    let (cluster, id) = (probe.cluster()?, probe.topic_id()?);
    if id == 0 {
        doubts.push(format!(
            "the brokers give topic {topic} no id: if it is deleted and made again, nobody will notice"
        ));
    }
    Ok(Topic { cluster, id, name: topic, partitions: found.partitions, doubts })
}

/// The topic's settings, with what the brokers add; `None` if this client may not see them.
fn settings_in_effect(probe: &Probe<'_>) -> Result<Option<ConfigResource>, TopicError> {
    let topic = ResourceSpecifier::Topic(&probe.config.topic);
    let admin = admin(probe.config)?;
    loop {
        let answer = block_on(admin.describe_configs([&topic], &options()));
        let code = match answer.map(|results| results.into_iter().next()) {
            Ok(Some(Ok(settings))) => return Ok(Some(settings)),
            Ok(Some(Err(code))) => code,
            Ok(None) => RDKafkaErrorCode::Unknown,
            Err(error) => code_of(&error),
        };
        match code {
            RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed => return Ok(None),
            // A broker may not know the topic yet that another one has created.
            code => probe.pause(Some(&format!("its settings are not told: {code}")))?,
        }
    }
}
