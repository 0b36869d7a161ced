//! The settings of a run: what a flag says, else the environment, else the configuration file, else
//! the default.

mod collector;
mod command;
mod file;
mod kafka;
mod mesos;
mod origin;
mod role;
mod values;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};

use file::{File, Overruled};
use origin::Effective;

pub(crate) use collector::Collector;
pub(crate) use command::{ConfigArgs, run as run_command};
pub(crate) use kafka::Kafka;
#[cfg(not(feature = "kafka"))]
pub(crate) use kafka::WITHOUT_KAFKA;
pub(crate) use mesos::agent_url;
pub(crate) use origin::Given;
pub(crate) use role::Asked;
#[cfg(feature = "kafka")]
pub(crate) use values::TOPIC_RETENTION_MIN;
pub(crate) use values::{
    address, brokers, duration, group, partitions, replication, size, topic, topic_retention,
};

/// Where to listen, and where `sawlog search` asks, unless something else is said.
pub(crate) const DEFAULT_LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 7411);
/// A collector's own, which answers no searches.
pub(crate) const DEFAULT_COLLECTOR_LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 7412);
const DEFAULT_SEAL_INTERVAL: Duration = Duration::from_secs(600);

/// What a run needs to know.
#[derive(Debug)]
pub(crate) struct Config {
    /// Absolute, as all paths here.
    pub(crate) data: PathBuf,
    pub(crate) listen: SocketAddr,
    pub(crate) mesos_work_dir: Option<PathBuf>,
    /// How its agent is asked.
    pub(crate) mesos: sawlog_collector::MesosConfig,
    /// Globs of plain files.
    pub(crate) paths: Vec<String>,
    /// Whether containers write to journald.
    pub(crate) journal: bool,
    /// Where the journal's files are, if it is not this machine's own.
    pub(crate) journal_dir: Option<PathBuf>,
    /// Whether secrets are taken out of lines.
    pub(crate) redaction: bool,
    /// Files with values that are never handed on.
    pub(crate) secret_files: Vec<PathBuf>,
    pub(crate) seal_interval: Duration,
    /// How old lines get before they are deleted; `None`: they stay.
    pub(crate) retention: Option<Duration>,
    /// How many bytes the store takes before the oldest lines are deleted; `None`: any number.
    pub(crate) retention_bytes: Option<u64>,
    pub(crate) demo: bool,
    /// At which size the demo's logs are rotated, in bytes.
    pub(crate) demo_rotate_bytes: usize,
    /// The directory below which the usual places are looked for.
    pub(crate) look_under: PathBuf,
    /// Of the roles that collect.
    pub(crate) collector: Option<Collector>,
    /// Of the roles that meet through it.
    pub(crate) kafka: Option<Kafka>,
}

impl Config {
    /// Puts arguments, environment, file and defaults together.
    ///
    /// # Errors
    /// The file cannot be used (all that is wrong in it), or the settings do not go together.
    pub(crate) fn resolve(asked: &Asked, given: &Given) -> anyhow::Result<Self> {
        Ok(Self::effective(asked, given)?.0)
    }

    /// The same, with where each value comes from.
    fn effective(asked: &Asked, given: &Given) -> anyhow::Result<(Self, Effective)> {
        let mut file = match &asked.process.config {
            Some(path) => read(path, asked, given)?,
            None => File::default(),
        };
        let mut from = Effective::new(given, asked.process.config.clone());
        let data = from.pick("data", asked.process.data.clone(), file.data.take());
        let listen = from.pick("listen", asked.process.listen, file.listen.take());
        let no_auth = given.flag("no_auth_i_know", asked.process.no_auth_i_know);
        let no_auth = from.pick("no_auth_i_know", no_auth, file.no_auth_i_know.take());
        let mut config = Self {
            data: absolute(&data.unwrap_or_else(|| "sawlog-data".into()))?,
            listen: listen.unwrap_or(asked.default_listen),
            mesos_work_dir: None,
            mesos: sawlog_collector::MesosConfig::default(),
            paths: Vec::new(),
            journal: false,
            journal_dir: None,
            redaction: true,
            secret_files: Vec::new(),
            seal_interval: DEFAULT_SEAL_INTERVAL,
            retention: None,
            retention_bytes: None,
            demo: false,
            demo_rotate_bytes: crate::demo::ROTATE_BYTES,
            look_under: PathBuf::from("/"),
            collector: None,
            kafka: None,
        };
        let no_auth = no_auth.unwrap_or(false);
        if is_open_to_all(config.listen) && !no_auth {
            bail!("{}", open_to_all(config.listen));
        }
        asked.pick_rest(&mut config, &mut from, given, file)?;
        from.show(&config, no_auth);
        Ok((config, from))
    }
}

/// Reads the file, knowing what of it the flags overrule.
fn read(path: &Path, asked: &Asked, given: &Given) -> anyhow::Result<File> {
    let text = file::text(path).with_context(|| {
        format!("cannot read the configuration {}: name another with --config", path.display())
    })?;
    let no_auth = given.flag("no_auth_i_know", asked.process.no_auth_i_know);
    let overruled = Overruled {
        open_listen: asked.process.listen.is_some() || no_auth == Some(true),
        tiny_retention: asked.store.as_ref().is_some_and(|store| store.tiny_retention_i_know),
    };
    Ok(file::parse(path, &text, overruled)?)
}

/// A slip of the pen in a retention would delete the store.
fn check_retention(age: Option<Duration>, bytes: Option<u64>) -> anyhow::Result<()> {
    let named = |name: &'static str| move |why: String| anyhow::anyhow!("`{name}`: {why}");
    age.map(values::sane_retention).transpose().map_err(named("retention"))?;
    bytes.map(values::sane_retention_bytes).transpose().map_err(named("retention_bytes"))?;
    Ok(())
}

/// Whether others than this machine reach the address.
fn is_open_to_all(listen: SocketAddr) -> bool {
    !listen.ip().is_loopback()
}

fn open_to_all(listen: SocketAddr) -> String {
    format!(
        "listening on {listen} would let everybody who reaches it read all logs: there is no access \
         control yet. Listen on 127.0.0.1, or add --no-auth-i-know (in a file: no_auth_i_know = true)"
    )
}

fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("cannot resolve {}", path.display()))
}

/// A relative glob counts from where the program was started.
fn absolute_glob(glob: &str) -> anyhow::Result<String> {
    file::glob_text(glob).map_err(|why| anyhow::anyhow!("`--path`: {why}"))?;
    let absolute = absolute(Path::new(glob))?;
    let text = absolute.into_os_string().into_string();
    text.map_err(|path| anyhow::anyhow!("--path {} is no UTF-8", path.display()))
}

#[cfg(test)]
mod tests;
