//! A running `sawlog run`, on a port of its own, stopped by its process id.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long anything may take before a test gives up. Not a measure: machines are slow at times.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// The binary under test.
pub(crate) fn sawlog() -> Command {
    Command::new(env!("CARGO_BIN_EXE_sawlog"))
}

/// A process of the real binary. Killed when dropped.
pub(crate) struct Node {
    child: Child,
    pub(crate) addr: String,
    log: Arc<Mutex<String>>,
}

/// How to start a node.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) data: PathBuf,
    /// The subcommand.
    role: &'static str,
    args: Vec<String>,
    abort_at: Option<String>,
    /// Which of its own messages it writes; `None`: those of a user who says nothing.
    says: Option<&'static str>,
    /// How many files it may have open; `None`: as many as this process.
    open_files: Option<u32>,
    /// A copy of the binary that user nobody may run.
    as_nobody: Option<PathBuf>,
    /// What nobody may do all the same, in setpriv's words.
    capability: Option<&'static str>,
}

/// The user that owns nothing.
const NOBODY: u32 = 65534;

impl Setup {
    pub(crate) fn new(data: &Path) -> Self {
        Self {
            data: data.to_owned(),
            role: "run",
            args: Vec::new(),
            abort_at: None,
            says: None,
            open_files: None,
            as_nobody: None,
            capability: None,
        }
    }

    /// Another role than `run`, which is all of them.
    pub(crate) fn role(mut self, role: &'static str) -> Self {
        self.role = role;
        self
    }

    pub(crate) fn arg(mut self, name: &str, value: impl AsRef<Path>) -> Self {
        self.args.push(name.to_owned());
        self.args.push(value.as_ref().to_str().expect("test paths are text").to_owned());
        self
    }

    /// An argument without a value.
    pub(crate) fn flag(mut self, name: &str) -> Self {
        self.args.push(name.to_owned());
        self
    }

    /// The process aborts when it passes the point for the n-th time.
    pub(crate) fn abort_at(mut self, point: &str, nth: u32) -> Self {
        self.abort_at = Some(format!("{point}={nth}"));
        self
    }

    /// The process writes messages of this level.
    pub(crate) fn says(mut self, level: &'static str) -> Self {
        self.says = Some(level);
        self
    }

    /// The process may have so many files open.
    pub(crate) fn open_files(mut self, most: u32) -> Self {
        self.open_files = Some(most);
        self
    }

    /// Where the tests run as root, who may read everything: runs as a user who may not. `dir` holds
    /// the data directory and gets a copy of the binary.
    pub(crate) fn unprivileged(mut self, dir: &Path) -> Self {
        if rustix::process::geteuid().is_root() {
            let binary = dir.join("sawlog");
            std::fs::copy(env!("CARGO_BIN_EXE_sawlog"), &binary).unwrap();
            for path in [dir, &binary] {
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
            }
            std::fs::create_dir_all(&self.data).unwrap();
            std::os::unix::fs::chown(&self.data, Some(NOBODY), Some(NOBODY)).unwrap();
            self.as_nobody = Some(binary);
        }
        self
    }

    /// As [`Self::unprivileged`], with one capability of root's, such as `dac_read_search`. Needs root
    /// and setpriv.
    pub(crate) fn capable(mut self, dir: &Path, capability: &'static str) -> Self {
        self.capability = Some(capability);
        self.unprivileged(dir)
    }

    /// What keeps a node without a source from collecting this machine's own containers.
    fn nowhere(&self) -> Vec<PathBuf> {
        let flag = "--look-under";
        let is_told = self.args.iter().any(|arg| arg == flag);
        if is_told || self.role != "run" {
            Vec::new()
        } else {
            vec![flag.into(), self.data.join("nowhere")]
        }
    }

