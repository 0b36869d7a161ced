//! `sawlog config`: checks a file without starting anything, or shows what a run would use.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::{Config, Given, file, is_open_to_all, open_to_all};
use crate::cli::{EXIT_CONFIG, RunArgs};

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
    /// Show the settings that `sawlog run` would use with these flags, and where each comes from
    Show(Box<RunArgs>),
}

/// Runs the subcommand.
pub(crate) fn run(args: &ConfigArgs, given: &Given) -> ExitCode {
    let outcome = match &args.action {
        Action::Check { file } => check(file),
        Action::Show(args) => Config::effective(args, given)
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
    let file = file::read(path).map_err(|error| format!("{error:#}"))?;
    let allowed = file.no_auth_i_know.is_some_and(|placed| placed.value);
    match file.listen {
        Some(listen) if is_open_to_all(listen.value) && !allowed => {
            let (path, line) = (path.display(), listen.line);
            Err(format!("{path}:{line}: `listen`: {}", open_to_all(listen.value)))
        }
        _ => Ok(format!("{}: fine\n", path.display())),
    }
}
