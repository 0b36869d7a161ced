//! What an operator may set for a collector, and the checks that come before anything is touched.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sawlog_transport::limits::FRAME_TEXT_BYTES_MAX;

use crate::envelope::Format;
use crate::journal::JournalSource;
use crate::mesos::{MesosConfig, MesosConfigError};
use crate::paths::GlobError;
use crate::rate::{OnLimit, RateRule, Rules};

/// The least that deleted files and the spool may hold, in bytes: a few batches.
const BUDGET_MIN: u64 = 1024 * 1024;

/// The settings of one collector. [`Config::new`] gives every limit its default.
#[derive(Clone, Debug)]
pub struct Config {
    /// The `--work_dir` of each Mesos agent on this host; empty on a host without Mesos.
    pub mesos_work_dirs: Vec<PathBuf>,
    /// How the agents are asked what they know of their containers; `None`: they are not.
    pub mesos: Option<MesosConfig>,
    /// Globs of plain files. A file `x.log` and its rotated siblings `x.log.N` are one stream.
    pub paths: Vec<String>,
    /// In what form the files of `paths` hold their lines.
    pub format: Format,
    /// Whether the lines of a stack trace are one entry.
    pub multiline: bool,
    /// What containers wrote to journald, if they did.
    pub journal: Option<JournalSource>,
    /// Where the collector keeps its id and its checkpoints. One collector at a time.
    pub data_dir: PathBuf,
    /// The value of the label `host`, and the agent of plain files' stream ids.
    pub host: String,
    /// Whether secrets are taken out of lines before they leave this process.
    pub redaction: bool,
    /// Files with values that must not leave this host, one a line, of at least 8 bytes each; read
    /// again when they change.
    pub secret_files: Vec<PathBuf>,
    /// Text read and not yet acknowledged, in bytes; beyond it reading stops.
    pub in_flight_bytes_max: usize,
    /// Bytes of deleted files that are held open until they are acknowledged; what is beyond is read
    /// into the spool.
    pub pinned_bytes_max: u64,
    /// Bytes on disk of batches that wait in the spool; beyond it the oldest are lost, and declared.
    pub spool_bytes_max: u64,
    /// Bytes of log files that each application may hand on in a second; `None`: any number.
    pub rate_limit_bytes_per_second: Option<u64>,
    /// What happens to lines beyond that rate.
    pub on_limit: OnLimit,
    /// Rates of single applications; the first that matches counts.
    pub rate_rules: Vec<RateRule>,
    /// Log files open at once; no more than three quarters of what the system allows this process.
    /// What is beyond waits until others are finished, and is read then.
    pub open_files_max: usize,
    /// How long a batch waits for more runs after its first.
    pub linger: Duration,
    /// How often directories that cannot be watched are listed; watched ones are checked at a
    /// sixth of this rate.
    pub rescan_every: Duration,
    /// How long a directory whose log files are being renamed is listed again and again, before the
    /// files' birth times decide on their order. What is found meanwhile is open, but not read.
    pub relist_for: Duration,
    /// How often the sizes of open files that no watch covers are looked at; covered ones are
    /// checked at a sixtieth of this rate.
    pub sweep_every: Duration,
    /// The least time between two writes of checkpoints.
    pub checkpoint_every: Duration,
    /// An unterminated last line becomes a line when its file stayed the same for this long and
    /// nobody has it open for writing.
    pub partial_after: Duration,
    /// The same where the system does not tell whether a file has writers.
    pub partial_after_unknown_writers: Duration,
    /// How long the unterminated end of a rotated file must stay the same before it is taken for an
    /// unfinished line that the next file does not continue: somebody still writes to it, or the system
    /// does not tell, and nothing says that it was closed.
    pub join_after: Duration,
    /// How long a file stays open after its last change, where it is not known to be finished.
    pub release_after: Duration,
    /// The same for rotated, moved and deleted files where the system does not tell whether a file
    /// has writers: one may still have something to say.
    pub release_after_unknown_writers: Duration,
    /// The pause before a batch that could not be stored is sent again; doubled each time.
    pub resend_after: Duration,
    /// The longest such pause.
    pub resend_after_max: Duration,
    #[cfg(test)]
    pub(crate) pretended: Pretended,
}

/// What tests let the system say.
#[cfg(test)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pretended {
    /// As for a process that may take no leases.
    pub no_leases: bool,
    /// What it says of file systems.
    pub file_system: fn(crate::file_system::Answer) -> crate::file_system::Answer,
}

#[cfg(test)]
impl Default for Pretended {
    fn default() -> Self {
        Self { no_leases: false, file_system: |answer| answer }
    }
}

