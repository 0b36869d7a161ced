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
use super::topic_rules::{faults, mend, settings_for};

/// How long one question to the brokers may take.
const ASK_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a broker may take to create a topic or to tell its settings.
const ADMIN_TIMEOUT: Duration = Duration::from_secs(15);
/// How long to wait until brokers that know no topic yet, or have no leader for it, are asked again.
const AGAIN: Duration = Duration::from_millis(200);
/// How many replicas a created topic gets where there are brokers enough.
const REPLICATION: usize = 3;

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
    /// Whether it may pass by itself: the brokers are not there yet.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
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
            None if created => probe.pause()?,
            None => {
                create(config, wishes, brokers)?;
                created = true;
            }
        }
    }
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
    deadline: Instant,
}

impl<'a> Probe<'a> {
    fn connect(config: &'a KafkaConfig, timeout: Duration) -> Result<Self, TopicError> {
        let events = Events::silent("Kafka");
        let client = BaseConsumer::from_config_and_context(&config.client(), events)
            .map_err(|error| KafkaError::Client(error.to_string()))?;
        Ok(Self { config, client, deadline: Instant::now() + timeout })
    }

    /// What is known of the topic (`None`: it does not exist), and the count of brokers.
    fn look(&self) -> Result<(Option<Found>, usize), TopicError> {
        loop {
            match self.client.fetch_metadata(Some(&self.config.topic), ASK_TIMEOUT) {
                Ok(metadata) => {
                    let brokers = metadata.brokers().len();
                    match metadata.topics().first().map(|topic| self.read(topic)) {
                        Some(Ok(found)) => return Ok((found, brokers)),
                        Some(Err(Some(error))) => return Err(error),
                        // Its leaders are being elected.
                        Some(Err(None)) | None => self.pause()?,
                    }
                }
                Err(error) => {
                    tracing::debug!("asking {}: {error}", self.config.brokers);
                    self.pause()?;
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
            if let Some(cluster) = self.client.client().fetch_cluster_id(ASK_TIMEOUT) {
                return Ok(cluster);
            }
            self.pause()?;
        }
    }

    /// Waits a little.
    ///
    /// # Errors
    /// The time is over.
    fn pause(&self) -> Result<(), TopicError> {
        // Lets the client tell its context why nothing comes.
        if let Some(Err(error)) = self.client.poll(AGAIN) {
            tracing::debug!("{}: {error}", self.config.brokers);
            std::thread::sleep(AGAIN);
        }
        if Instant::now() < self.deadline {
            return Ok(());
        }
        let cause = self.client.context().last_cause();
        Err(TopicError::Unreachable {
            brokers: self.config.brokers.clone(),
            cause: cause.unwrap_or_else(|| "none answered in time".to_owned()),
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

fn create(config: &KafkaConfig, wishes: &TopicWishes, brokers: usize) -> Result<(), TopicError> {
    let replicas = wishes.replication.map_or(REPLICATION.min(brokers).max(1), usize::from);
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
    let refusal = match answer {
        Ok(results) => match results.into_iter().next() {
            // The other end may have been faster.
            Some(Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => {
                tracing::info!(partitions, replicas, "topic {topic} was created");
                return Ok(());
            }
            Some(Err((_, code))) => code.to_string(),
            None => "no answer".to_owned(),
        },
        Err(ClientError::AdminOp(code)) => code.to_string(),
        Err(error) => error.to_string(),
    };
    Err(TopicError::NotCreated { topic, reason: refusal, command })
}

fn create_command(
    config: &KafkaConfig,
    partitions: u32,
    replicas: usize,
    settings: &[(&'static str, String)],
) -> String {
    let KafkaConfig { brokers, topic, .. } = config;
    let settings: String =
        settings.iter().map(|(name, value)| format!(" --config {name}={value}")).collect();
    format!(
        "kafka-topics.sh --bootstrap-server {brokers} --create --topic {topic} --partitions {partitions} \
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
        if brokers > 1 {
            return Err(TopicError::OneReplica { topic, brokers });
        }
        doubts.push(format!(
            "topic {topic} is kept by one broker alone: what it has acknowledged is lost with its disk"
        ));
    }
    match settings_in_effect(config) {
        Ok(settings) => {
            let value = |name: &str| settings.get(name).and_then(|entry| entry.value.as_deref());
            let faults = faults(value, found.replicas, wishes.retention_min);
            if !faults.is_empty() {
                let command = mend(&faults, &config.brokers, &topic);
                let faults = faults.iter().map(|fault| format!("  {fault}\n")).collect();
                return Err(TopicError::Refused { topic, faults, command });
            }
        }
        Err(reason) => doubts.push(format!(
            "the settings of topic {topic} cannot be checked ({reason}): grant DescribeConfigs on it"
        )),
    }
    Ok(Topic { cluster: probe.cluster()?, name: topic, partitions: found.partitions, doubts })
}

/// The topic's settings, with what the brokers add.
fn settings_in_effect(config: &KafkaConfig) -> Result<ConfigResource, String> {
    let topic = ResourceSpecifier::Topic(&config.topic);
    let admin = admin(config).map_err(|error| error.to_string())?;
    let answer = block_on(admin.describe_configs([&topic], &options()));
    match answer.map_err(|error| error.to_string())?.into_iter().next() {
        Some(Ok(settings)) => Ok(settings),
        Some(Err(code)) => Err(code.to_string()),
        None => Err("no answer".to_owned()),
    }
}
