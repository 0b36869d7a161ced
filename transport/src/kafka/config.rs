//! How a client of ours talks to the brokers: what people set, and what follows from the promises.

use std::path::PathBuf;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use crate::limits::MESSAGE_BYTES_MAX;

/// What a message takes in a topic: the batch, and what Kafka puts around it.
pub const TOPIC_MESSAGE_BYTES: usize = MESSAGE_BYTES_MAX + 64 * 1024;

/// The largest messages that a topic may take: answers beyond 100 MB are refused by the client, for
/// ever.
pub const TOPIC_MESSAGE_BYTES_MAX: usize = 64 << 20;

/// The most bytes of messages that a producer holds for the brokers; beyond, `send` answers `Full`.
pub const PRODUCER_BYTES_MAX: usize = 32 << 20;

/// The most bytes of messages that a consumer holds which were not polled.
pub const CONSUMER_QUEUED_BYTES_MAX: usize = 32 << 20;

/// The most bytes that a broker's answer brings, but at least one message; a consumer may hold one
/// answer of each broker on top.
pub const CONSUMER_FETCH_BYTES_MAX: usize = 16 << 20;

/// Where the brokers are, and what this client is called there.
#[derive(Clone, Debug)]
pub struct KafkaConfig {
    /// Some of the brokers, `host:port` separated by commas: the others are learnt from them.
    pub brokers: String,
    /// Where batches go.
    pub topic: String,
    /// What the brokers' logs and quotas call this process.
    pub client_id: String,
    /// Talk TLS, and trust brokers whose certificate one in this file (PEM) has signed.
    pub tls_ca: Option<PathBuf>,
}

/// Why no client can be made of a configuration.
#[derive(Debug, thiserror::Error)]
pub enum KafkaError {
    #[error("no brokers are named: give at least one as host:port")]
    NoBrokers,
    #[error("'{found}' is no broker: write host:port, several separated by commas")]
    NotABroker { found: String },
    #[error(
        "'{found}' is no topic: Kafka takes 1 to 249 of the characters a-z, A-Z, 0-9, '.', '_' and '-'"
    )]
    NotATopic { found: String },
    #[error("cannot read the certificates in {}", path.display())]
    Ca {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot make a Kafka client: {0}")]
    Client(String),
}

/// The longest name of a topic that Kafka takes, in bytes.
const TOPIC_NAME_BYTES_MAX: usize = 249;

impl KafkaConfig {
    /// Finds what can be known to be wrong without asking a broker.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn validate(&self) -> Result<(), KafkaError> {
        if self.brokers.trim().is_empty() {
            return Err(KafkaError::NoBrokers);
        }
        if let Some(found) = self.brokers.split(',').map(str::trim).find(|part| !is_broker(part)) {
            return Err(KafkaError::NotABroker { found: found.to_owned() });
        }
        if !is_topic(&self.topic) {
            return Err(KafkaError::NotATopic { found: self.topic.clone() });
        }
        if let Some(path) = &self.tls_ca {
            let failed = |source| KafkaError::Ca { path: path.clone(), source };
            std::fs::File::open(path).map_err(failed)?;
        }
        Ok(())
    }

    /// The brokers as Kafka's own tools take them: without blanks.
    pub(super) fn broker_list(&self) -> String {
        let brokers: Vec<&str> = self.brokers.split(',').map(str::trim).collect();
        brokers.join(",")
    }

    /// What a command of Kafka's tools needs to reach the brokers.
    pub(super) fn tool_args(&self) -> String {
        let brokers = self.broker_list();
        match self.tls_ca {
            None => format!("--bootstrap-server {brokers}"),
            // A file with security.protocol=SSL and what the tool is to trust.
            Some(_) => format!("--bootstrap-server {brokers} --command-config client.properties"),
        }
    }

    /// What all clients of ours have in common.
    pub(super) fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client
            .set("bootstrap.servers", self.broker_list())
            .set("client.id", &self.client_id)
            // The default of a minute is how long a broker that hangs would hold us up.
            .set("socket.timeout.ms", "10000")
            .set("socket.keepalive.enable", "true")
            // The default of 10 s is most of what it takes to come back after an outage.
            .set("reconnect.backoff.max.ms", "2000")
            .set("allow.auto.create.topics", "false")
            .set_log_level(RDKafkaLogLevel::Warning);
        if let Some(path) = &self.tls_ca {
            client.set("security.protocol", "ssl");
            client.set("ssl.ca.location", path.to_string_lossy());
        }
        client
    }

    /// An idempotent producer that never gives a message up: the sandbox files are the buffer, and a
    /// message that timed out would only be sent again.
    pub(super) fn producer(&self) -> ClientConfig {
        let mut client = self.client();
        let kilobytes = (PRODUCER_BYTES_MAX + MESSAGE_BYTES_MAX) / 1024 + 1024;
        client
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("message.timeout.ms", "0")
            .set("message.max.bytes", TOPIC_MESSAGE_BYTES.to_string())
            // Batches are large and compressed already.
            .set("compression.type", "none")
            .set("linger.ms", "5")
            .set("queue.buffering.max.kbytes", kilobytes.to_string());
        client
    }

    /// A consumer that begins where it is told and nowhere else.
    pub(super) fn consumer(&self, group: &str) -> ClientConfig {
        let mut client = self.client();
        client
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            // What was deleted before it was read is told, never skipped in silence.
            .set("auto.offset.reset", "error")
            .set("isolation.level", "read_uncommitted")
            // Batches carry a checksum of their own, what Kafka puts around them does not: a flipped
            // length there would be fetched again and again.
            .set("check.crcs", "true")
            // There is no session, but a commit that finds no broker holds up the end for as long.
            .set("session.timeout.ms", "6000")
            .set("fetch.wait.max.ms", "250")
            .set("fetch.message.max.bytes", (4 << 20).to_string())
            .set("fetch.max.bytes", CONSUMER_FETCH_BYTES_MAX.to_string())
            .set("queued.max.messages.kbytes", (CONSUMER_QUEUED_BYTES_MAX / 1024).to_string())
            .set("queued.min.messages", "1000")
            // The default of 1 s is a pause whenever the queue was full.
            .set("fetch.queue.backoff.ms", "50");
        client
    }
}

