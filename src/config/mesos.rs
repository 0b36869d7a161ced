//! How the Mesos agent is asked: what flags, environment and file say.

use std::path::PathBuf;
use std::time::Duration;

use sawlog_collector::MesosConfig;

use super::file::{Placed, Reader, Value};
use super::origin::Effective;
use super::{absolute, values};
use crate::args::MesosArgs;

/// What stands for a URL if the agent is not to be asked.
const NOBODY: &str = "none";

/// What a file says; `None` where it is silent.
#[derive(Debug, Default)]
pub(super) struct MesosKeys {
    agent_url: Option<Placed<String>>,
    credential_file: Option<Placed<PathBuf>>,
    token_file: Option<Placed<PathBuf>>,
    ca_file: Option<Placed<PathBuf>>,
    task_labels: Option<Placed<Vec<String>>>,
    poll_interval: Option<Placed<Duration>>,
    stats_interval: Option<Placed<Duration>>,
}

impl MesosKeys {
    /// Takes a key; `false` if it is none of these.
    pub(super) fn read(&mut self, reader: &mut Reader<'_>, name: &str, value: &Value<'_>) -> bool {
        match name {
            "mesos_agent_url" => self.agent_url = reader.parsed(name, value, agent_url),
            "mesos_credential_file" => self.credential_file = reader.path(name, value),
            "mesos_token_file" => self.token_file = reader.path(name, value),
            "mesos_ca_file" => self.ca_file = reader.path(name, value),
            "mesos_task_labels" => {
                let one = |reader: &mut Reader<'_>, label: &Value<'_>| {
                    reader.parsed(name, label, |text| Ok(text.to_owned()))
                };
                self.task_labels = reader.list(name, value, one);
            }
            "mesos_poll_interval" => {
                self.poll_interval = reader.parsed(name, value, values::duration);
            }
            "mesos_stats_interval" => {
                self.stats_interval = reader.parsed(name, value, values::duration);
            }
            _ => return false,
        }
        true
    }
}

/// The URL of an agent, or `none`.
///
/// # Errors
/// The text is neither; says how to write one.
pub(crate) fn agent_url(text: &str) -> Result<String, String> {
    let config = MesosConfig { url: Some(text.to_owned()), ..MesosConfig::default() };
    match config.validate() {
        Err(error) if text != NOBODY => {
            Err(format!("{error}; or write '{NOBODY}' if the agent is not to be asked"))
        }
        _ => Ok(text.to_owned()),
    }
}

/// Puts arguments, environment, file and defaults together.
///
/// # Errors
/// The settings do not go together.
pub(super) fn pick(
    args: &MesosArgs,
    from: &mut Effective,
    file: MesosKeys,
) -> anyhow::Result<MesosConfig> {
    let default = MesosConfig::default();
    let url = from.pick("mesos_agent_url", args.mesos_agent_url.clone(), file.agent_url);
    let credential = args.mesos_credential_file.clone();
    let credential = from.pick("mesos_credential_file", credential, file.credential_file);
    let token = from.pick("mesos_token_file", args.mesos_token_file.clone(), file.token_file);
    let ca = from.pick("mesos_ca_file", args.mesos_ca_file.clone(), file.ca_file);
    let labels = (!args.task_labels.is_empty()).then(|| args.task_labels.clone());
    let labels = from.pick("mesos_task_labels", labels, file.task_labels);
    let poll = from.pick("mesos_poll_interval", args.mesos_poll_interval, file.poll_interval);
    let stats = from.pick("mesos_stats_interval", args.mesos_stats_interval, file.stats_interval);
    let config = MesosConfig {
        ask: url.as_deref() != Some(NOBODY),
        url: url.filter(|url| url != NOBODY),
        credential_file: credential.as_deref().map(absolute).transpose()?,
        token_file: token.as_deref().map(absolute).transpose()?,
        ca_file: ca.as_deref().map(absolute).transpose()?,
        task_labels: labels.unwrap_or_default(),
        state_every: poll.unwrap_or(default.state_every),
        stats_every: stats.unwrap_or(default.stats_every),
    };
    config.validate()?;
    Ok(config)
}

/// The settings as they are shown.
pub(super) fn shown(config: &MesosConfig) -> Vec<(&'static str, Option<toml::Value>)> {
    let text = |text: String| toml::Value::String(text);
    let path = |path: &Option<PathBuf>| {
        path.as_ref().map(|path| text(path.to_string_lossy().into_owned()))
    };
    let duration = |duration| Some(text(values::show_duration(duration)));
    let url = if config.ask { config.url.clone() } else { Some(NOBODY.to_owned()) };
    let labels = config.task_labels.iter().cloned().map(text).collect();
    vec![
        ("mesos_agent_url", url.map(text)),
        ("mesos_credential_file", path(&config.credential_file)),
        ("mesos_token_file", path(&config.token_file)),
        ("mesos_ca_file", path(&config.ca_file)),
        ("mesos_task_labels", Some(toml::Value::Array(labels))),
        ("mesos_poll_interval", duration(config.state_every)),
        ("mesos_stats_interval", duration(config.stats_every)),
    ]
}
