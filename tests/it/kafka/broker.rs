//! A real Apache Kafka for one test: `deploy/kafka/kafka.sh` in a directory of its own.

use std::io::Write;
use std::path::Path;
use std::process::{ChildStdin, Command, Output, Stdio};
use std::sync::OnceLock;

/// A cluster of one or three nodes, numbered from 1. Killed when dropped, and when this process ends in
/// any other way.
pub(crate) struct Broker {
    dir: tempfile::TempDir,
    bootstrap: String,
    /// While these are open the nodes live (`--until-eof`): one of each start.
    lifelines: Vec<ChildStdin>,
}

impl Broker {
    /// Starts `nodes` nodes (1 or 3) with settings of the broker beside those of `deploy/kafka`, and
    /// waits until they are ready. `None` where there is no Kafka to be had: the test then returns, and
    /// what it would have shown has loudly been said to be skipped. Panics instead if `CI=true`, and if
    /// Kafka is there but does not start.
    pub(crate) fn start(nodes: u8, settings: &[(&str, &str)]) -> Option<Self> {
        if !is_available() {
            return None;
        }
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut broker = Self { dir, bootstrap: String::new(), lifelines: Vec::new() };
        let mut args = vec!["--nodes".to_owned(), nodes.to_string()];
        for (key, value) in settings {
            args.extend(["--set".to_owned(), format!("{key}={value}")]);
        }
        broker.run_start(&args);
        let bootstrap = std::fs::read_to_string(broker.dir.path().join("bootstrap"));
        broker.bootstrap = bootstrap.expect("kafka.sh writes it").trim_end().to_owned();
        Some(broker)
    }

    /// `host:port` of each node, joined by commas. The same for as long as this lives.
    pub(crate) fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// `kill -9` of one node.
    pub(crate) fn kill(&self, node: u8) {
        self.end("kill", node);
    }

    /// SIGTERM: the node hands its partitions over and ends.
    pub(crate) fn stop(&self, node: u8) {
        self.end("stop", node);
    }

    /// Starts the nodes that do not run, with their data and ports, and waits until they are ready.
    pub(crate) fn start_again(&mut self) {
        self.run_start(&[]);
    }

    /// Runs a command of Kafka: a main class with its arguments.
    pub(crate) fn tool(&self, class: &str, args: &[&str]) -> Output {
        let mut command = kafka_sh();
        command.args(["tool", class, "--bootstrap-server", &self.bootstrap]).args(args);
        command.output().expect("kafka.sh can be run")
    }

    /// Process ids of the nodes that run.
    pub(super) fn processes(&self) -> Vec<u32> {
        let output = self.in_dir("status").output().expect("kafka.sh can be run");
        let text = String::from_utf8(output.stdout).expect("kafka.sh prints text");
        let numbers = text.lines().filter_map(|line| line.split_once(", process ")?.1.parse().ok());
        numbers.collect()
    }

    /// What the end of this process does, however it comes: the nodes are to be killed.
    pub(super) fn cut_lifelines(&mut self) {
        self.lifelines.clear();
    }

    fn run_start(&mut self, args: &[String]) {
        let mut command = self.in_dir("start");
        command.arg("--until-eof").args(args).stdin(Stdio::piped());
        let mut child = command.spawn().expect("kafka.sh can be run");
        self.lifelines.push(child.stdin.take().expect("stdin is piped"));
        let output = child.wait_with_output().expect("kafka.sh can be waited for");
        assert!(output.status.success(), "Kafka does not start:\n{}", stderr(&output));
    }

    fn end(&self, how: &str, node: u8) {
        let mut command = self.in_dir(how);
        let output = command.args(["--node", &node.to_string()]).output();
        let output = output.expect("kafka.sh can be run");
        assert!(output.status.success(), "{how} of node {node}:\n{}", stderr(&output));
    }

    fn in_dir(&self, subcommand: &str) -> Command {
        let mut command = kafka_sh();
        command.arg(subcommand).arg("--dir").arg(self.dir.path());
        command
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // If this fails, the end of the lifelines does the same a moment later.
        if let Err(err) = self.in_dir("kill").output() {
            eprintln!("kafka.sh kill: {err}");
        }
    }
}

fn kafka_sh() -> Command {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/kafka/kafka.sh");
    let mut command = Command::new(script);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Whether Kafka is here or could be fetched; found out once, by the first test that asks.
fn is_available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| {
        let output = kafka_sh().arg("fetch").output();
        let why = match output {
            Ok(output) if output.status.success() => return true,
            Ok(output) => stderr(&output),
            Err(err) => format!("kafka.sh cannot be run: {err}"),
        };
        let in_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
        assert!(!in_ci, "in CI the Kafka tests must run: {why}");
        // Written past the test harness, which would keep it to itself.
        let mut out = std::io::stderr().lock();
        writeln!(out, "\nKAFKA TESTS SKIPPED: {}\n", why.trim_end()).expect("stderr is open");
        false
    })
}