/// `host:port`, also with an IPv6 address in brackets.
fn is_broker(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let bracketed = host.starts_with('[') && host.ends_with(']');
    let is_host = !host.is_empty() && (bracketed || !host.contains(':'));
    is_host && !host.contains(['/', ' ']) && port.parse::<u16>().is_ok_and(|port| port > 0)
}

fn is_topic(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=TOPIC_NAME_BYTES_MAX).contains(&text.len())
        && text.bytes().all(legal)
        && text != "."
        && text != ".."
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(brokers: &str, topic: &str) -> KafkaConfig {
        let (brokers, topic) = (brokers.to_owned(), topic.to_owned());
        KafkaConfig { brokers, topic, client_id: "test".into(), tls_ca: None }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for brokers in ["kafka:9092", "10.0.0.1:9092, b:1", "[::1]:9092"] {
            config(brokers, "sawlog").validate().expect(brokers);
        }
        for brokers in
            ["kafka", "kafka:", ":9092", "k:0", "k:99999", "a:1,,b:2", "::1:9092", "http://k:1"]
        {
            let error = config(brokers, "sawlog").validate().expect_err(brokers).to_string();
            assert!(error.contains("host:port"), "{error}");
        }
        assert!(config(" ", "t").validate().unwrap_err().to_string().contains("no brokers"));
        for topic in ["", ".", "..", "a b", "a/b", &"x".repeat(250)] {
            let error = config("k:1", topic).validate().expect_err(topic).to_string();
            assert!(error.contains(&format!("'{topic}'")), "{error}");
        }
        let missing =
            KafkaConfig { tls_ca: Some("/nonexistent/ca.pem".into()), ..config("k:1", "t") };
        assert!(missing.validate().unwrap_err().to_string().contains("/nonexistent/ca.pem"));
    }

    #[test]
    fn blanks_between_brokers_do_not_reach_a_command() {
        let plain = config("a:1, b:2", "t");
        assert_eq!(plain.tool_args(), "--bootstrap-server a:1,b:2");
        let tls = KafkaConfig { tls_ca: Some("ca.pem".into()), ..plain };
        assert!(tls.tool_args().ends_with(" --command-config client.properties"));
    }

    #[test]
    fn librdkafka_takes_every_setting() {
        let config = config("127.0.0.1:1", "t");
        for client in [config.client(), config.producer(), config.consumer("g")] {
            client.create_native_config().expect("known names and values");
        }
    }
}
