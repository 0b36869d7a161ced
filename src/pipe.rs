//! `sawlog pipe`: the arguments, from the environment of Mesos' ExternalContainerLogger, else from flags.

mod trusted;

use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use sawlog_collector::pipe::{self, PipeError, Settings, Trusted};

use crate::cli::EXIT_CONFIG;
use crate::config::{DEFAULT_COLLECTOR_LISTEN, DEFAULT_LISTEN, size};

/// A stream of a container, from standard input into its sandbox.
#[derive(Args, Debug)]
pub(crate) struct PipeArgs {
    /// Which of the container's streams this is
    #[arg(long, env = "MESOS_LOG_STREAM", value_enum, ignore_case = true)]
    stream: Stream,
    /// The container's sandbox; where root runs this, it becomes the sandbox's owner
    #[arg(long, env = "MESOS_LOG_SANDBOX_DIRECTORY", value_name = "DIR")]
    sandbox: PathBuf,
    /// Rotate the file before it gets larger, at the end of a line
    #[arg(long, value_name = "BYTES", value_parser = size, default_value = "10MB")]
    max_size: u64,
    /// How many rotated files stay after the collector has them
    #[arg(long, value_name = "N", default_value_t = 2)]
    keep: usize,
    /// How much rotated files may take that the collector does not have yet
    #[arg(long, value_name = "BYTES", value_parser = size, default_value = "1GiB")]
    keep_bytes_max: u64,
    /// What happens then
    #[arg(long, value_enum, default_value = "drop-oldest")]
    when_full: WhenFull,
    /// Where the collector listens [default: http://127.0.0.1:7412, else http://127.0.0.1:7411]
    #[arg(long, value_name = "URL")]
    collector: Option<String>,
    /// Who else than root and whoever starts this may listen there and say which files can be removed:
    /// a user's name or number, or any [default: who owns /var/lib/sawlog or /var/lib/sawlog-collector]
    #[arg(long, value_name = "USER", value_parser = trusted::parse)]
    collector_user: Option<Trusted>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Stream {
    Stdout,
    Stderr,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum WhenFull {
    /// The oldest lines are lost, which the collector counts
    DropOldest,
    /// The container waits when it writes
    Block,
}

impl PipeArgs {
    fn settings(&self) -> Settings {
        let own = [DEFAULT_COLLECTOR_LISTEN, DEFAULT_LISTEN].map(|addr| format!("http://{addr}"));
        Settings {
            sandbox: self.sandbox.clone(),
            name: match self.stream {
                Stream::Stdout => "stdout",
                Stream::Stderr => "stderr",
            },
            size_max: self.max_size.max(1),
            keep: self.keep,
            keep_bytes_max: self.keep_bytes_max,
            when_full: match self.when_full {
                WhenFull::DropOldest => pipe::WhenFull::DropOldest,
                WhenFull::Block => pipe::WhenFull::Block,
            },
            // As Mesos' own loggers have it.
            mode: 0o644,
            collectors: self.collector.clone().map_or(own.to_vec(), |collector| vec![collector]),
            trusted: trusted::trusted(self.collector_user.as_ref()),
        }
    }
}

/// Runs until standard input ends.
pub(crate) fn run(args: &PipeArgs) -> ExitCode {
    let written = std::io::stdin()
        .as_fd()
        .try_clone_to_owned()
        .map_err(PipeError::Read)
        .and_then(|input| pipe::run(&args.settings(), input));
    match written {
        Ok(pipe::Written { bytes, rotations, dropped_bytes }) => {
            tracing::debug!(bytes, rotations, dropped_bytes, "the stream has ended");
            ExitCode::SUCCESS
        }
        Err(error) => {
            let code = match error {
                PipeError::Sandbox { .. } => EXIT_CONFIG,
                _ => 1,
            };
            crate::fail("pipe", &error.into(), code)
        }
    }
}
