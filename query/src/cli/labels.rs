//! `sawlog labels`: the names of labels, or the values of one, each on a line of its own.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::Args;
use sawlog_transport::labels::is_label_name;

use super::client::{Answer, CliError, Client, ServerArgs, exit_code};
use super::{selector, show, time};

/// List the names of labels, or the values of one.
#[derive(Args, Debug)]
pub struct LabelsArgs {
    /// List the values of this label instead of names
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Only those of the streams that fit, as in '{app="web"}'
    #[arg(value_name = "SELECTOR")]
    selector: Option<String>,
    /// The same as name=value, or != =~ !~; may be given several times
    #[arg(short = 'l', long = "label", value_name = "NAME=VALUE")]
    labels: Vec<String>,
    /// Only those of streams with lines since: 15m, 2h, 3d ago, or a time
    #[arg(short, long, default_value = "7d", value_name = "TIME")]
    since: String,
    #[command(flatten)]
    server: ServerArgs,
}

/// Runs the subcommand.
pub fn run(args: &LabelsArgs) -> ExitCode {
    let stdout = io::stdout();
    let terminal = stdout.is_terminal();
    exit_code("labels", list(args, terminal, &mut stdout.lock()))
}

fn list(args: &LabelsArgs, terminal: bool, out: &mut dyn Write) -> Result<Answer, CliError> {
    let (name, selected) = arguments(args)?;
    let (start, end) = time::range(&args.since, None)?;
    let mut pairs = vec![("start", start.to_string()), ("end", end.to_string())];
    pairs.extend(selected.map(|selector| ("query", selector)));
    let path = match name {
        Some(name) => format!("label/{name}/values"),
        None => "labels".to_owned(),
    };
    let (values, partial): (Vec<String>, bool) =
        Client::new(&args.server, "labels").loki(&path, &pairs)?;
    for value in &values {
        let value = if terminal { show::harmless(value) } else { value.into() };
        writeln!(out, "{value}").map_err(CliError::Write)?;
    }
    Ok(Answer { found: values.len() as u64, partial })
}

/// The label and the selector; a selector alone may stand in the place of the name.
fn arguments(args: &LabelsArgs) -> Result<(Option<&str>, Option<String>), CliError> {
    let is_selector = |text: &&str| text.trim_start().starts_with('{');
    let (name, selector) = match (args.name.as_deref(), args.selector.as_deref()) {
        (Some(first), None) if is_selector(&first) => (None, Some(first)),
        both => both,
    };
    if let Some(name) = name.filter(|name| !is_label_name(name)) {
        let text = format!("'{name}' is no label name: see `sawlog labels` for those that are");
        return Err(CliError::Usage(text));
    }
    Ok((name, selector::combined(selector, &args.labels)?))
}
