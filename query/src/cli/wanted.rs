//! What `search` and `tail` are asked for, and how they show an entry.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};

use clap::{Args, ValueEnum};
use serde::Deserialize;

use super::client::{CliError, ServerArgs};
use super::show::{self, Color, Look};
use crate::lang::PlainOptions;

/// Which lines, from where, and how they are shown.
#[derive(Args, Debug)]
pub(super) struct Wanted {
    /// Words that must all occur, name:value for a label (app:checkout, level:error), and behind --
    /// also -word for lines without it; or LogQL, which begins with {
    #[arg(value_name = "WORDS")]
    words: Vec<String>,
    /// Letters match in either case
    #[arg(short, long)]
    ignore_case: bool,
    /// Lines that do not match the words
    #[arg(short = 'v', long)]
    invert: bool,
    /// default: time, app, stream and line; raw: the stored bytes; jsonl: one JSON object a line
    #[arg(short, long, default_value = "default", value_enum)]
    pub(super) output: Output,
    /// When the default output has colours
    #[arg(long, default_value = "auto", value_enum, value_name = "WHEN")]
    color: Color,
    #[command(flatten)]
    pub(super) server: ServerArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    Default,
    Raw,
    Jsonl,
}

impl Wanted {
    /// How standard output is to look.
    pub(super) fn look(&self) -> Look {
        let options = PlainOptions { ignore_case: self.ignore_case, invert: self.invert };
        Look::new(self.color, io::stdout().is_terminal(), &query(&self.words), options)
    }

    /// The parameters that say which lines.
    pub(super) fn pairs(&self) -> Vec<(&'static str, String)> {
        vec![
            ("query", query(&self.words)),
            ("ignore_case", self.ignore_case.to_string()),
            ("invert", self.invert.to_string()),
        ]
    }
}

/// The words as one query: an argument with a space in it is one text, as the shell's quotes meant
/// it, unless it is the whole query.
pub(super) fn query(words: &[String]) -> String {
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

/// Writes one entry, which came as a line of the server's answer.
pub(super) fn write_line(
    output: Output,
    look: &Look,
    line: &[u8],
    out: &mut dyn Write,
) -> Result<(), CliError> {
    if output == Output::Jsonl {
        return out.write_all(&look.json_line(line)).map_err(CliError::Write);
    }
    if output == Output::Raw {
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
