//! The one binary: parses arguments, composes the crates, waits.

mod abort_points;
mod cli;
mod config;
mod node;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};

fn main() -> ExitCode {
    abort_points::arm();
    match Cli::parse().command {
        Command::Run(args) => run(&args),
        Command::Search(args) => sawlog_query::cli::search::run(&args),
        Command::Tail(args) => sawlog_query::cli::follow::run(&args),
    }
}

fn run(args: &cli::RunArgs) -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("SAWLOG_LOG")
                .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info,tantivy=warn")),
        )
        .init();
    let config = match config::Config::resolve(args) {
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
