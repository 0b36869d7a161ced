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

use super::client::{CliError, Client, say};
use super::show::Look;
use super::time;
use super::wanted::{Output, Wanted, write_line};

/// A server that says nothing for so long is gone: it gives a sign of life each second.
const SILENCE_MAX: Duration = Duration::from_secs(15);
/// Lines that are read ahead, and the longest one in bytes: a line of 256 KiB, each byte escaped,
/// and its labels.
const LINES_AHEAD: usize = 16;
const LINE_BYTES_MAX: u64 = 4 << 20;

/// Follow the collected logs: the last lines, then each new one.
#[derive(Args, Debug)]
pub struct TailArgs {
    #[command(flatten)]
    wanted: Wanted,
    /// How far back the last lines are looked for: 15m, 2h, 3d ago, or a time such as
    /// 2026-08-20T10:00:00Z
    #[arg(short, long, default_value = "1h", value_name = "TIME")]
    since: String,
    /// How many lines come first, the newest ones
    #[arg(short = 'n', long = "limit", default_value_t = 10, value_name = "N")]
    limit: usize,
}

/// What is followed.
#[derive(Debug)]
pub(super) struct Follow<'a> {
    /// The subcommand, for messages.
    pub(super) command: &'static str,
    pub(super) wanted: &'a Wanted,
    pub(super) since: &'a str,
    /// Lines that come first.
    pub(super) limit: usize,
}

/// Why following ended.
#[derive(Debug, thiserror::Error)]
enum FollowError {
    #[error("{0}")]
    Cli(#[from] CliError),
    #[error("the server at {addr} ended the tail: {why}\nStart again when it is back")]
    Ended { addr: String, why: String },
    #[error("nothing was heard from {addr} for {} s: is it, and the network, still up?", SILENCE_MAX.as_secs())]
    Silent { addr: String },
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
}

/// Runs `sawlog tail`.
pub fn run(args: &TailArgs) -> ExitCode {
    let TailArgs { wanted, since, limit } = args;
    follow(&Follow { command: "tail", wanted, since, limit: *limit })
}

pub(super) fn follow(asked: &Follow<'_>) -> ExitCode {
    let mut out = BufWriter::new(io::stdout().lock());
    match show(asked, &mut out) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read us has seen enough, as `head` does.
        Err(FollowError::Cli(CliError::Write(err))) if err.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(err) => {
            say(asked.command, &err.to_string());
            ExitCode::from(2)
        }
    }
}

/// Shows lines until nobody reads them any more.
fn show(asked: &Follow<'_>, out: &mut dyn Write) -> Result<(), FollowError> {
    let client = Client::new(&asked.wanted.server, asked.command);
    let addr = || client.addr().to_owned();
    let lines = read_ahead(ask(&client, asked)?)?;
    let look = asked.wanted.look();
    loop {
        let line = match lines.try_recv() {
            Ok(line) => line,
            // Nothing waits: what was written so far is shown.
            Err(_) => {
                out.flush().map_err(CliError::Write)?;
                lines.recv_timeout(SILENCE_MAX).map_err(|_| FollowError::Silent { addr: addr() })?
            }
        };
        let line = line.map_err(|err| FollowError::Ended { addr: addr(), why: err.to_string() })?;
        match line.as_slice() {
            b"\n" if stdout_is_gone() => return Ok(()),
            b"\n" => {}
            line if line.starts_with(b"{\"dropped\":") => tell_dropped(asked, line)?,
            line => write_entry(asked.wanted.output, &look, line, out)?,
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
    let Dropped { dropped } = serde_json::from_slice(line).map_err(CliError::Answer)?;
    say(
        asked.command,
        &format!("{dropped} lines were skipped here: they were not read fast enough"),
    );
    Ok(())
}

/// The part of an entry that the raw output shows.
#[derive(Deserialize)]
struct Raw {
    line: String,
    /// The bytes of a line that is no UTF-8.
    line_hex: Option<String>,
}

fn write_entry(
    output: Output,
    look: &Look,
    line: &[u8],
    out: &mut dyn Write,
) -> Result<(), CliError> {
    if output != Output::Raw {
        return write_line(output, look, line, out);
    }
    let Raw { line, line_hex } = serde_json::from_slice(line)?;
    let mut bytes = line_hex.as_deref().and_then(from_hex).unwrap_or(line.into_bytes());
    bytes.push(b'\n');
    out.write_all(&bytes).map_err(CliError::Write)
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
fn ask(client: &Client, asked: &Follow<'_>) -> Result<impl Read + Send + use<>, CliError> {
    let start = time::time("since", asked.since, time::now())?;
    let mut pairs = asked.wanted.pairs();
    pairs.push(("start", time::rfc3339(start)));
    pairs.push(("limit", asked.limit.to_string()));
    pairs.push(("hex", (asked.wanted.output == Output::Raw).to_string()));
    client.get("/api/v1/tail", &pairs).map(|(body, _)| body)
}

#[cfg(test)]
mod tests {
    use super::super::show::Color;
    use super::*;
    use crate::lang::PlainOptions;

    #[test]
    fn raw_lines_are_the_stored_bytes() {
        let raw = |line: &str| {
            let mut out = Vec::new();
            let look = Look::new(Color::Never, false, "", PlainOptions::default());
            write_entry(Output::Raw, &look, line.as_bytes(), &mut out).map(|()| out)
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
