//! `sawlog tail` and `sawlog search --follow`: the newest lines, then those that arrive, until
//! somebody ends it. Exit codes: 0 when whoever reads has seen enough, 2 for an error; Ctrl-C ends
//! by its signal, which a shell calls 130.

use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

use clap::Args;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Deserialize;

use super::search::{Output, SearchError, rfc3339, time, words, write_line};

/// A server that says nothing for so long is gone: it gives a sign of life each second.
const SILENCE_MAX: Duration = Duration::from_secs(15);
/// Lines that are read ahead, and the longest one in bytes: a line of 256 KiB, each byte escaped,
/// and its labels.
const LINES_AHEAD: usize = 16;
const LINE_BYTES_MAX: u64 = 4 << 20;

/// Follow the collected logs: the last lines, then each new one.
#[derive(Args, Debug)]
pub struct TailArgs {
    /// Words that must all occur, name:value for a label (app:checkout, level:error), and behind --
    /// also -word for lines without it; or LogQL, which begins with {
    #[arg(value_name = "WORDS")]
    words: Vec<String>,
    /// Where the server listens
    #[arg(long, default_value = "http://127.0.0.1:7411", env = "SAWLOG_ADDR", value_name = "URL")]
    addr: String,
    /// How far back the last lines are looked for: 15m, 2h, 3d ago, or a time such as
    /// 2026-08-20T10:00:00Z
    #[arg(short, long, default_value = "1h", value_name = "TIME")]
    since: String,
    /// How many lines come first, the newest ones
    #[arg(short = 'n', long = "limit", default_value_t = 10, value_name = "N")]
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
}

/// What is followed, and how it is shown.
#[derive(Debug)]
pub(super) struct Follow<'a> {
    /// The subcommand, for messages.
    pub(super) command: &'static str,
    pub(super) words: &'a [String],
    pub(super) addr: &'a str,
    pub(super) since: &'a str,
    pub(super) limit: usize,
    pub(super) ignore_case: bool,
    pub(super) invert: bool,
    pub(super) output: Output,
}

/// Why following ended.
#[derive(Debug, thiserror::Error)]
enum FollowError {
    #[error("{0}")]
    Search(#[from] SearchError),
    #[error("the server at {addr} ended the tail: {why}\nStart again when it is back")]
    Ended { addr: String, why: String },
    #[error("nothing was heard from {addr} for {} s: is it, and the network, still up?", SILENCE_MAX.as_secs())]
    Silent { addr: String },
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
}

/// Runs `sawlog tail`.
pub fn run(args: &TailArgs) -> ExitCode {
    let TailArgs { words, addr, since, limit, ignore_case, invert, output } = args;
    let (limit, ignore_case, invert, output) = (*limit, *ignore_case, *invert, *output);
    let command = "tail";
    follow(&Follow { command, words, addr, since, limit, ignore_case, invert, output })
}

pub(super) fn follow(asked: &Follow<'_>) -> ExitCode {
    let mut out = BufWriter::new(io::stdout().lock());
    match show(asked, &mut out) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read us has seen enough, as `head` does.
        Err(FollowError::Search(SearchError::Write(err)))
            if err.kind() == io::ErrorKind::BrokenPipe =>
        {
            ExitCode::SUCCESS
        }
        Err(err) => {
            say(asked, &err.to_string());
            ExitCode::from(2)
        }
    }
}

/// A message on standard error.
fn say(asked: &Follow<'_>, text: &str) {
    // Nothing is left to do if even this cannot be written.
    writeln!(io::stderr(), "sawlog {}: {text}", asked.command).unwrap_or_default();
}

/// Shows lines until nobody reads them any more.
fn show(asked: &Follow<'_>, out: &mut dyn Write) -> Result<(), FollowError> {
    let lines = read_ahead(ask(asked)?)?;
    loop {
        let line = match lines.try_recv() {
            Ok(line) => line,
            // Nothing waits: what was written so far is shown.
            Err(_) => {
                out.flush().map_err(SearchError::Write)?;
                lines
                    .recv_timeout(SILENCE_MAX)
                    .map_err(|_| FollowError::Silent { addr: asked.addr.to_owned() })?
            }
        };
        let line = line.map_err(|err| {
            let why = err.to_string();
            FollowError::Ended { addr: asked.addr.to_owned(), why }
        })?;
        match line.as_slice() {
            b"\n" if stdout_is_gone() => return Ok(()),
            b"\n" => {}
            line if line.starts_with(b"{\"dropped\":") => tell_dropped(asked, line)?,
            line => write_entry(asked.output, line, out)?,
        }
    }
}

