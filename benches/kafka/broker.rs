//! A broker for the time of the bench, started by the same script as everywhere.

use std::process::{Command, Stdio};

/// Stopped when dropped.
pub(crate) struct Broker {
    dir: tempfile::TempDir,
    address: String,
}

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/kafka/kafka.sh");

impl Broker {
    /// `None` where there is no Java or no Maven; says so.
    pub(crate) fn start() -> Option<Self> {
        let there = |program| {
            let asked = Command::new(program).arg("-version").stderr(Stdio::null()).output();
            asked.is_ok_and(|output| output.status.success())
        };
        if !there("java") || !there("mvn") {
            println!("NOT MEASURED: a Kafka broker takes Java 17 and Maven");
            return None;
        }
        let dir = tempfile::tempdir().expect("a temporary folder");
        let started = Command::new(SCRIPT)
            .args(["start", "--dir"])
            .arg(dir.path())
            .stdout(Stdio::null())
            .status()
            .expect("the script runs");
        assert!(started.success(), "no broker could be started");
        let address = std::fs::read_to_string(dir.path().join("bootstrap"));
        let address = address.expect("the script leaves the address").trim().to_owned();
        Some(Self { dir, address })
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let stopped = Command::new(SCRIPT).args(["stop", "--dir"]).arg(self.dir.path()).status();
        if !stopped.is_ok_and(|status| status.success()) {
            eprintln!("the broker in {} may still run", self.dir.path().display());
        }
    }
}
