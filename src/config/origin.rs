//! Where each setting comes from, and the settings as they are in effect.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use clap::ArgMatches;
use clap::parser::ValueSource;

use super::Config;
use super::collector::Collector;
use super::file::Placed;
use super::kafka::Kafka;
use super::values::show_duration;

/// Which arguments were given, and whether by flag or by environment.
#[derive(Debug, Default)]
pub(crate) struct Given(BTreeMap<String, ValueSource>);

impl Given {
    /// What the command line and the environment gave to the innermost subcommand.
    pub(crate) fn of(mut matches: &ArgMatches) -> Self {
        while let Some((_, inner)) = matches.subcommand() {
            matches = inner;
        }
        let sources = matches.ids().filter_map(|id| {
            let source = matches.value_source(id.as_str())?;
            Some((id.to_string(), source))
        });
        Self(sources.filter(|(_, source)| *source != ValueSource::DefaultValue).collect())
    }

    /// The value of a flag that takes none, if it was given: the environment may also say no.
    pub(super) fn flag(&self, name: &str, value: bool) -> Option<bool> {
        self.0.contains_key(name).then_some(value)
    }
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Origin {
    Flag(String),
    Environment(String),
    File { path: PathBuf, line: usize },
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(f, "--{name}"),
            Self::Environment(name) => f.write_str(name),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// The settings in effect, each with its origin.
pub(super) struct Effective {
    given: BTreeMap<String, ValueSource>,
    file: Option<PathBuf>,
    origins: Vec<(&'static str, Origin)>,
    /// A line of TOML for each setting.
    lines: Vec<String>,
}

impl Effective {
    pub(super) fn new(given: &Given, file: Option<PathBuf>) -> Self {
        Self { given: given.0.clone(), file, origins: Vec::new(), lines: Vec::new() }
    }

    /// The value that counts: the one given, else the file's. Notes where it comes from.
    pub(super) fn pick<T>(
        &mut self,
        name: &'static str,
        given: Option<T>,
        file: Option<Placed<T>>,
    ) -> Option<T> {
        let (value, origin) = match (given, file) {
            (Some(value), _) => (Some(value), self.given_by(name)),
            (None, Some(placed)) => {
                let path = self.file.clone().unwrap_or_default();
                (Some(placed.value), Origin::File { path, line: placed.line })
            }
            (None, None) => (None, Origin::Default),
        };
        self.origins.push((name, origin));
        value
    }

    fn given_by(&self, name: &str) -> Origin {
        // Some flags are called otherwise than their keys.
        let (flag, id) = match name {
            "paths" => ("path", "paths"),
            "redaction" => ("no_redaction", "no_redaction"),
            "secret_files" => ("secret_file", "secret_files"),
            "mesos_task_labels" => ("task_label", "task_labels"),
            "kafka.tls_ca" => ("kafka_tls_ca", "kafka_tls_ca"),
            name => name.strip_prefix("kafka.").map_or((name, name), |flag| (flag, flag)),
        };
        match self.given.get(id) {
            Some(ValueSource::EnvVariable) => {
                Origin::Environment(format!("SAWLOG_{}", flag.to_uppercase()))
            }
            _ => Origin::Flag(flag.replace('_', "-")),
        }
    }

    /// Writes the settings down.
    pub(super) fn show(&mut self, config: &Config, no_auth_i_know: bool) {
        let path = |path: &Path| toml::Value::String(path.to_string_lossy().into_owned());
        let duration = |value| toml::Value::String(show_duration(value));
        let bytes = |value: u64| match i64::try_from(value) {
            Ok(value) => toml::Value::Integer(value),
            Err(_) => toml::Value::String(value.to_string()),
        };
        let paths = config.paths.iter().cloned().map(toml::Value::String).collect();
        let secret_files = config.secret_files.iter().map(|file| path(file)).collect();
        let mut values: BTreeMap<&str, Option<toml::Value>> = BTreeMap::from([
            ("data", Some(path(&config.data))),
            ("listen", Some(toml::Value::String(config.listen.to_string()))),
            ("mesos_work_dir", config.mesos_work_dir.as_deref().map(path)),
            ("paths", Some(toml::Value::Array(paths))),
            ("journal", Some(toml::Value::Boolean(config.journal))),
            ("journal_dir", config.journal_dir.as_deref().map(path)),
            ("redaction", Some(toml::Value::Boolean(config.redaction))),
            ("secret_files", Some(toml::Value::Array(secret_files))),
            ("seal_interval", Some(duration(config.seal_interval))),
            ("retention", config.retention.map(duration)),
            ("retention_bytes", config.retention_bytes.map(bytes)),
            ("demo", Some(toml::Value::Boolean(config.demo))),
            ("no_auth_i_know", Some(toml::Value::Boolean(no_auth_i_know))),
        ]);
        values.extend(super::mesos::shown(&config.mesos));
        values.extend(config.collector.iter().flat_map(Collector::shown));
        values.extend(config.kafka.iter().flat_map(Kafka::shown));
        let line = |(name, origin): &(&str, Origin)| match values.get(name).and_then(Option::as_ref)
        {
            Some(value) => format!("{name} = {value}  # {origin}"),
            None => format!("# {name} is not set"),
        };
        self.lines = self.origins.iter().map(line).collect();
    }
}

impl fmt::Display for Effective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}
