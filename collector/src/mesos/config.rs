//! How the Mesos agent of this host is asked: where, as whom, how often.

use std::path::PathBuf;
use std::time::Duration;

use super::labels::TASK_LABELS_MAX;

/// Where an agent listens unless it is told otherwise.
const DEFAULT_URL: &str = "http://127.0.0.1:5051";
/// The longest name of a task label, in bytes.
const TASK_LABEL_BYTES_MAX: usize = 200;
/// The least time between two polls: the agent works for each answer.
const POLL_MIN: Duration = Duration::from_millis(100);

/// How an agent is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MesosConfig {
    /// `http://host:5051` or `https://…`; `None`: the usual one, and it is no fault if nobody
    /// listens there. Any user of the host could, so it is told no secrets.
    pub url: Option<String>,
    /// Whether the agent is asked at all; if not, only what it left on disk is read.
    pub ask: bool,
    /// A file with principal and secret for HTTP Basic authentication, in one of the forms that
    /// Mesos' own `--credential` takes. Read again at each poll, so that it may change.
    pub credential_file: Option<PathBuf>,
    /// A file with a token that is sent as `Authorization: Bearer`. Read again at each poll.
    pub token_file: Option<PathBuf>,
    /// The certificates (PEM) that sign the agent's; `None`: the public ones.
    pub ca_file: Option<PathBuf>,
    /// The keys of task labels that become labels of streams.
    pub task_labels: Vec<String>,
    /// How often `/state` is asked for.
    pub state_every: Duration,
    /// How often `/containers` is asked for: each time makes a line for each container.
    pub stats_every: Duration,
}

impl Default for MesosConfig {
    fn default() -> Self {
        Self {
            url: None,
            ask: true,
            credential_file: None,
            token_file: None,
            ca_file: None,
            task_labels: Vec::new(),
            state_every: Duration::from_secs(10),
            stats_every: Duration::from_secs(15),
        }
    }
}

/// A setting that cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum MesosConfigError {
    #[error(
        "mesos_agent_url '{0}' is no agent's: write http://host:5051 or https://host:5051, without a path to an endpoint"
    )]
    Url(String),
    #[error("mesos_credential_file and mesos_token_file are both set: an agent takes one of them")]
    TwoCredentials,
    #[error(
        "{0} is set and mesos_agent_url is not: name the agent, whoever listens at {DEFAULT_URL} is not told secrets"
    )]
    NoUrl(&'static str),
    #[error("task label '{0}' cannot be used: write the key of a label, of 1 to 200 bytes")]
    TaskLabel(String),
    #[error("{found} task labels are named, at most {TASK_LABELS_MAX} are allowed")]
    TooManyTaskLabels { found: usize },
    #[error("{name} is {found:?}, it must be at least {POLL_MIN:?}")]
    TooOften { name: &'static str, found: Duration },
}

impl MesosConfig {
    /// Checks what can be checked without asking anybody.
    ///
    /// # Errors
    /// The first setting that cannot be used.
    pub fn validate(&self) -> Result<(), MesosConfigError> {
        if let Some(url) = &self.url {
            check_url(url)?;
        }
        if self.credential_file.is_some() && self.token_file.is_some() {
            return Err(MesosConfigError::TwoCredentials);
        }
        if self.ask && self.url.is_none() {
            let secrets = [
                ("mesos_credential_file", self.credential_file.is_some()),
                ("mesos_token_file", self.token_file.is_some()),
            ];
            if let Some((name, _)) = secrets.into_iter().find(|(_, is_set)| *is_set) {
                return Err(MesosConfigError::NoUrl(name));
            }
        }
        if self.task_labels.len() > TASK_LABELS_MAX {
            return Err(MesosConfigError::TooManyTaskLabels { found: self.task_labels.len() });
        }
        let is_wrong = |label: &&String| !(1..=TASK_LABEL_BYTES_MAX).contains(&label.len());
        if let Some(label) = self.task_labels.iter().find(is_wrong) {
            return Err(MesosConfigError::TaskLabel(label.clone()));
        }
        let pauses =
            [("mesos_poll_interval", self.state_every), ("mesos_stats_interval", self.stats_every)];
        match pauses.into_iter().find(|(_, every)| *every < POLL_MIN) {
            Some((name, found)) => Err(MesosConfigError::TooOften { name, found }),
            None => Ok(()),
        }
    }

    /// Where the agent is, without a `/` at the end.
    pub(super) fn base_url(&self) -> &str {
        self.url.as_deref().unwrap_or(DEFAULT_URL).trim_end_matches('/')
    }
}

fn check_url(url: &str) -> Result<(), MesosConfigError> {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    let is_clean = |rest: &str| {
        // Credentials belong in files; `/slave(1)` and what a proxy puts before it are fine.
        !rest.starts_with('/')
            && !rest.is_empty()
            && !rest.contains(['@', '?', '#'])
            && rest.chars().all(|c| c.is_ascii_graphic())
            && !["/state", "/containers"]
                .iter()
                .any(|end| rest.trim_end_matches('/').ends_with(end))
    };
    match rest {
        Some(rest) if is_clean(rest) => Ok(()),
        _ => Err(MesosConfigError::Url(url.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_used_is_named() {
        let wrong = |config: MesosConfig| config.validate().unwrap_err().to_string();
        MesosConfig::default().validate().expect("the defaults are fine");
        for url in
            ["agent:5051", "ftp://a", "http://", "http://u:p@a", "http://a:1/state", "http://a b"]
        {
            let message = wrong(MesosConfig { url: Some(url.into()), ..MesosConfig::default() });
            assert!(message.contains(url) && message.contains("https://host:5051"), "{message}");
        }
        for url in ["http://a:5051/", "https://[::1]:5051", "http://a:5051/slave(1)"] {
            let config = MesosConfig { url: Some(url.into()), ..MesosConfig::default() };
            config.validate().unwrap_or_else(|error| panic!("{error}"));
        }
        let both = MesosConfig {
            credential_file: Some("/a".into()),
            token_file: Some("/b".into()),
            ..MesosConfig::default()
        };
        assert!(wrong(both).contains("both set"));
        for (credential, token) in [(Some("/a".into()), None), (None, Some("/b".into()))] {
            let name = if token.is_some() { "mesos_token_file" } else { "mesos_credential_file" };
            let unnamed = MesosConfig {
                credential_file: credential,
                token_file: token,
                ..MesosConfig::default()
            };
            let message = wrong(unnamed.clone());
            assert!(message.contains(name) && message.contains("mesos_agent_url"), "{message}");
            for (ask, url) in [(true, Some("http://127.0.0.1:5051".to_owned())), (false, None)] {
                let named = MesosConfig { ask, url, ..unnamed.clone() };
                named.validate().unwrap_or_else(|error| panic!("{error}"));
            }
        }
        let label = MesosConfig { task_labels: vec![String::new()], ..MesosConfig::default() };
        assert!(wrong(label).contains("task label ''"));
        let often = MesosConfig { stats_every: Duration::ZERO, ..MesosConfig::default() };
        assert!(wrong(often).contains("mesos_stats_interval is 0ns"));
    }
}
