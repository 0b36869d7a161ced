//! The command line as it is typed.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Args, Parser, Subcommand};
use sawlog_query::cli;

use crate::build_info::LONG_VERSION;
use crate::config::{ConfigArgs, address, duration, size};
use crate::demo::Kind;

/// A configuration that cannot be used: EX_CONFIG of sysexits.
pub(crate) const EXIT_CONFIG: u8 = 78;

/// Container logs for Mesos: collected without a lost line, searchable within a second.
#[derive(Parser, Debug)]
#[command(name = "sawlog", version, long_version = LONG_VERSION, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Collect, store and serve on this machine, in one process
    Run(Box<RunArgs>),
    /// Search the collected logs
    Search(cli::search::SearchArgs),
    /// Show the last lines, then each new one
    Tail(cli::follow::TailArgs),
    /// List the names of labels, or the values of one
    Labels(cli::labels::LabelsArgs),
    /// List the streams: one a line, as a selector that can be pasted into a query
    Streams(cli::streams::StreamsArgs),
    /// Look at the store
    Store(cli::store::StoreArgs),
    /// Print what a shell needs to complete sawlog's arguments
    Completions(CompletionsArgs),
    /// Check a configuration file, or show the settings in effect
    Config(ConfigArgs),
    /// The process of one of the demo's containers
    #[command(hide = true)]
    DemoContainer { kind: Kind },
}

#[derive(Args, Debug)]
pub(crate) struct CompletionsArgs {
    pub(crate) shell: clap_complete::Shell,
}

/// What is given here wins over the environment, and that over the configuration file.
#[derive(Args, Debug, Default)]
pub(crate) struct RunArgs {
    /// A TOML file with the same settings; deploy/sawlog.toml explains them all
    #[arg(long, value_name = "FILE", env = "SAWLOG_CONFIG", hide_env_values = true)]
    pub(crate) config: Option<PathBuf>,
    /// Where everything is kept [default: ./sawlog-data]
    #[arg(long, value_name = "DIR", env = "SAWLOG_DATA", hide_env_values = true)]
    pub(crate) data: Option<PathBuf>,
    /// Where to listen [default: 127.0.0.1:7411]
    #[arg(long, value_name = "ADDR", value_parser = address)]
    #[arg(env = "SAWLOG_LISTEN", hide_env_values = true)]
    pub(crate) listen: Option<SocketAddr>,
    /// Collect the containers of the Mesos agent with this --work_dir
    #[arg(long, value_name = "DIR", env = "SAWLOG_MESOS_WORK_DIR", hide_env_values = true)]
    pub(crate) mesos_work_dir: Option<PathBuf>,
    /// Collect the files that match, and their rotated siblings; may be given several times
    #[arg(long = "path", value_name = "GLOB", env = "SAWLOG_PATH", hide_env_values = true)]
    pub(crate) paths: Vec<String>,
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
    /// Start six containers that write logs, and collect them
    #[arg(long, value_parser = BoolishValueParser::new(), env = "SAWLOG_DEMO", hide_env_values = true)]
    pub(crate) demo: bool,
    /// Listen on an address that others reach, though nobody is asked who they are
    #[arg(long, value_parser = BoolishValueParser::new())]
    #[arg(env = "SAWLOG_NO_AUTH_I_KNOW", hide_env_values = true)]
    pub(crate) no_auth_i_know: bool,
    /// At which size the demo's logs are rotated, in bytes
    #[arg(long, hide = true, value_name = "BYTES")]
    pub(crate) demo_rotate_bytes: Option<usize>,
    /// Take retentions so short or small that they would be mistakes
    #[arg(long, hide = true)]
    pub(crate) tiny_retention_i_know: bool,
    /// Look for the usual places below this directory instead of /
    #[arg(long, hide = true, value_name = "DIR")]
    pub(crate) look_under: Option<PathBuf>,
}