    fn command(&self) -> Command {
        let mut command = match (&self.as_nobody, self.capability) {
            (None, _) => self.open_files.map_or_else(sawlog, limited),
            (Some(binary), Some(capability)) => {
                let mut command = Command::new("setpriv");
                let nobody = NOBODY.to_string();
                let capability = format!("+{capability}");
                command.args(["--reuid", &nobody, "--regid", &nobody, "--clear-groups"]);
                command.args(["--inh-caps", &capability, "--ambient-caps", &capability]);
                command.arg("--no-new-privs").arg(binary);
                command
            }
            (Some(binary), None) => {
                let mut command = Command::new(binary);
                command.uid(NOBODY).gid(NOBODY);
                command
            }
        };
        command
            .arg(self.role)
            .args(["--listen", "127.0.0.1:0", "--data"])
            .arg(&self.data)
            .args(&self.args)
            .args(self.nowhere())
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        if let Some(level) = self.says {
            command.env("SAWLOG_LOG", level);
        }
        if let Some(point) = &self.abort_at {
            command.env("SAWLOG_ABORT_AT", point);
        }
        command
    }

    /// Runs a process that ends by itself: its exit code, and what it said.
    pub(crate) fn run_to_end(&self) -> (Option<i32>, String) {
        let output = self.command().stderr(Stdio::piped()).output().expect("the binary starts");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// Starts the process and waits until it listens.
    pub(crate) fn start(&self) -> Node {
        self.try_start()
            .unwrap_or_else(|log| panic!("sawlog {} ended at its start:\n{log}", self.role))
    }

    /// `Err` with what it said, if it ended before it listened.
    pub(crate) fn try_start(&self) -> Result<Node, String> {
        let mut child = self.command().stderr(Stdio::piped()).spawn().expect("the binary starts");
        let mut stderr = BufReader::new(child.stderr.take().expect("stderr is piped"));
        let log = Arc::new(Mutex::new(String::new()));
        let mut line = String::new();
        let addr = loop {
            line.clear();
            if stderr.read_line(&mut line).unwrap_or(0) == 0 {
                child.wait().expect("the child can be waited for");
                return Err(log.lock().unwrap().clone());
            }
            log.lock().unwrap().push_str(&line);
            if let Some((_, rest)) = line.split_once("sawlog listens on ") {
                break rest.split_whitespace().next().unwrap_or_default().to_owned();
            }
        };
        let copy = log.clone();
        std::thread::spawn(move || {
            while stderr.read_line(&mut line).is_ok_and(|n| n > 0) {
                copy.lock().unwrap().push_str(&line);
                line.clear();
            }
        });
        Ok(Node { child, addr, log })
    }
}

/// The binary, started by a shell that lowers its limit of open files and becomes it.
fn limited(open_files: u32) -> Command {
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("ulimit -n {open_files} && exec \"$0\" \"$@\""));
    command.arg(env!("CARGO_BIN_EXE_sawlog"));
    command
}

