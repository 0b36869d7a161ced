//! The demo's Mesos work directory: the tree that a Mesos agent makes, and the deletion of the
//! oldest sandboxes, as the agent does it.

use std::collections::VecDeque;
use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::kinds::{Framework, Kind};

/// The id that the master gave the agent. An agent keeps it when it starts again.
const AGENT: &str = "7b1f0c52-9d3e-4a86-b1c7-2f4e8a905d13-S0";
/// How many sandboxes of ended containers stay.
const ENDED_KEPT: usize = 40;

/// The work directory.
pub(super) struct Sandboxes {
    work_dir: PathBuf,
    /// Executors whose container has ended, the oldest first.
    ended: VecDeque<PathBuf>,
}

/// Where one container writes.
pub(super) struct Sandbox {
    /// The directory of its executor, which no other container has.
    pub(super) executor: PathBuf,
    /// Where the container runs.
    pub(super) dir: PathBuf,
    pub(super) stdout: PathBuf,
    pub(super) stderr: PathBuf,
}

impl Sandboxes {
    /// Makes the tree of an agent, or takes over the one that is there: its containers have ended.
    ///
    /// # Errors
    /// A directory cannot be made or listed.
    pub(super) fn open(work_dir: &Path) -> io::Result<Self> {
        let meta = work_dir.join("meta/slaves");
        std::fs::create_dir_all(meta.join(AGENT))?;
        link_latest(&meta, AGENT)?;
        let mut ended = Vec::new();
        for framework in Framework::ALL {
            let executors = executors(work_dir, framework);
            std::fs::create_dir_all(&executors)?;
            for entry in std::fs::read_dir(&executors)? {
                let entry = entry?;
                let changed = entry.metadata().and_then(|facts| facts.modified());
                ended.push((changed.unwrap_or(SystemTime::UNIX_EPOCH), entry.path()));
            }
        }
        ended.sort();
        let ended = ended.into_iter().map(|(_, path)| path).collect();
        Ok(Self { work_dir: work_dir.to_owned(), ended })
    }

    /// Makes the sandbox of a new container, with its two empty logs, as the fetcher leaves them.
    ///
    /// # Errors
    /// A directory or file cannot be made.
    pub(super) fn create(&self, kind: Kind, rng: &mut fastrand::Rng) -> io::Result<Sandbox> {
        let executor = executors(&self.work_dir, kind.framework()).join(kind.executor_id(rng));
        let runs = executor.join("runs");
        std::fs::create_dir_all(&runs)?;
        let container = uuid(rng);
        let dir = runs.join(&container);
        DirBuilder::new().mode(0o750).create(&dir)?;
        link_latest(&runs, &container)?;
        let logs = match kind.thermos_process() {
            Some(process) => dir.join("sandbox/.logs").join(process).join("0"),
            None => dir.clone(),
        };
        std::fs::create_dir_all(&logs)?;
        for log in
            [dir.join("stdout"), dir.join("stderr"), logs.join("stdout"), logs.join("stderr")]
        {
            File::options().append(true).create(true).open(log)?;
        }
        Ok(Sandbox { executor, stdout: logs.join("stdout"), stderr: logs.join("stderr"), dir })
    }

    /// Counts a container as ended, and deletes the sandboxes that are too many.
    pub(super) fn end(&mut self, executor: PathBuf) {
        self.ended.push_back(executor);
        while self.ended.len() > ENDED_KEPT {
            let Some(oldest) = self.ended.pop_front() else { return };
            if let Err(error) = std::fs::remove_dir_all(&oldest) {
                tracing::warn!("cannot delete the sandbox {}: {error}", oldest.display());
            }
        }
    }
}

fn executors(work_dir: &Path, framework: Framework) -> PathBuf {
    work_dir.join("slaves").join(AGENT).join("frameworks").join(framework.id()).join("executors")
}

/// Makes `latest` in `dir` name one of its directories. As an agent does, with an absolute link and
/// not in one step.
fn link_latest(dir: &Path, name: &str) -> io::Result<()> {
    let latest = dir.join("latest");
    match std::fs::remove_file(&latest) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => symlink(dir.join(name), latest),
    }
}

/// A random UUID (version 4).
pub(super) fn uuid(rng: &mut fastrand::Rng) -> String {
    let bits = rng.u128(..) & !(0xf << 76 | 0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    let hex = format!("{bits:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_like_an_agents_work_dir() {
        let dir = tempfile::tempdir().unwrap();
        let sandboxes = Sandboxes::open(dir.path()).unwrap();
        let mut rng = fastrand::Rng::with_seed(1);
        for kind in Kind::ALL {
            let sandbox = sandboxes.create(kind, &mut rng).unwrap();
            assert!(sandbox.stdout.is_file() && sandbox.stderr.is_file());
            let latest = std::fs::read_link(sandbox.executor.join("runs/latest")).unwrap();
            assert_eq!(latest, sandbox.dir);
            assert!(sandbox.stdout.starts_with(&sandbox.dir));
        }
        let latest = std::fs::read_link(dir.path().join("meta/slaves/latest")).unwrap();
        assert!(latest.is_absolute() && latest.ends_with(AGENT));
    }

    #[test]
    fn the_oldest_sandboxes_go_also_those_of_a_run_before() {
        let dir = tempfile::tempdir().unwrap();
        let mut rng = fastrand::Rng::with_seed(2);
        let sandboxes = Sandboxes::open(dir.path()).unwrap();
        let first = sandboxes.create(Kind::Export, &mut rng).unwrap();
        let mut sandboxes = Sandboxes::open(dir.path()).unwrap();
        let mut newest = None;
        for n in 0..ENDED_KEPT {
            assert!(first.executor.exists(), "after {n}");
            let sandbox = sandboxes.create(Kind::Web, &mut rng).unwrap();
            newest = Some(sandbox.executor.clone());
            sandboxes.end(sandbox.executor);
        }
        assert!(!first.executor.exists());
        assert!(newest.unwrap().exists());
    }

    #[test]
    fn uuids_are_of_version_4() {
        let mut rng = fastrand::Rng::with_seed(3);
        for _ in 0..50 {
            let id = uuid(&mut rng);
            assert_eq!((id.len(), &id[14..15]), (36, "4"), "{id}");
            assert!(matches!(&id[19..20], "8" | "9" | "a" | "b"), "{id}");
        }
    }
}
