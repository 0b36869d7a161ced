//! The settings of a run: defaults, then the configuration file, then the command line.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Deserialize;

use crate::cli::{RunArgs, duration, size};

/// The configuration file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    data: Option<PathBuf>,
    listen: Option<SocketAddr>,
    mesos_work_dir: Option<PathBuf>,
    #[serde(default)]
    paths: Vec<String>,
    seal_interval: Option<String>,
    retention: Option<String>,
    retention_bytes: Option<String>,
    #[serde(default)]
    no_auth_i_know: bool,
}

/// What a run needs to know.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) data: PathBuf,
    pub(crate) listen: SocketAddr,
    pub(crate) mesos_work_dir: Option<PathBuf>,
    pub(crate) paths: Vec<String>,
    pub(crate) seal_interval: Duration,
    pub(crate) retention: Option<Duration>,
    pub(crate) retention_bytes: Option<u64>,
}

impl Config {
    /// Puts defaults, file and arguments together.
    pub(crate) fn resolve(args: &RunArgs) -> anyhow::Result<Self> {
        let file = match &args.config {
            Some(path) => read(path)?,
            None => File::default(),
        };
        let seal_interval = match (args.seal_interval, &file.seal_interval) {
            (Some(interval), _) => interval,
            (None, Some(text)) => duration(text)
                .map_err(anyhow::Error::msg)
                .context("seal_interval in the configuration file")?,
            (None, None) => Duration::from_secs(600),
        };
        let retention = match args.retention {
            Some(age) => Some(age),
            None => parsed("retention", file.retention.as_deref(), duration)?,
        };
        let retention_bytes = match args.retention_bytes {
            Some(bytes) => Some(bytes),
            None => parsed("retention_bytes", file.retention_bytes.as_deref(), size)?,
        };
        let listen =
            args.listen.or(file.listen).unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 7411)));
        if !listen.ip().is_loopback() && !args.no_auth_i_know && !file.no_auth_i_know {
            bail!(
                "listening on {listen} would let everybody who reaches it read all logs: there is \
                 no access control yet. Listen on 127.0.0.1, or add --no-auth-i-know"
            );
        }
        let paths = if args.paths.is_empty() { file.paths } else { args.paths.clone() };
        let mesos_work_dir = args.mesos_work_dir.clone().or(file.mesos_work_dir);
        let data = args.data.clone().or(file.data).unwrap_or_else(|| "sawlog-data".into());
        Ok(Self {
            data: absolute(&data)?,
            listen,
            mesos_work_dir: mesos_work_dir.as_deref().map(absolute).transpose()?,
            paths: paths.iter().map(|glob| absolute_glob(glob)).collect::<Result<_, _>>()?,
            seal_interval,
            retention,
            retention_bytes,
        })
    }
}

/// A setting of the file that is written as text.
fn parsed<T>(
    name: &str,
    text: Option<&str>,
    parse: impl Fn(&str) -> Result<T, String>,
) -> anyhow::Result<Option<T>> {
    let value = text.map(parse).transpose().map_err(anyhow::Error::msg);
    value.with_context(|| format!("{name} in the configuration file"))
}

fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("cannot resolve {}", path.display()))
}

/// A relative glob counts from where the program was started.
fn absolute_glob(glob: &str) -> anyhow::Result<String> {
    let absolute = absolute(Path::new(glob))?;
    let text = absolute.into_os_string().into_string();
    text.map_err(|path| anyhow::anyhow!("--path {} is no UTF-8", path.display()))
}

fn read(path: &Path) -> anyhow::Result<File> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the configuration {}", path.display()))?;
    toml::from_str(&text).with_context(|| format!("the configuration {}", path.display()))
}