/// A setting that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("nothing to collect: name a mesos_work_dir or at least one path")]
    NoSource,
    #[error("mesos_work_dir '{}' is not absolute: write the path from '/' on", .0.display())]
    RelativeWorkDir(PathBuf),
    #[error("secret_files are named, but redaction is off: turn it on, or name none")]
    SecretsUnused,
    #[error(transparent)]
    Glob(#[from] GlobError),
    #[error(transparent)]
    Mesos(#[from] MesosConfigError),
    #[error("app '{glob}' of a rate is no glob: {reason}")]
    AppGlob { glob: String, reason: &'static str },
    #[error("host is empty: set it to the name under which people know this machine")]
    NoHost,
    #[error("data_dir is empty: name a directory that survives a reboot")]
    NoDataDir,
    #[error("{name} is {found}, it must be at least {least}")]
    TooSmall { name: &'static str, found: String, least: String },
}

impl Config {
    /// A collector of nothing yet, with every limit at its default.
    pub fn new(data_dir: impl AsRef<Path>, host: impl Into<String>) -> Self {
        Self {
            mesos_work_dirs: Vec::new(),
            mesos: None,
            paths: Vec::new(),
            format: Format::Auto,
            multiline: true,
            journal: None,
            data_dir: data_dir.as_ref().to_owned(),
            host: host.into(),
            redaction: true,
            secret_files: Vec::new(),
            in_flight_bytes_max: 16 * 1024 * 1024,
            pinned_bytes_max: 256 * 1024 * 1024,
            spool_bytes_max: 4 * 1024 * 1024 * 1024,
            rate_limit_bytes_per_second: None,
            on_limit: OnLimit::Block,
            rate_rules: Vec::new(),
            open_files_max: 50_000,
            linger: Duration::from_millis(50),
            rescan_every: Duration::from_secs(10),
            relist_for: Duration::from_millis(500),
            sweep_every: Duration::from_secs(1),
            checkpoint_every: Duration::from_millis(200),
            partial_after: Duration::from_secs(5),
            partial_after_unknown_writers: Duration::from_secs(60),
            join_after: Duration::from_secs(2),
            release_after: Duration::from_secs(10),
            release_after_unknown_writers: Duration::from_secs(60),
            resend_after: Duration::from_millis(100),
            resend_after_max: Duration::from_secs(5),
            #[cfg(test)]
            pretended: Pretended::default(),
        }
    }

    /// Checks what can be checked without touching the machine.
    ///
    /// # Errors
    /// The first setting that cannot be used.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.mesos_work_dirs.is_empty() && self.paths.is_empty() && self.journal.is_none() {
            return Err(ConfigError::NoSource);
        }
        if let Some(dir) = self.mesos_work_dirs.iter().find(|dir| !dir.is_absolute()) {
            return Err(ConfigError::RelativeWorkDir(dir.clone()));
        }
        if self.host.is_empty() {
            return Err(ConfigError::NoHost);
        }
        if self.data_dir.as_os_str().is_empty() {
            return Err(ConfigError::NoDataDir);
        }
        if !self.redaction && !self.secret_files.is_empty() {
            return Err(ConfigError::SecretsUnused);
        }
        if let Some(mesos) = &self.mesos {
            mesos.validate()?;
        }
        for path in &self.paths {
            crate::paths::Glob::parse(path)?;
        }
        Rules::new(self.rate_limit_bytes_per_second, self.on_limit, &self.rate_rules)?;
        self.validate_limits()
    }

    fn validate_limits(&self) -> Result<(), ConfigError> {
        if self.in_flight_bytes_max < FRAME_TEXT_BYTES_MAX {
            return Err(ConfigError::TooSmall {
                name: "in_flight_bytes_max",
                found: self.in_flight_bytes_max.to_string(),
                least: format!("{FRAME_TEXT_BYTES_MAX}, the longest run"),
            });
        }
        let budgets = [
            ("pinned_bytes_max", self.pinned_bytes_max),
            ("spool_bytes_max", self.spool_bytes_max),
        ];
        if let Some((name, found)) = budgets.into_iter().find(|(_, found)| *found < BUDGET_MIN) {
            let (found, least) = (found.to_string(), BUDGET_MIN.to_string());
            return Err(ConfigError::TooSmall { name, found, least });
        }
        if self.open_files_max == 0 {
            let (found, least) = (self.open_files_max.to_string(), "1".to_owned());
            return Err(ConfigError::TooSmall { name: "open_files_max", found, least });
        }
        let pauses = [
            ("rescan_every", self.rescan_every, Duration::from_millis(100)),
            ("sweep_every", self.sweep_every, Duration::from_millis(10)),
            ("resend_after", self.resend_after, Duration::from_millis(1)),
            ("resend_after_max", self.resend_after_max, self.resend_after),
        ];
        match pauses.into_iter().find(|(_, found, least)| found < least) {
            None => Ok(()),
            Some((name, found, least)) => Err(ConfigError::TooSmall {
                name,
                found: format!("{found:?}"),
                least: format!("{least:?}"),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn valid() -> Config {
        Config { paths: vec!["/var/log/*.log".into()], ..Config::new("/var/lib/sawlog", "h1") }
    }

    #[test]
    fn defaults_are_valid() {
        valid().validate().expect("valid");
    }

    #[test]
    fn each_error_names_its_setting() {
        let message = |config: Config| config.validate().unwrap_err().to_string();
        assert!(message(Config::new("/d", "h")).contains("mesos_work_dir or at least one path"));
        assert!(message(Config { host: String::new(), ..valid() }).contains("host is empty"));
        let relative = Config { mesos_work_dirs: vec!["var/lib/mesos".into()], ..valid() };
        assert!(message(relative).contains("'var/lib/mesos'"));
        assert!(message(Config { paths: vec!["/a/[".into()], ..valid() }).contains("'/a/['"));
        assert!(message(Config { in_flight_bytes_max: 5, ..valid() }).contains("is 5"));
        assert!(
            message(Config { open_files_max: 0, ..valid() }).starts_with("open_files_max is 0")
        );
        assert!(
            message(Config { spool_bytes_max: 5, ..valid() }).starts_with("spool_bytes_max is 5")
        );
        let rate = Config { rate_limit_bytes_per_second: Some(0), ..valid() };
        assert!(message(rate).starts_with("rate_limit_bytes_per_second is 0"));
        let unused = Config { redaction: false, secret_files: vec!["/s".into()], ..valid() };
        assert!(message(unused).contains("redaction is off"));
        let pause = Config { rescan_every: Duration::ZERO, ..valid() };
        assert!(message(pause).starts_with("rescan_every is 0ns"));
    }
}
