//! `sawlog search`: lines on standard output, everything else on standard error; exit codes as
//! grep's: 0 found, 1 nothing found, 2 an error.

use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Deserialize;

use super::follow::{self, Follow};

/// Search the collected logs.
#[derive(Args, Debug)]
pub struct SearchArgs {
    /// Words that must all occur, name:value for a label (app:checkout, level:error), and behind --
    /// also -word for lines without it; or LogQL, which begins with {
    #[arg(value_name = "WORDS")]
    words: Vec<String>,
    /// Where the server listens
    #[arg(long, default_value = "http://127.0.0.1:7411", env = "SAWLOG_ADDR", value_name = "URL")]
    addr: String,
    /// From when on: 15m, 2h, 3d ago, or a time such as 2026-08-20T10:00:00Z
    #[arg(short, long, default_value = "1h", value_name = "TIME")]
    since: String,
    /// Until when, written like --since [default: now]
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// How many lines at most, the newest ones; 0 for all, in the order of their files
    #[arg(short = 'n', long = "limit", default_value_t = 100, value_name = "N")]
    limit: usize,
    /// Go on with each new line that matches, until Ctrl-C; --limit counts the lines before
    #[arg(short, long, conflicts_with = "until")]
    follow: bool,
    /// Letters match in either case
    #[arg(short, long)]
    ignore_case: bool,
    /// Lines that do not match the words
    #[arg(short = 'v', long)]
    invert: bool,
    /// default: time, app, stream and line; raw: the stored bytes; jsonl: one JSON object a line
    #[arg(short, long, default_value = "default", value_enum)]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    Default,
    Raw,
    Jsonl,
}

/// Why a search has no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum SearchError {
    #[error("cannot reach {addr}: {source}\nIs `sawlog run` running? Name its address with --addr")]
    Unreachable {
        addr: String,
        #[source]
        source: ureq::Error,
    },
    #[error("{text}")]
    Refused { text: String },
    #[error("--{name} {text}: write 15m, 2h or 3d, or a time such as 2026-08-20T10:00:00Z")]
    Time { name: &'static str, text: String },
    #[error("the answer is broken off")]
    Broken(#[source] io::Error),
    #[error("cannot write")]
    Write(#[source] io::Error),
    #[error("the server's answer is not understood: {0}")]
    Answer(#[from] serde_json::Error),
}

/// Runs the subcommand.
pub fn run(args: &SearchArgs) -> ExitCode {
    if args.follow {
        return follow::follow(&following(args));
    }
    match search(args, &mut io::stdout().lock()) {
        // As grep: what could not be read is an error, whatever else was found.
        Ok(Answer { partial: true, .. }) => ExitCode::from(2),
        Ok(Answer { found: 0, .. }) => {
            hint_at_since(args);
            ExitCode::from(1)
        }
        Ok(_) => ExitCode::SUCCESS,
        // Whoever read us has seen enough, as `head` does.
        Err(SearchError::Write(err)) if err.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(err) => {
            let mut text = err.to_string();
            if let SearchError::Broken(cause) | SearchError::Write(cause) = &err {
                text = format!("{text}: {cause}");
            }
            // Nothing is left to do if even this cannot be written.
            writeln!(io::stderr(), "sawlog search: {text}").unwrap_or_default();
            ExitCode::from(2)
        }
    }
}

fn following(args: &SearchArgs) -> Follow<'_> {
    let SearchArgs { words, addr, since, limit, ignore_case, invert, output, .. } = args;
    let (limit, ignore_case, invert, output) = (*limit, *ignore_case, *invert, *output);
    let command = "search";
    Follow { command, words, addr, since, limit, ignore_case, invert, output }
}

/// Tells a person, not a script, how far back was looked: the default is short.
fn hint_at_since(args: &SearchArgs) {
    if io::stderr().is_terminal() && io::stdout().is_terminal() {
        let hint = format!("nothing found since {}; look further back with -s 7d", args.since);
        writeln!(io::stderr(), "sawlog search: {hint}").unwrap_or_default();
    }
}

/// How many lines were found, and whether some could not be looked at.
struct Answer {
    found: u64,
    partial: bool,
}

/// Writes the lines found.
fn search(args: &SearchArgs, out: &mut dyn Write) -> Result<Answer, SearchError> {
    let now = chrono::Utc::now().timestamp_nanos_opt().unwrap_or(i64::MAX);
    let start = time("since", &args.since, now)?;
    let end = match &args.until {
        Some(until) => time("until", until, now)?,
        None => now.saturating_add(60_000_000_000),
    };
    let (body, partial) = ask(args, start, end)?;
    let mut reader = BufReader::with_capacity(64 * 1024, body);
    let mut line = Vec::new();
    let mut found = 0;
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line).map_err(SearchError::Broken)? == 0 {
            out.flush().map_err(SearchError::Write)?;
            return Ok(Answer { found, partial });
        }
        found += 1;
        write_line(args.output, &line, out)?;
    }
}

