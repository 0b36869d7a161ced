//! The command line as it is typed.

use clap::{Args, Parser, Subcommand};
use sawlog_query::cli;

use crate::args::{AggregatorArgs, CollectorArgs, RunArgs};
use crate::build_info::LONG_VERSION;
use crate::config::ConfigArgs;
use crate::demo::Kind;
use crate::pipe::PipeArgs;

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
    /// Collect the logs of this machine and send them to Kafka
    Collector(Box<CollectorArgs>),
    /// Store what collectors sent to Kafka, and serve it
    Aggregator(Box<AggregatorArgs>),
    /// Write a container's stream into its sandbox, and rotate without losing a line
    Pipe(PipeArgs),
    /// Search the collected logs
    Search(cli::search::SearchArgs),
    /// Show the last lines, then each new one
    Tail(cli::follow::TailArgs),
    /// List the names of labels, or the values of one
    Labels(cli::labels::LabelsArgs),
    /// List the streams: one a line, as a selector that can be pasted into a query
    Streams(cli::streams::StreamsArgs),
    /// Say where each file of a task, container or app stands, or why it is not collected
    Why(cli::why::WhyArgs),
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