/// Whether nobody can read our standard output any more.
fn stdout_is_gone() -> bool {
    let stdout = io::stdout();
    let mut fds = [PollFd::new(&stdout, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let polled = poll(&mut fds, Some(&now));
    polled.is_ok() && fds[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)
}

#[derive(Deserialize)]
struct Dropped {
    dropped: u64,
}

fn tell_dropped(asked: &Follow<'_>, line: &[u8]) -> Result<(), FollowError> {
    let Dropped { dropped } = serde_json::from_slice(line).map_err(SearchError::Answer)?;
    say(asked, &format!("{dropped} lines were skipped here: they were not read fast enough"));
    Ok(())
}

/// The part of an entry that the raw output shows.
#[derive(Deserialize)]
struct Raw {
    line: String,
    /// The bytes of a line that is no UTF-8.
    line_hex: Option<String>,
}

fn write_entry(output: Output, line: &[u8], out: &mut dyn Write) -> Result<(), SearchError> {
    if output != Output::Raw {
        return write_line(output, line, out);
    }
    let Raw { line, line_hex } = serde_json::from_slice(line)?;
    let mut bytes = line_hex.as_deref().and_then(from_hex).unwrap_or(line.into_bytes());
    bytes.push(b'\n');
    out.write_all(&bytes).map_err(SearchError::Write)
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let byte = |pair: &[u8]| Some((digit(&pair[0])? * 16 + digit(pair.get(1)?)?) as u8);
    text.as_bytes().chunks(2).map(byte).collect()
}

/// Reads lines on a thread of its own, so that silence is noticed. The last thing it gives is why it
/// ended.
fn read_ahead(
    body: impl Read + Send + 'static,
) -> Result<mpsc::Receiver<io::Result<Vec<u8>>>, FollowError> {
    let (sender, lines) = mpsc::sync_channel(LINES_AHEAD);
    let read = move || {
        let mut reader = BufReader::with_capacity(64 * 1024, body);
        loop {
            let line = next_line(&mut reader);
            let ended = line.is_err();
            if sender.send(line).is_err() || ended {
                return;
            }
        }
    };
    std::thread::Builder::new().spawn(read).map_err(FollowError::Thread)?;
    Ok(lines)
}

fn next_line(reader: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    reader.take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
    match line.last() {
        Some(b'\n') => Ok(line),
        Some(_) if line.len() as u64 == LINE_BYTES_MAX => {
            Err(io::Error::other(format!("a line is longer than {LINE_BYTES_MAX} bytes")))
        }
        _ => Err(io::Error::other("the connection was closed")),
    }
}

/// The body of the answer.
fn ask(asked: &Follow<'_>) -> Result<impl Read + Send + 'static, SearchError> {
    let now = chrono::Utc::now().timestamp_nanos_opt().unwrap_or(i64::MAX);
    let start = time("since", asked.since, now)?;
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(Duration::from_secs(10)))
        .build()
        .into();
    let mut request = agent
        .get(format!("{}/api/v1/tail", asked.addr.trim_end_matches('/')))
        .query("query", words(asked.words))
        .query("start", rfc3339(start))
        .query("limit", asked.limit.to_string());
    let hex = asked.output == Output::Raw;
    for (name, set) in [("ignore_case", asked.ignore_case), ("invert", asked.invert), ("hex", hex)]
    {
        request = request.query(name, if set { "true" } else { "false" });
    }
    let addr = asked.addr.to_owned();
    let mut response =
        request.call().map_err(|source| SearchError::Unreachable { addr, source })?;
    if response.status() != 200 {
        let text = response.body_mut().read_to_string().unwrap_or_default();
        let text = if text.is_empty() { response.status().to_string() } else { text };
        return Err(SearchError::Refused { text });
    }
    Ok(response.into_body().into_reader())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_lines_are_the_stored_bytes() {
        let raw = |line: &str| {
            let mut out = Vec::new();
            write_entry(Output::Raw, line.as_bytes(), &mut out).map(|()| out)
        };
        assert_eq!(raw(r#"{"line":"a\tb"}"#).unwrap(), b"a\tb\n");
        assert_eq!(raw(r#"{"line":"x","line_hex":"78ff0a"}"#).unwrap(), b"x\xff\n\n");
        assert!(raw("{}").is_err());
        assert_eq!(from_hex("7"), None);
        assert_eq!(from_hex("7g"), None);
    }

    #[test]
    fn a_line_without_an_end_is_an_error_and_never_longer_than_the_limit() {
        let read = |bytes: &[u8]| next_line(&mut &*bytes).map_err(|err| err.to_string());
        assert_eq!(read(b"one\ntwo\n"), Ok(b"one\n".to_vec()));
        assert!(read(b"one").unwrap_err().contains("closed"));
        assert!(read(b"").unwrap_err().contains("closed"));
        let endless = vec![b'x'; LINE_BYTES_MAX as usize + 9];
        assert!(read(&endless).unwrap_err().contains("longer"));
    }
}
