//! What a topic must be like, lest batches be lost in it; and the command that makes it so.

use std::time::Duration;

use super::config::{KafkaConfig, TOPIC_MESSAGE_BYTES, TOPIC_MESSAGE_BYTES_MAX};

/// The least `retention.bytes` of a partition: what the store may have to read again after a crash,
/// several times over.
pub const RETENTION_BYTES_MIN: i64 = 1 << 30;

/// What was found to be wrong with one setting.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) name: &'static str,
    pub(super) found: String,
    /// What the command sets.
    pub(super) wanted: String,
    pub(super) why: &'static str,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, found, wanted, why } = self;
        write!(f, "{name} is {found}, not {wanted}: {why}")
    }
}

/// What one setting must be.
struct Demand {
    name: &'static str,
    is_right: Box<dyn Fn(&str) -> bool>,
    wanted: String,
    why: &'static str,
}

impl Demand {
    /// One value and no other.
    fn exactly(name: &'static str, wanted: &'static str, why: &'static str) -> Self {
        Self { name, is_right: Box::new(move |found| found == wanted), wanted: wanted.into(), why }
    }

    /// A number, or -1 for no limit.
    fn at_least(name: &'static str, least: i64, why: &'static str) -> Self {
        let is_right = Box::new(move |found: &str| found == "-1" || at_least(found, least));
        Self { name, is_right, wanted: least.to_string(), why }
    }

    /// A number from `least` to `most`.
    fn within(name: &'static str, least: i64, most: i64, why: &'static str) -> Self {
        let is_right =
            move |found: &str| at_least(found, least) && !at_least(found, most.saturating_add(1));
        Self { name, is_right: Box::new(is_right), wanted: least.to_string(), why }
    }
}

/// Finds what is wrong with a topic's settings. `setting` gives the value in effect; one that the
/// brokers do not tell is taken to be right. `replicas` are the fewest that any partition has.
pub(super) fn faults<'a>(
    setting: impl Fn(&str) -> Option<&'a str>,
    replicas: usize,
    retention_min: Duration,
) -> Vec<Fault> {
    let demands = message_demands().into_iter().chain(keeping_demands(replicas, retention_min));
    let fault = |Demand { name, is_right, wanted, why }: Demand| {
        let found = setting(name).filter(|found| !is_right(found))?.to_owned();
        Some(Fault { name, found, wanted, why })
    };
    demands.filter_map(fault).collect()
}

/// That each batch is taken as it is, and nothing else that could do harm.
fn message_demands() -> [Demand; 3] {
    [
        Demand::exactly(
            "message.timestamp.type",
            "LogAppendTime",
            "an agent whose clock is wrong would have its batches refused, or deleted at once",
        ),
        Demand::within(
            "max.message.bytes",
            TOPIC_MESSAGE_BYTES as i64,
            TOPIC_MESSAGE_BYTES_MAX as i64,
            "a large batch would never be taken, or a stranger's could never be read and held up the rest",
        ),
        Demand::exactly(
            "compression.type",
            "uncompressed",
            "a stranger's message that inflates to gigabytes would reach every aggregator as it is",
        ),
    ]
}

/// That what was acknowledged stays until it was read.
fn keeping_demands(replicas: usize, retention_min: Duration) -> [Demand; 5] {
    let unread = "batches would be deleted before an aggregator that was down has read them";
    let least = i64::try_from(retention_min.as_millis()).unwrap_or(i64::MAX);
    [
        Demand::exactly(
            "cleanup.policy",
            "delete",
            "compaction deletes batches that nobody has read",
        ),
        Demand::at_least("retention.ms", least, unread),
        Demand::at_least("retention.bytes", RETENTION_BYTES_MIN, unread),
        Demand::exactly(
            "unclean.leader.election.enable",
            "false",
            "a broker that is behind could become the leader, and acknowledged batches would be gone",
        ),
        Demand::within(
            "min.insync.replicas",
            in_sync_wanted(replicas),
            i64::try_from(replicas).unwrap_or(i64::MAX),
            if replicas == 1 {
                "there is one replica only: nothing could be written"
            } else {
                "an acknowledged batch could be held by one broker alone, and be lost with it"
            },
        ),
    ]
}