impl Node {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What the process wrote to standard error so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// The processes that it started and that still run.
    pub(crate) fn children(&self) -> Vec<u32> {
        let mut children = Vec::new();
        for entry in std::fs::read_dir("/proc").unwrap() {
            let name = entry.unwrap().file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            // Behind the name in parentheses: state, then the parent.
            let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split(' ').nth(2));
            if parent == Some(self.child.id().to_string().as_str()) {
                children.push(pid);
            }
        }
        children
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        // It may have ended by itself.
        self.child.kill().unwrap_or_default();
        self.child.wait().expect("the child can be waited for");
    }

    /// SIGTERM; gives the exit code.
    pub(crate) fn terminate(mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
        self.child.wait().expect("the child can be waited for").code()
    }

    /// Whether the process has aborted; panics if it ended in another way.
    pub(crate) fn has_aborted(&mut self) -> bool {
        let Some(status) = self.child.try_wait().expect("the child can be asked") else {
            return false;
        };
        let abort = rustix::process::Signal::ABORT.as_raw();
        assert_eq!(status.signal(), Some(abort), "{status}:\n{}", self.log());
        true
    }

    /// Waits until what was stored before the start can be searched.
    pub(crate) fn ready(self) -> Self {
        eventually("ready", || self.get("/ready", &[]).0, |status| *status == 200);
        self
    }

    /// Private memory in bytes: RssAnon of /proc.
    pub(crate) fn rss_anon(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap_or_default();
        let kib = line.split_whitespace().nth(1).and_then(|text| text.parse::<u64>().ok());
        kib.unwrap_or(0) * 1024
    }

    fn process(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.child)
    }

    /// Lets nothing of it run until [`Self::resume`]: SIGSTOP.
    pub(crate) fn pause(&self) {
        rustix::process::kill_process(self.process(), rustix::process::Signal::STOP).unwrap();
    }

    pub(crate) fn resume(&self) {
        rustix::process::kill_process(self.process(), rustix::process::Signal::CONT).unwrap();
    }

    /// How many files, directories and sockets it has open.
    pub(crate) fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// Whether it holds a file open below a directory, deleted or not.
    pub(crate) fn has_open(&self, dir: &Path) -> bool {
        let files = std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap();
        let is_below = |file: std::fs::DirEntry| {
            std::fs::read_link(file.path()).is_ok_and(|path| path.starts_with(dir) && path != dir)
        };
        files.filter_map(Result::ok).any(is_below)
    }

    /// GET with parameters: status and body.
    pub(crate) fn get(&self, path: &str, params: &[(&str, &str)]) -> (u16, Vec<u8>) {
        self.try_get(path, params).expect("the server answers")
    }

    /// `Err` if there is no (whole) answer, as from a process that died.
    pub(crate) fn try_get(
        &self,
        path: &str,
        params: &[(&str, &str)],
    ) -> Result<(u16, Vec<u8>), String> {
        let mut request = agent().get(format!("{}{path}", self.addr));
        for (name, value) in params {
            request = request.query(name, value);
        }
        let mut response = request.call().map_err(|err| err.to_string())?;
        let mut body = Vec::new();
        let mut reader = response.body_mut().as_reader();
        reader.read_to_end(&mut body).map_err(|err| err.to_string())?;
        Ok((response.status().as_u16(), body))
    }

    pub(crate) fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> (u16, String) {
        let mut request = agent().post(format!("{}{path}", self.addr));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut response = request.send(body).expect("the server answers");
        let text = response.body_mut().read_to_string().unwrap_or_default();
        (response.status().as_u16(), text)
    }

    /// The stored bytes of all lines of a selector, in the order of their files.
    pub(crate) fn export(&self, query: &str) -> Vec<u8> {
        let ask = || self.get("/api/v1/export", &[("query", query)]);
        let (status, body) = eventually("an export", ask, |(status, _)| *status != 503);
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
        body
    }

    /// How many entries a log query finds at all times.
    pub(crate) fn count(&self, query: &str) -> u64 {
        self.try_count(query).expect("the server answers")
    }

    pub(crate) fn try_count(&self, query: &str) -> Result<u64, String> {
        let query = format!("sum(count_over_time({query}[100y]))");
        let (status, body) = self.try_get("/loki/api/v1/query", &[("query", &query)])?;
        if status != 200 {
            return Err(String::from_utf8_lossy(&body).into_owned());
        }
        let answer: serde_json::Value =
            serde_json::from_slice(&body).map_err(|err| err.to_string())?;
        let value = &answer["data"]["result"][0]["value"][1];
        Ok(value.as_str().map_or(0, |text| text.parse().unwrap_or(0)))
    }

    /// A metric's value: the sum of all series of that name.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let (_, body) = self.get("/metrics", &[]);
        let text = String::from_utf8_lossy(&body);
        let series = text.lines().filter(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']))
        });
        series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(PATIENCE))
        .build()
        .into()
}

/// Asks again and again until the answer is right; panics with the last one after [`PATIENCE`].
#[track_caller]
pub(crate) fn eventually<T: std::fmt::Debug>(
    what: &str,
    mut ask: impl FnMut() -> T,
    right: impl Fn(&T) -> bool,
) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = ask();
        if right(&answer) {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what}: still {answer:?} after {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Runs a subcommand to its end.
pub(crate) fn run(args: &[&str]) -> Output {
    sawlog().args(args).stdin(Stdio::null()).output().expect("the binary starts")
}

/// Where two texts differ first, for a message that can be read.
#[track_caller]
pub(crate) fn assert_same_bytes(found: &[u8], expected: &[u8], what: &str) {
    if found == expected {
        return;
    }
    let at = found.iter().zip(expected).take_while(|(a, b)| a == b).count();
    let around = |bytes: &[u8]| {
        let range = at.saturating_sub(80).min(bytes.len())..(at + 80).min(bytes.len());
        String::from_utf8_lossy(&bytes[range]).into_owned()
    };
    panic!(
        "{what}: {} bytes found, {} expected, different from byte {at} on:\n{:?}\n{:?}",
        found.len(),
        expected.len(),
        around(found),
        around(expected)
    );
}
