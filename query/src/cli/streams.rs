//! `sawlog streams`: one stream a line, as the selector that selects it.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::client::{Answer, CliError, Client, ServerArgs, exit_code};
use super::{selector, show, time};
use crate::lang::{Expr, LineOp, Matcher, PlainOptions, Stage, compile};

/// List the streams: one a line, as a selector that can be pasted into a query.
#[derive(Args, Debug)]
pub struct StreamsArgs {
    /// name:value for a label (app:checkout), other words must occur in the value of any label, and
    /// behind -- also -word; or a selector, which begins with {
    #[arg(value_name = "WORDS")]
    words: Vec<String>,
    /// Only streams with lines since: 15m, 2h, 3d ago, or a time
    #[arg(short, long, default_value = "7d", value_name = "TIME")]
    since: String,
    /// default: a selector; jsonl: a JSON object of labels
    #[arg(short, long, default_value = "default", value_enum)]
    output: Output,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Default,
    Jsonl,
}

type LabelMap = BTreeMap<String, String>;

/// Runs the subcommand.
pub fn run(args: &StreamsArgs) -> ExitCode {
    let stdout = io::stdout();
    let terminal = stdout.is_terminal();
    exit_code("streams", list(args, terminal, &mut stdout.lock()))
}

fn list(args: &StreamsArgs, terminal: bool, out: &mut dyn Write) -> Result<Answer, CliError> {
    let choice = Choice::new(&super::wanted::query(&args.words))?;
    let (start, end) = time::range(&args.since, None)?;
    let pairs = [
        ("match[]", selector::text_of(choice.matchers.clone())),
        ("start", start.to_string()),
        ("end", end.to_string()),
    ];
    let (mut streams, partial): (Vec<LabelMap>, bool) =
        Client::new(&args.server, "streams").loki("series", &pairs)?;
    streams.retain(|labels| choice.accepts(labels));
    for labels in &streams {
        let text = match args.output {
            Output::Default => selector::of_labels(labels),
            Output::Jsonl => serde_json::to_string(labels)?,
        };
        let text = if terminal { show::harmless(&text) } else { text.into() };
        writeln!(out, "{text}").map_err(CliError::Write)?;
    }
    Ok(Answer { found: streams.len() as u64, partial })
}

/// Which streams are listed.
struct Choice {
    /// What the server is asked for.
    matchers: Vec<Matcher>,
    /// Texts that must (true) or must not occur in the value of some label.
    texts: Vec<(bool, Vec<u8>)>,
}

impl Choice {
    fn new(words: &str) -> Result<Self, CliError> {
        let Expr::Log(log) = compile(words, PlainOptions::default())? else {
            return Err(CliError::Usage("write a selector such as {app=\"web\"}, or words".into()));
        };
        if words.trim_start().starts_with('{') && !log.stages.is_empty() {
            return Err(CliError::Usage(format!(
                "streams are chosen by their labels alone: leave out what follows the selector in \
                 {words}"
            )));
        }
        let mut texts = Vec::new();
        for stage in log.stages {
            match stage {
                Stage::Line(filter) => {
                    let must = filter.op == LineOp::Contains;
                    texts.extend(filter.alternatives.into_iter().map(|text| (must, text)));
                }
                _ => {
                    let text = "streams have no level, their lines do: leave out level:…";
                    return Err(CliError::Usage(text.into()));
                }
            }
        }
        Ok(Self { matchers: log.matchers, texts })
    }

    fn accepts(&self, labels: &LabelMap) -> bool {
        self.texts.iter().all(|(must, text)| {
            let is_in = |value: &String| memchr::memmem::find(value.as_bytes(), text).is_some();
            labels.values().any(is_in) == *must
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_labels_or_parts_of_any_value() {
        let choice = Choice::new("app:web -test eu").expect("words");
        let text = selector::text_of(choice.matchers.clone());
        assert_eq!(text, r#"{app=~"(?:.*/)?web"}"#);
        let accepts = |host: &str| choice.accepts(&LabelMap::from([("host".into(), host.into())]));
        assert!(accepts("web.eu") && !accepts("web.us") && !accepts("test.eu"));
        for wrong in [r#"{app="web"} |= "x""#, "level:error", "rate({a=\"b\"}[1m])"] {
            assert!(matches!(Choice::new(wrong), Err(CliError::Usage(_))), "{wrong}");
        }
        assert!(Choice::new(r#"{app="web"}"#).expect("a selector").texts.is_empty());
    }
}
