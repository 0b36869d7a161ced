//! The command line as it is typed.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

/// A configuration that cannot be used: EX_CONFIG of sysexits.
pub(crate) const EXIT_CONFIG: u8 = 78;

/// Container logs for Mesos: collected without a lost line, searchable within a second.
#[derive(Parser, Debug)]
#[command(name = "sawlog", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Collect, store and serve on this machine, in one process
    Run(RunArgs),
    /// Search the collected logs
    Search(sawlog_query::cli::search::SearchArgs),
    /// Show the last lines, then each new one
    Tail(sawlog_query::cli::follow::TailArgs),
}

/// What is given here wins over the configuration file.
#[derive(Args, Debug, Default)]
pub(crate) struct RunArgs {
    /// A TOML file with the same settings: data, listen, mesos_work_dir, paths, seal_interval
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where everything is kept [default: ./sawlog-data]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Where to listen [default: 127.0.0.1:7411]
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<SocketAddr>,
    /// Collect the containers of the Mesos agent with this --work_dir
    #[arg(long, value_name = "DIR")]
    pub(crate) mesos_work_dir: Option<PathBuf>,
    /// Collect the files that match, and their rotated siblings; may be given several times
    #[arg(long = "path", value_name = "GLOB")]
    pub(crate) paths: Vec<String>,
    /// How long lines stay only in memory and transport before they become blocks [default: 10m]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) seal_interval: Option<Duration>,
    /// Listen on an address that others reach, though nobody is asked who they are
    #[arg(long)]
    pub(crate) no_auth_i_know: bool,
}

/// A duration such as `2s`, `500ms` or `10m`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    match sawlog_query::duration(text) {
        Some(nanos) if nanos > 0 => Ok(Duration::from_nanos(nanos.unsigned_abs())),
        _ => Err(format!("'{text}' is no duration: write 500ms, 2s or 10m")),
    }
}
