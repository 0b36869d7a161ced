//! The arguments of the roles: those that several roles take are written down once.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::BoolishValueParser;

use crate::config::{
    address, agent_url, brokers, duration, partitions, replication, size, topic, topic_retention,
};

/// What is given here wins over the environment, and that over the configuration file.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) process: ProcessArgs,
    #[command(flatten)]
    pub(crate) sources: SourceArgs,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    #[command(flatten)]
    pub(crate) demo: DemoArgs,
}

/// What is given here wins over the environment, and that over the configuration file.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct CollectorArgs {
    #[command(flatten)]
    pub(crate) process: ProcessArgs,
    #[command(flatten)]
    pub(crate) sources: SourceArgs,
    #[command(flatten)]
    pub(crate) kafka: KafkaArgs,
}

/// What is given here wins over the environment, and that over the configuration file.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct AggregatorArgs {
    #[command(flatten)]
    pub(crate) process: ProcessArgs,
    #[command(flatten)]
    pub(crate) kafka: KafkaArgs,
    #[command(flatten)]
    pub(crate) group: GroupArgs,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// What every role takes.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct ProcessArgs {
    /// A TOML file with the same settings; deploy/sawlog.toml explains them all
    #[arg(long, value_name = "FILE", env = "SAWLOG_CONFIG", hide_env_values = true)]
    pub(crate) config: Option<PathBuf>,
    /// Where everything is kept [default: ./sawlog-data]
    #[arg(long, value_name = "DIR", env = "SAWLOG_DATA", hide_env_values = true)]
    pub(crate) data: Option<PathBuf>,
    /// Where to listen [default: 127.0.0.1:7411, a collector's 127.0.0.1:7412]
    #[arg(long, value_name = "ADDR", value_parser = address)]
    #[arg(env = "SAWLOG_LISTEN", hide_env_values = true)]
    pub(crate) listen: Option<SocketAddr>,
    /// Listen on an address that others reach, though nobody is asked who they are
    #[arg(long, value_parser = BoolishValueParser::new())]
    #[arg(env = "SAWLOG_NO_AUTH_I_KNOW", hide_env_values = true)]
    pub(crate) no_auth_i_know: bool,
}

/// What is collected.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct SourceArgs {
    /// Collect the containers of the Mesos agent with this --work_dir
    #[arg(long, value_name = "DIR", env = "SAWLOG_MESOS_WORK_DIR", hide_env_values = true)]
    pub(crate) mesos_work_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) mesos: MesosArgs,
    /// Collect the files that match, and their rotated siblings; may be given several times
    #[arg(long = "path", value_name = "GLOB", env = "SAWLOG_PATH", hide_env_values = true)]
    pub(crate) paths: Vec<String>,
    /// Collect what containers wrote to journald by DC/OS' logger
    #[arg(long, value_parser = BoolishValueParser::new(), env = "SAWLOG_JOURNAL", hide_env_values = true)]
    pub(crate) journal: bool,
    /// Read the journal's files in this directory instead of this machine's own journal
    #[arg(long, value_name = "DIR", env = "SAWLOG_JOURNAL_DIR", hide_env_values = true)]
    pub(crate) journal_dir: Option<PathBuf>,
    /// Hand lines on with the passwords, keys and tokens that are in them
    #[arg(long, value_parser = BoolishValueParser::new())]
    #[arg(env = "SAWLOG_NO_REDACTION", hide_env_values = true)]
    pub(crate) no_redaction: bool,
    /// Never hand on the values in this file, one a line; may be given several times
    #[arg(
        long = "secret-file",
        value_name = "FILE",
        env = "SAWLOG_SECRET_FILE",
        hide_env_values = true
    )]
    pub(crate) secret_files: Vec<PathBuf>,
    /// Look for the usual places below this directory instead of /
    #[arg(long, hide = true, value_name = "DIR")]
    pub(crate) look_under: Option<PathBuf>,
}

