//! The usual places of container logs, looked through when nobody named a source.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fmt;
use std::io::{self, ErrorKind, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What is read of a command line, an environment or a file with a flag in it, in bytes.
const READ_BYTES_MAX: u64 = 64 * 1024;
/// Where agents keep their work directory unless they were told otherwise.
const WORK_DIRS: [&str; 4] =
    ["var/lib/mesos", "var/lib/mesos/agent", "var/lib/mesos/slave", "tmp/mesos"];
/// Files whose content is the agent's flag, as packages lay them out.
const FLAG_FILES: [&str; 2] = ["etc/mesos-agent/work_dir", "etc/mesos-slave/work_dir"];
/// What writes plain files, the directory it has, and which files in it are logs.
const PLAIN: [(&str, &str, &str); 2] = [
    ("Docker's json-file logs", "var/lib/docker/containers", "*/*-json.log"),
    ("Kubernetes' (CRI) logs", "var/log/pods", "*/*/*.log"),
];

/// What there is to collect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sources {
    /// Work directories of Mesos agents.
    pub(crate) work_dirs: Vec<PathBuf>,
    /// Globs of plain files.
    pub(crate) paths: Vec<String>,
}

impl Sources {
    pub(crate) fn is_empty(&self) -> bool {
        self.work_dirs.is_empty() && self.paths.is_empty()
    }
}

/// What was found at one place.
#[derive(Debug)]
pub(crate) struct Finding {
    what: &'static str,
    path: PathBuf,
    outcome: Outcome,
}

#[derive(Debug)]
enum Outcome {
    Found,
    Missing,
    /// It is there, and is not what it would have to be.
    Other(&'static str),
    Unreadable(io::Error),
}

impl Finding {
    pub(crate) fn is_unreadable(&self) -> bool {
        matches!(self.outcome, Outcome::Unreadable(_))
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}: ", self.what, self.path.display())?;
        match &self.outcome {
            Outcome::Found => f.write_str("found, collecting"),
            Outcome::Missing => f.write_str("not there"),
            Outcome::Other(why) => f.write_str(why),
            Outcome::Unreadable(error) if error.kind() == ErrorKind::PermissionDenied => {
                f.write_str("not readable: run as root or with the capability CAP_DAC_READ_SEARCH")
            }
            Outcome::Unreadable(error) => write!(f, "not readable: {error}"),
        }
    }
}

/// Looks through the usual places below `root`, which is `/` except in tests. Tells the sources
/// found, and what was found at each place.
pub(crate) fn look(root: &Path) -> (Sources, Vec<Finding>) {
    let mut sources = Sources::default();
    let mut findings = Vec::new();
    let mut seen = BTreeSet::new();
    for (path, told) in work_dirs(root) {
        if !seen.insert(path.canonicalize().unwrap_or_else(|_| path.clone())) {
            continue;
        }
        let outcome = work_dir(&path, told);
        if matches!(outcome, Outcome::Found) {
            sources.work_dirs.push(path.clone());
        }
        findings.push(Finding { what: "a Mesos agent's work_dir", path, outcome });
    }
    for (what, dir, logs) in PLAIN {
        let path = root.join(dir);
        let mut outcome = listed(&path);
        if matches!(outcome, Outcome::Found) {
            match path.join(logs).into_os_string().into_string() {
                Ok(glob) => sources.paths.push(glob),
                Err(_) => outcome = Outcome::Other("no UTF-8, name its files with --path"),
            }
        }
        findings.push(Finding { what, path, outcome });
    }
    (sources, findings)
}

/// What is odd about the sources that somebody named: they are collected all the same, as soon as
/// there is something.
pub(crate) fn doubts(work_dir: Option<&Path>, globs: &[String]) -> Vec<String> {
    let mut doubts: Vec<String> = globs.iter().filter_map(|glob| doubt_of_glob(glob)).collect();
    let Some(dir) = work_dir else { return doubts };
    let shown = dir.display();
    let is_agents = dir.join("slaves").is_dir() || dir.join("meta").is_dir();
    match listed(dir) {
        Outcome::Found if is_agents => {}
        Outcome::Found => doubts.push(format!(
            "--mesos-work-dir {shown} has neither slaves/ nor meta/: is it the --work_dir of an \
             agent? It is looked at again"
        )),
        // Whether it is missing is said when the collector starts.
        Outcome::Missing | Outcome::Other(_) => {}
        Outcome::Unreadable(error) => {
            let what = "--mesos-work-dir";
            let outcome = Outcome::Unreadable(error);
            doubts.push(Finding { what, path: dir.to_owned(), outcome }.to_string());
        }
    }
    doubts
}

