//! What all subcommands that ask a server share: its address, requests, and how they end. Lines go
//! to standard output, everything else to standard error; exit codes as grep's: 0 found, 1 nothing
//! found, 2 an error or a partial answer.

use std::io::{self, Read, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::show::harmless;
use crate::lang::ParseError;

/// Where a server listens unless it is told otherwise.
const ADDR_DEFAULT: &str = "http://127.0.0.1:7411";
/// The variable that `logcli` takes the address from.
const LOKI_ADDR: &str = "LOKI_ADDR";
/// The largest answer that is read as one JSON value, in bytes.
const JSON_BYTES_MAX: u64 = 64 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Which server is asked.
#[derive(Args, Debug)]
pub(super) struct ServerArgs {
    /// Where the server listens [default: LOKI_ADDR, else http://127.0.0.1:7411]
    #[arg(long, env = "SAWLOG_ADDR", value_name = "URL", alias = "url")]
    addr: Option<String>,
}

impl ServerArgs {
    /// A server at this address unless one was named.
    pub(super) fn or(&self, addr: &str) -> Self {
        let named = self.addr.clone().or_else(|| std::env::var(LOKI_ADDR).ok());
        Self { addr: Some(named.unwrap_or_else(|| addr.to_owned())) }
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum CliError {
    #[error("cannot reach {addr}: {source}\nIs `sawlog run` running? Name its address with --addr")]
    Unreachable {
        addr: String,
        #[source]
        source: Box<ureq::Error>,
    },
    #[error("{text}")]
    Refused { text: String },
    #[error("--{name} {text}: write 15m, 2h or 3d, or a time such as 2026-08-20T10:00:00Z")]
    Time { name: &'static str, text: String },
    #[error("{0}")]
    Query(#[from] ParseError),
    /// An argument that cannot be used, and the way out.
    #[error("{0}")]
    Usage(String),
    #[error("the answer is broken off: {0}")]
    Broken(#[source] io::Error),
    #[error("cannot write: {0}")]
    Write(#[source] io::Error),
    #[error("the server's answer is not understood: {0}")]
    Answer(#[from] serde_json::Error),
}

/// How many things were found, and whether some could not be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) found: u64,
    pub(super) partial: bool,
}

/// The exit code of a subcommand; says on standard error what went wrong.
pub(super) fn exit_code(command: &str, answer: Result<Answer, CliError>) -> ExitCode {
    match answer {
        // As grep: what could not be read is an error, whatever else was found.
        Ok(Answer { partial: true, .. }) => ExitCode::from(2),
        Ok(Answer { found: 0, .. }) => ExitCode::from(1),
        Ok(_) => ExitCode::SUCCESS,
        // Whoever read us has seen enough, as `head` does.
        Err(CliError::Write(err)) if err.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(err) => {
            say(command, &err.to_string());
            ExitCode::from(2)
        }
    }
}

/// A word to the person, on standard error. The text may be a server's: nothing in it is obeyed by a
/// terminal.
pub(super) fn say(command: &str, text: &str) {
    // Nothing is left to do if even this cannot be written.
    io::stderr().write_all(said(command, text).as_bytes()).unwrap_or_default();
}

fn said(command: &str, text: &str) -> String {
    format!("sawlog {command}: {}\n", harmless(text))
}

/// Parameters of a request.
pub(super) type Pairs<'p> = [(&'p str, String)];

/// Asks one server.
pub(super) struct Client {
    addr: String,
    agent: ureq::Agent,
    /// The subcommand, for what is said on standard error.
    command: &'static str,
}

impl Client {
    pub(super) fn new(args: &ServerArgs, command: &'static str) -> Self {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .build()
            .into();
        let addr = address(args.addr.as_deref(), std::env::var(LOKI_ADDR).ok().as_deref());
        Self { addr, agent, command }
    }

    /// The server's address.
    pub(super) fn addr(&self) -> &str {
        &self.addr
    }

    /// The body of an answer, and whether the server warned that it is partial.
    pub(super) fn get(
        &self,
        path: &str,
        pairs: &Pairs<'_>,
    ) -> Result<(impl Read + Send + use<>, bool), CliError> {
        let request = self.agent.get(format!("{}{path}", self.addr));
        let request = request.query_pairs(pairs.iter().map(|(name, value)| (*name, value)));
        let mut response = request.call().map_err(|err| self.unreachable(err))?;
        let mut partial = false;
        for warning in response.headers().get_all("x-sawlog-warning") {
            say(self.command, &String::from_utf8_lossy(warning.as_bytes()));
            partial = true;
        }
        if response.status() != 200 {
            let text = response.body_mut().read_to_string().unwrap_or_default();
            let text = if text.is_empty() { response.status().to_string() } else { text };
            return Err(CliError::Refused { text });
        }
        Ok((response.into_body().into_reader(), partial))
    }

    /// A whole answer.
    pub(super) fn bytes(&self, path: &str, pairs: &Pairs<'_>) -> Result<Vec<u8>, CliError> {
        let (body, _) = self.get(path, pairs)?;
        let mut bytes = Vec::new();
        body.take(JSON_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(CliError::Broken)?;
        if bytes.len() as u64 > JSON_BYTES_MAX {
            let text = format!("the answer is larger than {JSON_BYTES_MAX} bytes: ask for less");
            return Err(CliError::Refused { text });
        }
        Ok(bytes)
    }

    /// The `data` of one of Loki's answers, and whether the server warned that it is partial.
    pub(super) fn loki<T: DeserializeOwned>(
        &self,
        path: &str,
        pairs: &Pairs<'_>,
    ) -> Result<(T, bool), CliError> {
        let bytes = self.bytes(&format!("/loki/api/v1/{path}"), pairs)?;
        let answer: Envelope<T> = serde_json::from_slice(&bytes)?;
        for warning in &answer.warnings {
            say(self.command, warning);
        }
        Ok((answer.data, !answer.warnings.is_empty()))
    }

    fn unreachable(&self, source: ureq::Error) -> CliError {
        CliError::Unreachable { addr: self.addr.clone(), source: Box::new(source) }
    }
}

#[derive(Deserialize)]
struct Envelope<T> {
    #[serde(default)]
    warnings: Vec<String>,
    data: T,
}

/// The server's address without a slash at its end; an empty setting is none.
fn address(given: Option<&str>, loki: Option<&str>) -> String {
    let set = |text: &&str| !text.trim().is_empty();
    let addr = given.filter(set).or(loki.filter(set)).unwrap_or(ADDR_DEFAULT);
    let addr = addr.trim().trim_end_matches('/');
    if addr.contains("://") { addr.to_owned() } else { format!("http://{addr}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_is_not_obeyed() {
        let text = "no\u{1b}]0;title\u{7}\u{9b}2J\n  ^";
        assert_eq!(
            said("search", text),
            "sawlog search: no\u{241b}]0;title\u{2407}\u{fffd}2J\n  ^\n"
        );
    }

    #[test]
    fn the_address_is_the_flag_then_logclis_then_the_default() {
        assert_eq!(address(Some("http://a:1/"), Some("http://b:2")), "http://a:1");
        assert_eq!(address(None, Some("http://b:2")), "http://b:2");
        assert_eq!(address(Some(""), Some("b:2")), "http://b:2");
        assert_eq!(address(None, None), ADDR_DEFAULT);
    }
}
