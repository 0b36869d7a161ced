//! The settings of a run: what a flag says, else the environment, else the configuration file, else
//! the default.

mod command;
mod file;
mod origin;
mod values;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};

use crate::cli::RunArgs;
use file::{File, Overruled};
use origin::Effective;

pub(crate) use command::{ConfigArgs, run as run_command};
pub(crate) use origin::Given;
pub(crate) use values::{address, duration, size};

/// Where to listen, and where `sawlog search` asks, unless something else is said.
pub(crate) const DEFAULT_LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 7411);
const DEFAULT_SEAL_INTERVAL: Duration = Duration::from_secs(600);

/// What a run needs to know.
#[derive(Debug)]
pub(crate) struct Config {
    /// Absolute, as all paths here.
    pub(crate) data: PathBuf,
    pub(crate) listen: SocketAddr,
    pub(crate) mesos_work_dir: Option<PathBuf>,
    /// Globs of plain files.
    pub(crate) paths: Vec<String>,
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
}

impl Config {
    /// Puts arguments, environment, file and defaults together.
    ///
    /// # Errors
    /// The file cannot be used (all that is wrong in it), or the settings do not go together.
    pub(crate) fn resolve(args: &RunArgs, given: &Given) -> anyhow::Result<Self> {
        Ok(Self::effective(args, given)?.0)
    }

    /// The same, with where each value comes from.
    fn effective(args: &RunArgs, given: &Given) -> anyhow::Result<(Self, Effective)> {
        let file = match &args.config {
            Some(path) => read(path, args, given)?,
            None => File::default(),
        };
        let mut from = Effective::new(given, args.config.clone());
        let data = from.pick("data", args.data.clone(), file.data);
        let listen = from.pick("listen", args.listen, file.listen);
        let mesos_work_dir =
            from.pick("mesos_work_dir", args.mesos_work_dir.clone(), file.mesos_work_dir);
        let paths = (!args.paths.is_empty()).then(|| args.paths.clone());
        let paths = from.pick("paths", paths, file.paths);
        let seal_interval = from.pick("seal_interval", args.seal_interval, file.seal_interval);
        let retention = from.pick("retention", args.retention, file.retention);
        let retention_bytes =
            from.pick("retention_bytes", args.retention_bytes, file.retention_bytes);
        if !args.tiny_retention_i_know {
            check_retention(retention, retention_bytes)?;
        }
        let demo = from.pick("demo", given.flag("demo", args.demo), file.demo);
        let no_auth = given.flag("no_auth_i_know", args.no_auth_i_know);
        let no_auth = from.pick("no_auth_i_know", no_auth, file.no_auth_i_know).unwrap_or(false);
        let config = Self {
            data: absolute(&data.unwrap_or_else(|| "sawlog-data".into()))?,
            listen: listen.unwrap_or(DEFAULT_LISTEN),
            mesos_work_dir: mesos_work_dir.as_deref().map(absolute).transpose()?,
            paths: paths
                .unwrap_or_default()
                .iter()
                .map(|glob| absolute_glob(glob))
                .collect::<Result<_, _>>()?,
            seal_interval: seal_interval.unwrap_or(DEFAULT_SEAL_INTERVAL),
            retention,
            retention_bytes,
            demo: demo.unwrap_or(false),
            demo_rotate_bytes: args.demo_rotate_bytes.unwrap_or(crate::demo::ROTATE_BYTES),
            look_under: absolute(args.look_under.as_deref().unwrap_or(Path::new("/")))?,
        };
        if is_open_to_all(config.listen) && !no_auth {
            bail!("{}", open_to_all(config.listen));
        }
        from.show(&config, no_auth);
        Ok((config, from))
    }
}

/// Reads the file, knowing what of it the flags overrule.
fn read(path: &Path, args: &RunArgs, given: &Given) -> anyhow::Result<File> {
    let text = file::text(path).with_context(|| {
        format!("cannot read the configuration {}: name another with --config", path.display())
    })?;
    let no_auth = given.flag("no_auth_i_know", args.no_auth_i_know);
    let overruled = Overruled {
        open_listen: args.listen.is_some() || no_auth == Some(true),
        tiny_retention: args.tiny_retention_i_know,
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
