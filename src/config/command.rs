//! `sawlog config`: checks a file without starting anything, or shows what a run would use.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::Asked;
use super::file::{self, Overruled};
use super::{Config, Given};
use crate::args::{AggregatorArgs, CollectorArgs, RunArgs};
use crate::cli::EXIT_CONFIG;

/// What to do with the configuration.
#[derive(Args, Debug)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Say all that is wrong in a configuration file; exit code 78 if anything is
    Check {
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Show the settings that a role would use with these flags, and where each comes from
    Show(Box<ShowArgs>),
}

#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
struct ShowArgs {
    #[command(subcommand)]
    role: Option<RoleArgs>,
    #[command(flatten)]
    run: RunArgs,
}

/// Whose settings are shown, if not those of `sawlog run`.
#[derive(Subcommand, Debug)]
enum RoleArgs {
    /// Show those of `sawlog collector`
    Collector(Box<CollectorArgs>),
    /// Show those of `sawlog aggregator`
    Aggregator(Box<AggregatorArgs>),
}

impl ShowArgs {
    fn asked(&self) -> Asked {
        match &self.role {
            None => Asked::run(self.run.clone()),
            Some(RoleArgs::Collector(args)) => Asked::collector((**args).clone()),
            Some(RoleArgs::Aggregator(args)) => Asked::aggregator((**args).clone()),
        }
    }
}

/// Runs the subcommand.
pub(crate) fn run(args: &ConfigArgs, given: &Given) -> ExitCode {
    let outcome = match &args.action {
        Action::Check { file } => check(file),
        Action::Show(args) => Config::effective(&args.asked(), given)
            .map(|(_, effective)| effective.to_string())
            .map_err(|error| format!("{error:#}")),
    };
    match outcome {
        Ok(text) => match io::stdout().lock().write_all(text.as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        Err(text) => {
            eprintln!("{text}");
            ExitCode::from(EXIT_CONFIG)
        }
    }
}

/// Checks a file by itself, as if it were used without any flag.
fn check(path: &Path) -> Result<String, String> {
    let shown = path.display();
    let text = file::text(path).map_err(|error| format!("cannot read {shown}: {error}"))?;
    match file::parse(path, &text, Overruled::default()) {
        Ok(_) => Ok(format!("{shown}: fine\n")),
        Err(problems) => Err(problems.to_string()),
    }
}
