//! The one binary: parses arguments, composes the crates, waits.

mod abort_points;
mod cli;
mod config;
mod demo;
mod node;
mod places;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};

use cli::{Cli, Command};
use config::Given;

fn main() -> ExitCode {
    abort_points::arm();
    let matches = Cli::command().get_matches();
    let given = Given::of(&matches);
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match cli.command {
        Command::Run(args) => run(&args, &given),
        Command::Search(args) => sawlog_query::cli::search::run(&args),
        Command::Config(args) => config::run_command(&args, &given),
        Command::DemoContainer { kind } => demo::container_main(kind),
    }
}

fn run(args: &cli::RunArgs, given: &Given) -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("SAWLOG_LOG")
                .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info,tantivy=warn")),
        )
        .init();
    let config = match config::Config::resolve(args, given) {
        Ok(config) => config,
        Err(err) => return fail(&err, cli::EXIT_CONFIG),
    };
    match node::run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => fail(&err, 1),
    }
}

fn fail(err: &anyhow::Error, code: u8) -> ExitCode {
    eprintln!("sawlog run: {err:#}");
    ExitCode::from(code)
}
