//! The one binary: parses arguments, composes the crates, waits.

mod abort_points;
mod args;
mod build_info;
mod cli;
mod config;
mod demo;
mod pipe;
mod places;
mod roles;

use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};

use cli::{Cli, Command};
use config::{Asked, Config, Given};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    abort_points::arm();
    let matches = Cli::command().get_matches();
    let given = Given::of(&matches);
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match cli.command {
        Command::Run(args) => start("run", Asked::run(*args), &given, roles::run),
        Command::Collector(args) => {
            start("collector", Asked::collector(*args), &given, roles::collector)
        }
        Command::Aggregator(args) => {
            start("aggregator", Asked::aggregator(*args), &given, roles::aggregator)
        }
        Command::Pipe(args) => {
            start_log();
            pipe::run(&args)
        }
        Command::Search(args) => sawlog_query::cli::search::run(&args),
        Command::Tail(args) => sawlog_query::cli::follow::run(&args),
        Command::Labels(args) => sawlog_query::cli::labels::run(&args),
        Command::Streams(args) => sawlog_query::cli::streams::run(&args),
        Command::Why(args) => sawlog_query::cli::why::run(&args),
        Command::Store(args) => sawlog_query::cli::store::run(&args),
        Command::Completions(args) => completions(args.shell),
        Command::Config(args) => config::run_command(&args, &given),
        Command::DemoContainer { kind } => demo::container_main(kind),
    }
}

fn completions(shell: clap_complete::Shell) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "sawlog", &mut script);
    match std::io::stdout().write_all(&script) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads it has seen enough.
        Err(err) if err.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(err) => {
            eprintln!("sawlog completions: cannot write: {err}");
            ExitCode::FAILURE
        }
    }
}

/// Starts a role with what it was asked.
fn start(
    role: &str,
    asked: Asked,
    given: &Given,
    main: impl FnOnce(Config) -> anyhow::Result<()>,
) -> ExitCode {
    start_log();
    let config = match Config::resolve(&asked, given) {
        Ok(config) => config,
        Err(err) => return fail(role, &err, cli::EXIT_CONFIG),
    };
    match main(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) if err.is::<roles::Unusable>() => fail(role, &err, cli::EXIT_CONFIG),
        Err(err) => fail(role, &err, 1),
    }
}

/// Messages go to standard error; `SAWLOG_LOG` says which.
fn start_log() {
    let default = || EnvFilter::new("info,tantivy=warn");
    let wanted = std::env::var("SAWLOG_LOG").unwrap_or_default();
    let parsed = (!wanted.is_empty()).then(|| EnvFilter::try_new(&wanted)).transpose();
    let (filter, wrong) = match parsed {
        Ok(filter) => (filter.unwrap_or_else(default), None),
        Err(error) => (default(), Some(error)),
    };
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter).init();
    if let Some(error) = wrong {
        tracing::warn!(
            "SAWLOG_LOG '{wanted}' is ignored, write debug or info,tantivy=warn: {error}"
        );
    }
}

fn fail(role: &str, err: &anyhow::Error, code: u8) -> ExitCode {
    eprintln!("sawlog {role}: {err:#}");
    ExitCode::from(code)
}
