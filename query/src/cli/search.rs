//! `sawlog search`: the lines that match, as they are or made readable.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde::Deserialize;

use super::client::{Answer, CliError, Client, ServerArgs, exit_code, say};
use super::show::{self, Color, Look};
use super::time;
use crate::lang::PlainOptions;

/// Search the collected logs.
#[derive(Args, Debug)]
pub struct SearchArgs {
    /// Words that must all occur, name:value for a label (app:checkout, level:error), and behind --
    /// also -word for lines without it; or LogQL, which begins with {
    #[arg(value_name = "WORDS")]
    words: Vec<String>,
    /// From when on: 15m, 2h, 3d ago, or a time such as 2026-08-20T10:00:00Z
    #[arg(short, long, default_value = "1h", value_name = "TIME")]
    since: String,
    /// Until when, written like --since [default: now]
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// How many lines at most, the newest ones; 0 for all, in the order of their files
    #[arg(short = 'n', long = "limit", default_value_t = 100, value_name = "N")]
    limit: usize,
    /// Letters match in either case
    #[arg(short, long)]
    ignore_case: bool,
    /// Lines that do not match the words
    #[arg(short = 'v', long)]
    invert: bool,
    /// default: time, app, stream and line; raw: the stored bytes; jsonl: one JSON object a line
    #[arg(short, long, default_value = "default", value_enum)]
    output: Output,
    /// When the default output has colours
    #[arg(long, default_value = "auto", value_enum, value_name = "WHEN")]
    color: Color,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Default,
    Raw,
    Jsonl,
}

/// Runs the subcommand.
pub fn run(args: &SearchArgs) -> ExitCode {
    let answer = search(args, &mut io::stdout().lock());
    if let Ok(Answer { found: 0, partial: false }) = answer {
        hint_at_since(args);
    }
    exit_code("search", answer)
}

/// Tells a person, not a script, how far back was looked: the default is short.
fn hint_at_since(args: &SearchArgs) {
    if io::stderr().is_terminal() && io::stdout().is_terminal() {
        let hint = format!("nothing found since {}; look further back with -s 7d", args.since);
        say("search", &hint);
    }
}

/// Writes the lines found.
fn search(args: &SearchArgs, out: &mut dyn Write) -> Result<Answer, CliError> {
    let (start, end) = time::range(&args.since, args.until.as_deref())?;
    let (body, partial) = ask(args, start, end)?;
    let look =
        Look::new(args.color, io::stdout().is_terminal(), &words(&args.words), args.options());
    let mut reader = BufReader::with_capacity(64 * 1024, body);
    let mut line = Vec::new();
    let mut found = 0;
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line).map_err(CliError::Broken)? == 0 {
            out.flush().map_err(CliError::Write)?;
            return Ok(Answer { found, partial });
        }
        found += 1;
        write_line(args.output, &look, &line, out)?;
    }
}

impl SearchArgs {
    fn options(&self) -> PlainOptions {
        PlainOptions { ignore_case: self.ignore_case, invert: self.invert }
    }
}

/// The body of the answer, and whether the server warned of it.
fn ask(args: &SearchArgs, start: i64, end: i64) -> Result<(impl Read, bool), CliError> {
    let format = if args.output == Output::Raw { "raw" } else { "jsonl" };
    let mut pairs = vec![
        ("query", words(&args.words)),
        ("start", time::rfc3339(start)),
        ("end", time::rfc3339(end)),
        ("format", format.to_owned()),
        ("ignore_case", args.ignore_case.to_string()),
        ("invert", args.invert.to_string()),
    ];
    if args.limit > 0 {
        pairs.push(("limit", args.limit.to_string()));
    }
    let path = if args.limit == 0 { "/api/v1/export" } else { "/api/v1/search" };
    Client::new(&args.server, "search").get(path, &pairs)
}

/// The words as one query: an argument with a space in it is one text, as the shell's quotes meant
/// it, unless it is the whole query.
pub(super) fn words(words: &[String]) -> String {
    match words {
        [one] => one.clone(),
        many => {
            let quote = |word: &String| {
                let plain = !word.contains(char::is_whitespace) || word.starts_with('{');
                if plain { word.clone() } else { quoted(word) }
            };
            many.iter().map(quote).collect::<Vec<_>>().join(" ")
        }
    }
}

/// The text in quotes, as plain words are quoted: only quotes and backslashes are escaped.
fn quoted(word: &str) -> String {
    format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The part of an entry that the default output shows.
#[derive(Deserialize)]
struct Shown {
    ts: String,
    labels: BTreeMap<String, String>,
    #[serde(default)]
    fields: BTreeMap<String, String>,
    line: String,
}

fn write_line(
    output: Output,
    look: &Look,
    line: &[u8],
    out: &mut dyn Write,
) -> Result<(), CliError> {
    if output != Output::Default {
        return out.write_all(line).map_err(CliError::Write);
    }
    let Shown { ts, labels, fields, line } = serde_json::from_slice(line)?;
    let label = |name: &str| labels.get(name).map_or("-", String::as_str);
    let level = labels.get("level").or_else(|| fields.get("detected_level"));
    let shown = show::Shown {
        time: &ts,
        app: label("app"),
        stream: label("stream"),
        level: level.map_or("", String::as_str),
        line: &line,
    };
    look.write(out, &shown).map_err(CliError::Write)
}
