//! `sawlog why`: where each file of a task, container or app stands, or why it is not collected.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde::Deserialize;

use super::client::{Answer, CliError, Client, ServerArgs, exit_code, say};
use super::show::harmless;

/// Where a collector listens that is a process of its own.
const COLLECTOR_ADDR: &str = "http://127.0.0.1:7412";

/// Say where each file of a task, container or app stands, or why it is not collected.
#[derive(Args, Debug)]
pub struct WhyArgs {
    /// The id of a task, container, executor or framework, the name of an app, or the path of a file
    /// or directory on the collector's machine
    #[arg(value_name = "TASK|CONTAINER|APP|PATH")]
    query: String,
    /// default: some lines a file; json: the collector's answer
    #[arg(short, long, default_value = "default", value_enum)]
    output: Output,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Default,
    Json,
}

/// The collector's answer. Collectors of other versions say more or less.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Explained {
    files: Vec<FileState>,
    more: bool,
    notes: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct FileState {
    path: String,
    state: String,
    why: String,
    stream: Option<String>,
    labels: BTreeMap<String, String>,
    identity: Identity,
    generation: String,
    truncations: u64,
    size: u64,
    read: u64,
    acknowledged: u64,
    lag_bytes: u64,
    lag_seconds: Option<f64>,
    writers: String,
    decisions: Vec<Decided>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Identity {
    file_system: String,
    inode: u64,
    inode_generation: u64,
    birth_time: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Decided {
    time: String,
    what: String,
}

/// Runs the subcommand.
pub fn run(args: &WhyArgs) -> ExitCode {
    exit_code("why", show(args, &mut io::stdout().lock()))
}

fn show(args: &WhyArgs, out: &mut dyn Write) -> Result<Answer, CliError> {
    let body = ask(args)?;
    let explained: Explained = serde_json::from_slice(&body)?;
    let text = match args.output {
        Output::Json => format!("{}\n", String::from_utf8_lossy(&body).trim_end()),
        Output::Default => {
            for note in &explained.notes {
                say("why", note);
            }
            explained.files.iter().map(told).collect::<Vec<_>>().join("\n")
        }
    };
    out.write_all(text.as_bytes()).map_err(CliError::Write)?;
    if explained.more {
        say("why", "there are more files: ask for less, such as one container");
    }
    Ok(Answer { found: explained.files.len() as u64, partial: false })
}

/// Asks the server, and where none was named and none is there, a collector by itself.
fn ask(args: &WhyArgs) -> Result<Vec<u8>, CliError> {
    let pairs = [("q", args.query.clone())];
    let ask = |server: &ServerArgs| Client::new(server, "why").bytes("/api/v1/why", &pairs);
    match ask(&args.server) {
        Err(first @ CliError::Unreachable { .. }) => {
            ask(&args.server.or(COLLECTOR_ADDR)).map_err(|_| first)
        }
        answer => answer,
    }
}

/// A file in a few lines.
fn told(file: &FileState) -> String {
    let one = |text: &str| harmless(&text.replace(['\n', '\t'], " ")).into_owned();
    let mut text = format!("{}\n  {}: {}\n", one(&file.path), file.state, one(&file.why));
    let Some(stream) = &file.stream else { return text };
    let labels: Vec<String> =
        file.labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    let lag = match file.lag_seconds {
        Some(seconds) if file.lag_bytes > 0 => format!(", written up to {seconds:.1} s ago"),
        _ => String::new(),
    };
    let Identity { file_system, inode, inode_generation, birth_time } = &file.identity;
    let lines = [
        ("labels", format!("{{{}}}", labels.join(", "))),
        ("stream", stream.clone()),
        (
            "offsets",
            format!("read {}, acknowledged {}, size {}", file.read, file.acknowledged, file.size),
        ),
        ("lag", format!("{} bytes{lag}", file.lag_bytes)),
        ("writers", file.writers.clone()),
        (
            "identity",
            format!(
                "inode {inode} (generation {inode_generation}), born {birth_time}, on {file_system}"
            ),
        ),
        ("generation", format!("{}, truncated {} times", file.generation, file.truncations)),
    ];
    for (name, value) in lines {
        writeln!(text, "  {name:<10} {}", one(&value)).unwrap_or_default();
    }
    for Decided { time, what } in &file.decisions {
        writeln!(text, "  {} {}", one(time), one(what)).unwrap_or_default();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_told_in_lines_that_no_terminal_obeys() {
        let json = r#"{"files":[{"path":"/w/c\u001b]0;x\n1/stdout","state":"live","why":"read",
            "stream":"ab","labels":{"app":"web"},"identity":{"inode":7,"birth_time":"2026"},
            "generation":"cd","truncations":1,"size":9,"read":8,"acknowledged":5,"lag_bytes":4,
            "lag_seconds":1.25,"writers":"yes","decisions":[{"time":"2026","what":"opened"}]},
            {"path":"/w/x","state":"skipped","why":"it is a FIFO"}],"later":1}"#;
        let explained: Explained = serde_json::from_str(json).expect("an answer");
        let text: Vec<String> = explained.files.iter().map(told).collect();
        let expected = "/w/c\u{241b}]0;x 1/stdout
  live: read
  labels     {app=\"web\"}
  stream     ab
  offsets    read 8, acknowledged 5, size 9
  lag        4 bytes, written up to 1.2 s ago
  writers    yes
  identity   inode 7 (generation 0), born 2026, on \n  generation cd, truncated 1 times
  2026 opened
";
        assert_eq!(text[0], expected);
        assert_eq!(text[1], "/w/x\n  skipped: it is a FIFO\n");
    }
}
