//! `sawlog run --demo`: a Mesos agent's work directory with six containers in it, which are real
//! processes whose output is rotated as Mesos does it.

mod agent;
mod container;
mod kinds;
mod logger;
mod sandboxes;
mod stamp;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use anyhow::Context;

pub(crate) use container::main as container_main;
pub(crate) use kinds::Kind;

use agent::Agent;
use sandboxes::Sandboxes;

/// At which size a container's log is rotated, in bytes, unless something else is asked for.
pub(crate) const ROTATE_BYTES: usize = 256 * 1024;

/// The running demo. Dropping it ends its containers and waits for them.
pub(crate) struct Demo {
    work_dir: PathBuf,
    stop: Option<SyncSender<()>>,
    agent: Option<JoinHandle<()>>,
}

impl Demo {
    /// Starts the containers below `<data>/demo`. Sandboxes of earlier starts stay.
    ///
    /// # Errors
    /// The directories or the thread cannot be made.
    pub(crate) fn start(data: &Path, rotate_bytes: usize) -> anyhow::Result<Self> {
        let work_dir = data.join("demo");
        let sandboxes = Sandboxes::open(&work_dir).with_context(|| {
            format!("cannot make the demo's sandboxes in {}", work_dir.display())
        })?;
        let agent = Agent::new(sandboxes, rotate_bytes);
        let (stop, stopped) = sync_channel(1);
        let agent = std::thread::Builder::new()
            .name("demo-agent".into())
            .spawn(move || agent.run(&stopped))
            .context("cannot start the demo's thread")?;
        Ok(Self { work_dir, stop: Some(stop), agent: Some(agent) })
    }

    /// The `--work_dir` of the agent that is played.
    pub(crate) fn work_dir(&self) -> &Path {
        &self.work_dir
    }

    /// Ends all containers; their last lines are in the sandboxes then.
    pub(crate) fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.stop = None;
        if self.agent.take().is_some_and(|agent| agent.join().is_err()) {
            tracing::error!("the demo's thread panicked: its containers have ended with it");
        }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        self.end();
    }
}

/// What to try first: three searches, each with what it shows.
fn searches() -> [(String, &'static str); 3] {
    [
        ("timeout app:payments".to_owned(), "words, in the lines of one application"),
        (r#"'{level="error"} |= "connection refused"'"#.to_owned(), "LogQL, as in Grafana"),
        (container::KNOWN_REQUEST.to_owned(), "one request, through three applications"),
    ]
}

/// The searches as they can be typed, to be shown when the server listens on `addr`.
pub(crate) fn invitation(program: &str, addr: SocketAddr, data: &Path) -> String {
    let addr = match reachable(addr) {
        addr if addr == crate::config::DEFAULT_LISTEN => String::new(),
        addr => format!(" --addr http://{addr}"),
    };
    let program = quoted(program);
    let commands: Vec<(String, &str)> = searches()
        .into_iter()
        .map(|(words, shows)| (format!("{program} search{addr} {words}"), shows))
        .collect();
    let width = commands.iter().map(|(command, _)| command.len()).max().unwrap_or(0);
    let mut text = "Six demo containers write logs now. From a second terminal:\n".to_owned();
    for (command, shows) in commands {
        text.push_str(&format!("  {command:width$}   # {shows}\n"));
    }
    let data = data.display();
    text + &format!("Ctrl-C stops it and its containers; the data stays in {data}")
}

/// Where this machine reaches a listener: one on all addresses is also on the loopback.
fn reachable(addr: SocketAddr) -> SocketAddr {
    match addr {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => ([127, 0, 0, 1], v4.port()).into(),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => {
            (std::net::Ipv6Addr::LOCALHOST, v6.port()).into()
        }
        addr => addr,
    }
}

/// The name as a shell takes it for one word.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+@%:,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commands(program: &str, addr: &str) -> Vec<String> {
        let text = invitation(program, addr.parse().unwrap(), Path::new("/d"));
        let commands = text.lines().filter(|line| line.starts_with("  "));
        commands.map(|line| line.trim().split("   #").next().unwrap().trim().to_owned()).collect()
    }

    #[test]
    fn the_address_is_named_only_where_it_must_be() {
        let here = commands("target/release/sawlog", "127.0.0.1:7411");
        assert_eq!(here[0], "target/release/sawlog search timeout app:payments");
        assert_eq!(here.len(), 3);
        assert_eq!(commands("x", "0.0.0.0:7411")[2], "x search 9c41e07ab2d85f36");
        assert_eq!(
            commands("x", "127.0.0.1:99")[2],
            "x search --addr http://127.0.0.1:99 9c41e07ab2d85f36"
        );
        assert!(commands("x", "[::]:99")[0].contains("--addr http://[::1]:99 "));
    }

    #[test]
    fn a_name_with_spaces_is_one_word() {
        assert_eq!(quoted("/opt/my tools/saw'log"), r"'/opt/my tools/saw'\''log'");
        assert_eq!(quoted("./sawlog"), "./sawlog");
    }
}