/// The body of the answer, and whether the server warned of it.
fn ask(args: &SearchArgs, start: i64, end: i64) -> Result<(impl Read, bool), SearchError> {
    let path = if args.limit == 0 { "export" } else { "search" };
    let url = format!("{}/api/v1/{path}", args.addr.trim_end_matches('/'));
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(Duration::from_secs(10)))
        .build()
        .into();
    let mut request = agent
        .get(&url)
        .query("query", words(&args.words))
        .query("start", rfc3339(start))
        .query("end", rfc3339(end))
        .query("format", if args.output == Output::Raw { "raw" } else { "jsonl" });
    if args.limit > 0 {
        request = request.query("limit", args.limit.to_string());
    }
    for (name, set) in [("ignore_case", args.ignore_case), ("invert", args.invert)] {
        request = request.query(name, if set { "true" } else { "false" });
    }
    let unreachable = |source| SearchError::Unreachable { addr: args.addr.clone(), source };
    let mut response = request.call().map_err(unreachable)?;
    let mut partial = false;
    for warning in response.headers().get_all("x-sawlog-warning") {
        let warning = String::from_utf8_lossy(warning.as_bytes());
        writeln!(io::stderr(), "sawlog search: {warning}").unwrap_or_default();
        partial = true;
    }
    if response.status() != 200 {
        let text = response.body_mut().read_to_string().unwrap_or_default();
        let text = if text.is_empty() { response.status().to_string() } else { text };
        return Err(SearchError::Refused { text });
    }
    Ok((response.into_body().into_reader(), partial))
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

pub(super) fn rfc3339(time: i64) -> String {
    let format = chrono::SecondsFormat::Nanos;
    chrono::DateTime::from_timestamp_nanos(time).to_rfc3339_opts(format, true)
}

/// A point in time, or one so long ago: nanoseconds since the epoch.
pub(super) fn time(name: &'static str, text: &str, now: i64) -> Result<i64, SearchError> {
    if text == "now" {
        return Ok(now);
    }
    crate::http::duration(text)
        .map(|ago| now.saturating_sub(ago))
        .or_else(|| crate::http::parse_time(text))
        .ok_or_else(|| SearchError::Time { name, text: text.to_owned() })
}

/// The part of an entry that the default output shows.
#[derive(Deserialize)]
struct Shown {
    ts: String,
    labels: std::collections::BTreeMap<String, String>,
    line: String,
}

pub(super) fn write_line(
    output: Output,
    line: &[u8],
    out: &mut dyn Write,
) -> Result<(), SearchError> {
    if output != Output::Default {
        return out.write_all(line).map_err(SearchError::Write);
    }
    let Shown { ts, labels, line } = serde_json::from_slice(line)?;
    let label = |name: &str| labels.get(name).map_or("-", String::as_str);
    // Milliseconds are enough to read; the line itself is never changed.
    let time = ts.get(..23).unwrap_or(&ts);
    writeln!(out, "{time}Z {} {} {line}", label("app"), label("stream")).map_err(SearchError::Write)
}
