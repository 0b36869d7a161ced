//! An agent's work directory and a node's data, for one test.

use std::path::{Path, PathBuf};

use crate::node::Setup;

/// Deleted with all that is in it when dropped.
pub(super) struct Work {
    dir: tempfile::TempDir,
}

impl Work {
    pub(super) fn new() -> Self {
        Self::of(tempfile::tempdir().unwrap())
    }

    pub(super) fn of(dir: tempfile::TempDir) -> Self {
        std::fs::create_dir_all(dir.path().join("work/slaves")).unwrap();
        Self { dir }
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The agent's `--work_dir`.
    pub(super) fn work_dir(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    pub(super) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// The sandboxes of one executor's containers.
    pub(super) fn runs(&self) -> PathBuf {
        self.work_dir().join("slaves/S1/frameworks/F1/executors/E1/runs")
    }

    pub(super) fn stdout(&self, container: &str) -> PathBuf {
        self.runs().join(container).join("stdout")
    }

    /// A node with all roles that collects this agent.
    pub(super) fn node(&self) -> Setup {
        Setup::new(&self.data()).arg("--mesos-work-dir", self.work_dir())
    }
}