fn doubt_of_glob(glob: &str) -> Option<String> {
    if Path::new(glob).is_dir() {
        let dir = glob.trim_end_matches('/');
        return Some(format!(
            "--path {glob} is a directory: write {dir}/*.log for the files in it"
        ));
    }
    if sawlog_collector::matches_any(glob) {
        return None;
    }
    Some(format!("--path {glob} matches nothing yet: it is looked for again"))
}

/// Candidates, and whether an agent's own settings name them.
fn work_dirs(root: &Path) -> Vec<(PathBuf, bool)> {
    let mut dirs: Vec<(PathBuf, bool)> = Vec::new();
    let told = running_agents(root).into_iter().chain(flag_files(root));
    dirs.extend(told.map(|dir| (below(root, &dir), true)));
    dirs.extend(WORK_DIRS.map(|dir| (root.join(dir), false)));
    dirs
}

fn below(root: &Path, dir: &Path) -> PathBuf {
    root.join(dir.strip_prefix("/").unwrap_or(dir))
}

/// A directory that merely has a usual name counts only if an agent has been there.
fn work_dir(path: &Path, told: bool) -> Outcome {
    match listed(path) {
        Outcome::Found if !told && !path.join("slaves").is_dir() && !path.join("meta").is_dir() => {
            Outcome::Other("no agent's: it has neither slaves/ nor meta/")
        }
        outcome => outcome,
    }
}

fn listed(path: &Path) -> Outcome {
    match std::fs::read_dir(path) {
        Ok(_) => Outcome::Found,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Outcome::Missing
        }
        Err(error) => Outcome::Unreadable(error),
    }
}

fn flag_files(root: &Path) -> Vec<PathBuf> {
    let contents = FLAG_FILES.iter().filter_map(|file| read(&root.join(file)).ok());
    contents.filter_map(|content| absolute(content.trim_ascii())).collect()
}

/// The work directories of the agents that run, as their command lines or environments tell.
fn running_agents(root: &Path) -> Vec<PathBuf> {
    let Ok(processes) = std::fs::read_dir(root.join("proc")) else { return Vec::new() };
    let is_process = |name: &OsStr| name.as_bytes().iter().all(u8::is_ascii_digit);
    let processes = processes.filter_map(Result::ok).filter(|entry| is_process(&entry.file_name()));
    processes.filter_map(|process| agent_work_dir(&process.path())).collect()
}

fn agent_work_dir(process: &Path) -> Option<PathBuf> {
    let command = read(&process.join("cmdline")).ok()?;
    let mut words = command.split(|byte| *byte == 0);
    let program = Path::new(OsStr::from_bytes(words.next()?)).file_name()?.as_bytes();
    if !matches!(program, b"mesos-agent" | b"mesos-slave" | b"lt-mesos-agent" | b"lt-mesos-slave") {
        return None;
    }
    let flag = words.find_map(|word| word.strip_prefix(b"--work_dir="));
    flag.and_then(absolute).or_else(|| {
        let environment = read(&process.join("environ")).ok()?;
        let mut variables = environment.split(|byte| *byte == 0);
        variables.find_map(|one| one.strip_prefix(b"MESOS_WORK_DIR=")).and_then(absolute)
    })
}

