//! `sawlog search`: the lines that match, as they are or made readable.

use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};
use std::process::ExitCode;

use clap::Args;

use super::client::{Answer, CliError, Client, exit_code, say};
use super::follow::{Follow, follow};
use super::time;
use super::wanted::{Output, Wanted, write_line};

/// Search the collected logs.
#[derive(Args, Debug)]
pub struct SearchArgs {
    #[command(flatten)]
    wanted: Wanted,
    /// From when on: 15m, 2h, 3d ago, or a time such as 2026-08-20T10:00:00Z
    #[arg(short, long, default_value = "1h", value_name = "TIME")]
    since: String,
    /// Until when, written like --since [default: now]
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// How many lines at most, the newest ones; 0 for all, in the order of their files
    #[arg(short = 'n', long = "limit", default_value_t = 100, value_name = "N")]
    limit: usize,
    /// Go on with each new line that matches, until Ctrl-C; --limit counts the lines before (-n 0: none before)
    #[arg(short, long, conflicts_with = "until")]
    follow: bool,
}

/// Runs the subcommand.
pub fn run(args: &SearchArgs) -> ExitCode {
    let SearchArgs { wanted, since, limit, .. } = args;
    if args.follow {
        return follow(&Follow { command: "search", wanted, since, limit: *limit });
    }
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
    let look = args.wanted.look();
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
        write_line(args.wanted.output, &look, &line, out)?;
    }
}

/// The body of the answer, and whether the server warned of it.
fn ask(args: &SearchArgs, start: i64, end: i64) -> Result<(impl Read, bool), CliError> {
    let format = if args.wanted.output == Output::Raw { "raw" } else { "jsonl" };
    let mut pairs = args.wanted.pairs();
    pairs.push(("start", time::rfc3339(start)));
    pairs.push(("end", time::rfc3339(end)));
    pairs.push(("format", format.to_owned()));
    if args.limit > 0 {
        pairs.push(("limit", args.limit.to_string()));
    }
    let path = if args.limit == 0 { "/api/v1/export" } else { "/api/v1/search" };
    Client::new(&args.wanted.server, "search").get(path, &pairs)
}