/// How many replicas must hold an acknowledged batch, lest it be lost with one broker.
pub(super) fn in_sync_wanted(replicas: usize) -> i64 {
    if replicas < 2 { 1 } else { 2 }
}

fn at_least(found: &str, least: i64) -> bool {
    found.trim().parse::<i64>().is_ok_and(|found| found >= least)
}

/// The command with which Kafka's own tools mend the faults.
pub(super) fn mend(faults: &[Fault], config: &KafkaConfig) -> String {
    let (tool, topic) = (config.tool_args(), &config.topic);
    let settings: Vec<String> =
        faults.iter().map(|fault| format!("{}={}", fault.name, fault.wanted)).collect();
    format!(
        "kafka-configs.sh {tool} --alter --entity-type topics --entity-name \
         {topic} --add-config {}",
        settings.join(",")
    )
}

/// The settings of a topic that is created.
pub(super) fn settings_for(replicas: usize, retention: Duration) -> Vec<(&'static str, String)> {
    vec![
        ("message.timestamp.type", "LogAppendTime".to_owned()),
        ("max.message.bytes", TOPIC_MESSAGE_BYTES.to_string()),
        ("cleanup.policy", "delete".to_owned()),
        ("retention.ms", retention.as_millis().to_string()),
        ("retention.bytes", "-1".to_owned()),
        ("unclean.leader.election.enable", "false".to_owned()),
        ("min.insync.replicas", in_sync_wanted(replicas).to_string()),
        // Batches are compressed already.
        ("compression.type", "uncompressed".to_owned()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);
    const HOUR: Duration = Duration::from_secs(3_600);

    fn found(change: Option<(&str, &str)>, replicas: usize) -> Vec<(&'static str, String)> {
        let made = settings_for(replicas, DAY);
        let setting = |name: &str| match change {
            Some((changed, value)) if changed == name => Some(value),
            _ => made.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str()),
        };
        let faults = faults(setting, replicas, HOUR);
        faults.into_iter().map(|fault| (fault.name, fault.wanted)).collect()
    }

    #[test]
    fn what_is_created_is_accepted() {
        for replicas in 1..=5 {
            assert_eq!(found(None, replicas), []);
        }
    }

    #[test]
    fn each_setting_that_would_lose_data_is_found() {
        for (name, value, replicas) in [
            ("message.timestamp.type", "CreateTime", 3),
            ("max.message.bytes", "1048588", 3),
            ("max.message.bytes", "200000000", 3),
            ("compression.type", "producer", 3),
            ("cleanup.policy", "compact", 3),
            ("cleanup.policy", "compact,delete", 3),
            ("retention.ms", "3599999", 3),
            ("retention.bytes", "1048576", 3),
            ("unclean.leader.election.enable", "true", 3),
            ("min.insync.replicas", "1", 3),
            ("min.insync.replicas", "1", 2),
            ("min.insync.replicas", "2", 1),
            ("min.insync.replicas", "4", 3),
        ] {
            let found = found(Some((name, value)), replicas);
            assert_eq!(found.len(), 1, "{name}={value}: {found:?}");
            assert_eq!(found[0].0, name);
            assert_ne!(found[0].1, value);
        }
    }

    #[test]
    fn other_good_settings_are_accepted() {
        for (name, value) in [
            ("retention.ms", "-1"),
            ("retention.ms", "3600000"),
            ("retention.bytes", "1073741824"),
            ("max.message.bytes", "20000000"),
            ("min.insync.replicas", "3"),
        ] {
            assert_eq!(found(Some((name, value)), 3), [], "{name}={value}");
        }
    }

    #[test]
    fn the_command_mends_all_faults_at_once() {
        let fault = |name, wanted: &str| Fault {
            name,
            found: String::new(),
            wanted: wanted.to_owned(),
            why: "",
        };
        let faults = [fault("cleanup.policy", "delete"), fault("retention.ms", "3600000")];
        let config = KafkaConfig {
            brokers: "k:9092".into(),
            topic: "logs".into(),
            client_id: String::new(),
            tls_ca: None,
        };
        let command = mend(&faults, &config);
        assert!(command.ends_with("--add-config cleanup.policy=delete,retention.ms=3600000"));
        assert!(
            command.contains("--bootstrap-server k:9092") && command.contains("--entity-name logs")
        );
    }
}