fn absolute(path: &[u8]) -> Option<PathBuf> {
    let path = Path::new(OsStr::from_bytes(path));
    path.is_absolute().then(|| path.to_owned())
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    std::fs::File::open(path)?.take(READ_BYTES_MAX).read_to_end(&mut content)?;
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Root(tempfile::TempDir);

    impl Root {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn dir(&self, path: &str) -> PathBuf {
            let path = self.0.path().join(path);
            std::fs::create_dir_all(&path).unwrap();
            path
        }

        fn file(&self, path: &str, content: &str) {
            let path = self.0.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }

        fn look(&self) -> (Sources, String) {
            let (sources, findings) = look(self.0.path());
            let said: Vec<String> = findings.iter().map(Finding::to_string).collect();
            (sources, said.join("\n"))
        }
    }

    #[test]
    fn nothing_is_found_where_nothing_is() {
        let root = Root::new();
        root.dir("var/log");
        root.file("var/log/syslog", "not a container's\n");
        let (sources, said) = root.look();
        assert!(sources.is_empty(), "{sources:?}");
        assert_eq!(said.matches("not there").count(), WORK_DIRS.len() + PLAIN.len(), "{said}");
    }

    #[test]
    fn usual_names_count_only_with_an_agents_directories() {
        let root = Root::new();
        root.dir("tmp/mesos/cache");
        let agent = root.dir("var/lib/mesos/slave/meta").parent().unwrap().to_owned();
        let (sources, said) = root.look();
        assert_eq!(sources.work_dirs, [agent]);
        assert!(said.contains("tmp/mesos: no agent's"), "{said}");
    }

    #[test]
    fn a_running_agent_tells_its_work_dir() {
        let root = Root::new();
        let (flag, variable) = (root.dir("srv/a b"), root.dir("srv/c"));
        root.file("proc/17/cmdline", "/usr/sbin/mesos-agent\0--work_dir=/srv/a b\0--ip=::\0");
        root.file("proc/18/cmdline", "mesos-slave\0--master=zk\0");
        root.file("proc/18/environ", "A=1\0MESOS_WORK_DIR=/srv/c\0");
        root.file("proc/19/cmdline", "/bin/vi\0--work_dir=/srv/other\0");
        root.file("proc/self/cmdline", "mesos-agent\0--work_dir=/srv/other\0");
        root.dir("srv/other");
        let mut found = root.look().0.work_dirs;
        found.sort();
        assert_eq!(found, [flag, variable]);
    }

    #[test]
    fn packages_flag_files_count_and_no_directory_is_taken_twice() {
        let root = Root::new();
        let agent = root.dir("var/lib/mesos/slaves").parent().unwrap().to_owned();
        root.file("etc/mesos-slave/work_dir", "/var/lib/mesos\n");
        root.file("etc/mesos-agent/work_dir", "relative\n");
        assert_eq!(root.look().0.work_dirs, [agent]);
    }

    #[test]
    fn docker_and_cri_are_globs_of_their_own() {
        let root = Root::new();
        let (docker, pods) = (root.dir("var/lib/docker/containers"), root.dir("var/log/pods"));
        let expected = [docker.join("*/*-json.log"), pods.join("*/*/*.log")];
        let expected = expected.map(|path| path.to_str().unwrap().to_owned());
        assert_eq!(root.look().0.paths, expected);
    }

    #[test]
    fn sources_that_have_nothing_yet_are_doubted() {
        let root = Root::new();
        let agent = root.dir("agent/slaves").parent().unwrap().to_owned();
        let other = root.dir("other");
        let log = root.dir("log").join("x.log");
        root.file("log/x.log", "x\n");
        assert_eq!(doubts(Some(&agent), &[log.display().to_string()]), [""; 0]);
        let globs = [root.dir("log"), root.dir("log").join("*.txt")];
        let globs = globs.map(|glob| glob.display().to_string());
        let said = doubts(Some(&other), &globs);
        assert_eq!(said.len(), 3, "{said:#?}");
        assert!(said[0].contains(&format!("write {}/*.log", globs[0])), "{said:#?}");
        assert!(said[1].contains(&globs[1]) && said[1].contains("looked for again"), "{said:#?}");
        assert!(said[2].contains("neither slaves/ nor meta/"), "{said:#?}");
    }

    #[test]
    fn what_may_not_be_read_names_the_capability() {
        let denied = Outcome::Unreadable(ErrorKind::PermissionDenied.into());
        let finding = Finding { what: "logs", path: "/x".into(), outcome: denied };
        assert!(finding.to_string().contains("CAP_DAC_READ_SEARCH"), "{finding}");
    }
}
