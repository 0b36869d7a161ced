//! A Mesos agent whose containers write, as processes of their own, and remember what they wrote.

use std::path::PathBuf;
use std::process::Child;
use std::time::Duration;

use crate::mesos_logger::{Job, spawn};
use crate::node::{Node, assert_same_bytes, eventually};

const ROTATE_BYTES: usize = 1 << 20;

/// An agent's work directory and what its containers wrote.
pub(crate) struct Agent {
    dir: tempfile::TempDir,
    writers: u32,
    /// Of each writer.
    lines: u32,
}

impl Agent {
    /// An empty one.
    pub(crate) fn new(writers: u32, lines: u32) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("truth")).unwrap();
        std::fs::create_dir_all(dir.path().join("work/slaves")).unwrap();
        Self { dir, writers, lines }
    }

    pub(crate) fn work_dir(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    /// The sandbox of container `c<name>`.
    pub(crate) fn sandbox(&self, name: &str) -> PathBuf {
        self.work_dir().join(format!("slaves/S1/frameworks/F1/executors/e{name}/runs/c{name}"))
    }

    /// Where a node keeps its data.
    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn truth(&self, writer: u32) -> PathBuf {
        self.dir.path().join(format!("truth/{writer}"))
    }

    /// Bytes that were written so far.
    pub(crate) fn written(&self) -> u64 {
        let bytes = |writer| std::fs::metadata(self.truth(writer)).map_or(0, |file| file.len());
        (0..self.writers).map(bytes).sum()
    }

    /// Starts the containers; each pauses after a hundred lines.
    pub(crate) fn spawn_writers(&self, pause: Duration) -> Vec<Child> {
        (0..self.writers)
            .map(|writer| {
                spawn(&Job {
                    sandbox: self.sandbox(&writer.to_string()),
                    truth: self.truth(writer),
                    writer,
                    lines: self.lines,
                    rotate_bytes: ROTATE_BYTES,
                    pause,
                })
            })
            .collect()
    }

    /// Waits until as many lines are found as were written, then compares each byte.
    pub(crate) fn check(&self, node: &Node) {
        let all = u64::from(self.writers * self.lines);
        let found = || node.count(r#"{container=~"c[0-9]+", stream="stdout"}"#);
        eventually("lines found", found, |n| *n >= all);
        // What came too often would come now.
        assert_eq!(found(), all);
        for writer in 0..self.writers {
            let truth = std::fs::read(self.truth(writer)).unwrap();
            let found = node.export(&format!(r#"{{container="c{writer}"}}"#));
            assert_same_bytes(&found, &truth, &format!("container c{writer}"));
        }
        assert!(self.sandbox("0").join("stdout.1").exists(), "the writers rotated their files");
    }
}

/// Waits until all have written all.
pub(crate) fn wait_all(writers: Vec<Child>) {
    for mut writer in writers {
        assert!(writer.wait().unwrap().success(), "a writer failed");
    }
}