/// How the Mesos agent is asked what it knows of its containers.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct MesosArgs {
    /// Ask the Mesos agent there, or 'none' [default: http://127.0.0.1:5051, if it answers]
    #[arg(long, value_name = "URL", value_parser = agent_url)]
    #[arg(env = "SAWLOG_MESOS_AGENT_URL", hide_env_values = true)]
    pub(crate) mesos_agent_url: Option<String>,
    /// Ask it as the principal, and with the secret, in this file; needs --mesos-agent-url
    #[arg(long, value_name = "FILE")]
    #[arg(env = "SAWLOG_MESOS_CREDENTIAL_FILE", hide_env_values = true)]
    pub(crate) mesos_credential_file: Option<PathBuf>,
    /// Ask it with the bearer token in this file; needs --mesos-agent-url
    #[arg(long, value_name = "FILE", env = "SAWLOG_MESOS_TOKEN_FILE", hide_env_values = true)]
    pub(crate) mesos_token_file: Option<PathBuf>,
    /// Trust an agent whose certificate one in this file (PEM) has signed
    #[arg(long, value_name = "FILE", env = "SAWLOG_MESOS_CA_FILE", hide_env_values = true)]
    pub(crate) mesos_ca_file: Option<PathBuf>,
    /// Make a label of the task label with this key; may be given several times
    #[arg(long = "task-label", value_name = "KEY")]
    #[arg(env = "SAWLOG_TASK_LABEL", hide_env_values = true)]
    pub(crate) task_labels: Vec<String>,
    /// How often the agent is asked for names and states [default: 10s]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    #[arg(env = "SAWLOG_MESOS_POLL_INTERVAL", hide_env_values = true)]
    pub(crate) mesos_poll_interval: Option<Duration>,
    /// How often it is asked for statistics, a line each time for each container [default: 15s]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    #[arg(env = "SAWLOG_MESOS_STATS_INTERVAL", hide_env_values = true)]
    pub(crate) mesos_stats_interval: Option<Duration>,
}

/// How the store is kept.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct StoreArgs {
    /// How long lines stay only in memory and transport before they become blocks [default: 10m]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    #[arg(env = "SAWLOG_SEAL_INTERVAL", hide_env_values = true)]
    pub(crate) seal_interval: Option<Duration>,
    /// Drop lines this long after they were stored, such as 30d [default: they stay]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    #[arg(env = "SAWLOG_RETENTION", hide_env_values = true)]
    pub(crate) retention: Option<Duration>,
    /// Drop the oldest lines while the store takes more on disk, such as 100GB [default: they stay]
    #[arg(long, value_name = "BYTES", value_parser = size)]
    #[arg(env = "SAWLOG_RETENTION_BYTES", hide_env_values = true)]
    pub(crate) retention_bytes: Option<u64>,
    /// Take retentions so short or small that they would be mistakes
    #[arg(long, hide = true)]
    pub(crate) tiny_retention_i_know: bool,
}

/// The demo's containers.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct DemoArgs {
    /// Start six containers that write logs, and collect them
    #[arg(long, value_parser = BoolishValueParser::new(), env = "SAWLOG_DEMO", hide_env_values = true)]
    pub(crate) demo: bool,
    /// At which size the demo's logs are rotated, in bytes
    #[arg(long, hide = true, value_name = "BYTES")]
    pub(crate) demo_rotate_bytes: Option<usize>,
}

/// Where Kafka is, and the topic in it.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct KafkaArgs {
    /// Some brokers of Kafka, host:port separated by commas; must be given, here or in the file
    #[arg(long, value_name = "HOST:PORT,…", value_parser = brokers)]
    #[arg(env = "SAWLOG_BROKERS", hide_env_values = true)]
    pub(crate) brokers: Option<String>,
    /// The topic between collectors and aggregators [default: sawlog]
    #[arg(long, value_name = "NAME", value_parser = topic)]
    #[arg(env = "SAWLOG_TOPIC", hide_env_values = true)]
    pub(crate) topic: Option<String>,
    /// Trust brokers whose certificate one in this file (PEM) has signed, and talk TLS to them
    #[arg(long, value_name = "FILE", env = "SAWLOG_KAFKA_TLS_CA", hide_env_values = true)]
    pub(crate) kafka_tls_ca: Option<PathBuf>,
    /// Use the topic only if it is there
    #[arg(long, value_parser = BoolishValueParser::new())]
    #[arg(env = "SAWLOG_NO_CREATE_TOPIC", hide_env_values = true)]
    pub(crate) no_create_topic: bool,
    /// With how many partitions the topic is created [default: 16]
    #[arg(long, value_name = "N", value_parser = partitions)]
    #[arg(env = "SAWLOG_TOPIC_PARTITIONS", hide_env_values = true)]
    pub(crate) topic_partitions: Option<u32>,
    /// How many brokers hold each batch if the topic is created [default: 3, or as many as there are]
    #[arg(long, value_name = "N", value_parser = replication)]
    #[arg(env = "SAWLOG_TOPIC_REPLICATION", hide_env_values = true)]
    pub(crate) topic_replication: Option<u16>,
    /// How long the topic keeps batches if it is created: so long may all aggregators be down
    /// [default: 1d]
    #[arg(long, value_name = "DURATION", value_parser = topic_retention)]
    #[arg(env = "SAWLOG_TOPIC_RETENTION", hide_env_values = true)]
    pub(crate) topic_retention: Option<Duration>,
}

/// What Kafka's tools call an aggregator.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct GroupArgs {
    /// The consumer group that Kafka's tools show the lag of [default: sawlog]
    #[arg(long, value_name = "NAME", value_parser = crate::config::group)]
    #[arg(env = "SAWLOG_GROUP", hide_env_values = true)]
    pub(crate) group: Option<String>,
}
