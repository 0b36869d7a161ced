//! Kafka's settings: the table `[kafka]` of a file, and what flags and environment say.

use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeTable;

use super::file::{Placed, Reader};
use super::origin::Effective;
use super::{Given, absolute, values};
use crate::args::{GroupArgs, KafkaArgs};

const DEFAULT_TOPIC: &str = "sawlog";
const DEFAULT_GROUP: &str = "sawlog";
const DEFAULT_PARTITIONS: u32 = 16;
const DEFAULT_RETENTION: Duration = Duration::from_secs(24 * 3600);

/// What a role that needs Kafka says in a build that has none.
pub(crate) const WITHOUT_KAFKA: &str = "this sawlog was built without Kafka: build it with the feature \
                                        `kafka` (cargo's default), or use `sawlog run`, which needs none";

/// Each key of the table, with an example of how it is written.
pub(super) const KEYS: [(&str, &str); 8] = [
    ("kafka.brokers", r#"brokers = "kafka1:9092,kafka2:9092""#),
    ("kafka.topic", r#"topic = "sawlog""#),
    ("kafka.tls_ca", r#"tls_ca = "/etc/sawlog/ca.pem""#),
    ("kafka.no_create_topic", "no_create_topic = false"),
    ("kafka.topic_partitions", "topic_partitions = 16"),
    ("kafka.topic_replication", "topic_replication = 3"),
    ("kafka.topic_retention", r#"topic_retention = "1d""#),
    ("kafka.group", r#"group = "sawlog""#),
];

/// What a role needs to know of Kafka.
#[derive(Clone, Debug)]
pub(crate) struct Kafka {
    /// `host:port`, several separated by commas.
    pub(crate) brokers: String,
    pub(crate) topic: String,
    /// Absolute.
    pub(crate) tls_ca: Option<PathBuf>,
    /// Whether a missing topic may be created, and how: see `TopicWishes`.
    pub(crate) create_topic: bool,
    pub(crate) topic_partitions: u32,
    pub(crate) topic_replication: Option<u16>,
    pub(crate) topic_retention: Duration,
    /// What the aggregator's offsets are committed for.
    pub(crate) group: String,
}

/// What the table says; `None` where it is silent.
#[derive(Debug, Default)]
pub(super) struct KafkaTable {
    brokers: Option<Placed<String>>,
    topic: Option<Placed<String>>,
    tls_ca: Option<Placed<PathBuf>>,
    no_create_topic: Option<Placed<bool>>,
    topic_partitions: Option<Placed<u32>>,
    topic_replication: Option<Placed<u16>>,
    topic_retention: Option<Placed<Duration>>,
    group: Option<Placed<String>>,
}

impl KafkaTable {
    pub(super) fn read(reader: &mut Reader<'_>, table: &DeTable<'_>) -> Self {
        let mut this = Self::default();
        for (key, value) in table {
            let name = format!("kafka.{}", key.get_ref());
            match name.as_str() {
                "kafka.brokers" => this.brokers = reader.parsed(&name, value, values::brokers),
                "kafka.topic" => this.topic = reader.parsed(&name, value, values::topic),
                "kafka.tls_ca" => this.tls_ca = reader.path(&name, value),
                "kafka.no_create_topic" => this.no_create_topic = reader.boolean(&name, value),
                "kafka.topic_partitions" => {
                    this.topic_partitions = reader.number(&name, value, values::partitions);
                }
                "kafka.topic_replication" => {
                    this.topic_replication = reader.number(&name, value, values::replication);
                }
                "kafka.topic_retention" => {
                    this.topic_retention = reader.parsed(&name, value, values::topic_retention);
                }
                "kafka.group" => this.group = reader.parsed(&name, value, values::group),
                _ => reader.unknown(&key.span(), &name),
            }
        }
        this
    }
}

/// Puts arguments, environment, the file's table and defaults together. `group` only for a role that
/// has one.
///
/// # Errors
/// No brokers are named, or the settings cannot be used.
pub(super) fn pick(
    from: &mut Effective,
    given: &Given,
    args: &KafkaArgs,
    group: Option<&GroupArgs>,
    file: KafkaTable,
) -> anyhow::Result<Kafka> {
    if cfg!(not(feature = "kafka")) {
        anyhow::bail!("{WITHOUT_KAFKA}");
    }
    let brokers = from.pick("kafka.brokers", args.brokers.clone(), file.brokers);
    let topic = from.pick("kafka.topic", args.topic.clone(), file.topic);
    let tls_ca = from.pick("kafka.tls_ca", args.kafka_tls_ca.clone(), file.tls_ca);
    let no_create = given.flag("no_create_topic", args.no_create_topic);
    let no_create = from.pick("kafka.no_create_topic", no_create, file.no_create_topic);
    let partitions =
        from.pick("kafka.topic_partitions", args.topic_partitions, file.topic_partitions);
    let replication =
        from.pick("kafka.topic_replication", args.topic_replication, file.topic_replication);
    let retention = from.pick("kafka.topic_retention", args.topic_retention, file.topic_retention);
    let group = group.and_then(|group| from.pick("kafka.group", group.group.clone(), file.group));
    let Some(brokers) = brokers else {
        anyhow::bail!(
            "no brokers of Kafka are named: add --brokers HOST:PORT (in a file: brokers in [kafka]), or \
             use `sawlog run`, which needs no Kafka"
        );
    };
    Ok(Kafka {
        brokers,
        topic: topic.unwrap_or_else(|| DEFAULT_TOPIC.to_owned()),
        tls_ca: tls_ca.as_deref().map(absolute).transpose()?,
        create_topic: !no_create.unwrap_or(false),
        topic_partitions: partitions.unwrap_or(DEFAULT_PARTITIONS),
        topic_replication: replication,
        topic_retention: retention.unwrap_or(DEFAULT_RETENTION),
        group: group.unwrap_or_else(|| DEFAULT_GROUP.to_owned()),
    })
}

impl Kafka {
    /// The settings as they are shown.
    pub(super) fn shown(&self) -> Vec<(&'static str, Option<toml::Value>)> {
        let text = |text: &str| Some(toml::Value::String(text.to_owned()));
        let number = |number: u32| toml::Value::Integer(number.into());
        vec![
            ("kafka.brokers", text(&self.brokers)),
            ("kafka.topic", text(&self.topic)),
            ("kafka.tls_ca", self.tls_ca.as_ref().and_then(|path| text(&path.to_string_lossy()))),
            ("kafka.no_create_topic", Some(toml::Value::Boolean(!self.create_topic))),
            ("kafka.topic_partitions", Some(number(self.topic_partitions))),
            ("kafka.topic_replication", self.topic_replication.map(|n| number(n.into()))),
            ("kafka.topic_retention", text(&values::show_duration(self.topic_retention))),
            ("kafka.group", text(&self.group)),
        ]
    }
}
