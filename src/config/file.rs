//! The configuration file: reads it whole and says all that is wrong in it at once, each with its
//! place.

use std::fmt;
use std::io::Read;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::collector::{self, CollectorTable};
use super::kafka::{self, KafkaTable};
use super::mesos::MesosKeys;
use super::{is_open_to_all, open_to_all, values};

/// The longest configuration that is read.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Each key, with an example of how it is written.
pub(super) const KEYS: [(&str, &str); 22] = [
    ("data", r#"data = "/var/lib/sawlog""#),
    ("listen", r#"listen = "127.0.0.1:7411""#),
    ("mesos_work_dir", r#"mesos_work_dir = "/var/lib/mesos""#),
    ("mesos_agent_url", r#"mesos_agent_url = "http://127.0.0.1:5051""#),
    ("mesos_credential_file", r#"mesos_credential_file = "/etc/sawlog/mesos-credential""#),
    ("mesos_token_file", r#"mesos_token_file = "/etc/sawlog/mesos-token""#),
    ("mesos_ca_file", r#"mesos_ca_file = "/etc/sawlog/mesos-ca.pem""#),
    ("mesos_task_labels", r#"mesos_task_labels = ["team"]"#),
    ("mesos_poll_interval", r#"mesos_poll_interval = "10s""#),
    ("mesos_stats_interval", r#"mesos_stats_interval = "15s""#),
    ("paths", r#"paths = ["/var/log/app/*.log"]"#),
    ("journal", "journal = false"),
    ("journal_dir", r#"journal_dir = "/host/var/log/journal""#),
    ("redaction", "redaction = true"),
    ("secret_files", r#"secret_files = ["/etc/sawlog/secrets"]"#),
    ("seal_interval", r#"seal_interval = "10m""#),
    ("retention", r#"retention = "30d""#),
    ("retention_bytes", r#"retention_bytes = "100GB""#),
    ("demo", "demo = false"),
    ("no_auth_i_know", "no_auth_i_know = false"),
    ("collector", r#"collector.pinned_bytes = "256MiB""#),
    ("kafka", r#"kafka.brokers = "kafka1:9092""#),
];

/// What a file says; `None` where it is silent.
#[derive(Debug, Default)]
pub(super) struct File {
    pub(super) data: Option<Placed<PathBuf>>,
    pub(super) listen: Option<Placed<SocketAddr>>,
    pub(super) mesos_work_dir: Option<Placed<PathBuf>>,
    pub(super) mesos: MesosKeys,
    pub(super) paths: Option<Placed<Vec<String>>>,
    pub(super) journal: Option<Placed<bool>>,
    pub(super) journal_dir: Option<Placed<PathBuf>>,
    pub(super) redaction: Option<Placed<bool>>,
    pub(super) secret_files: Option<Placed<Vec<PathBuf>>>,
    pub(super) seal_interval: Option<Placed<Duration>>,
    pub(super) retention: Option<Placed<Duration>>,
    pub(super) retention_bytes: Option<Placed<u64>>,
    pub(super) demo: Option<Placed<bool>>,
    pub(super) no_auth_i_know: Option<Placed<bool>>,
    pub(super) collector: CollectorTable,
    pub(super) kafka: KafkaTable,
}

/// A value and the line in which it stands, from 1 on.
#[derive(Clone, Debug)]
pub(super) struct Placed<T> {
    pub(super) value: T,
    pub(super) line: usize,
    /// In characters, from 1 on.
    column: usize,
}

/// What of a file does not count, since a flag says otherwise.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Overruled {
    /// Who may reach the address: another one is given, or leave to be open to all.
    pub(super) open_listen: bool,
    /// That a retention must keep something.
    pub(super) tiny_retention: bool,
}

/// All that is wrong in a file, in its order.
#[derive(Debug)]
pub(super) struct Problems {
    path: PathBuf,
    list: Vec<Problem>,
}

impl std::error::Error for Problems {}

/// One thing that is wrong: line and column from 1 on, in characters.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Problem {
    line: usize,
    column: usize,
    message: String,
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, Problem { line, column, message }) in self.list.iter().enumerate() {
            let end = if n + 1 < self.list.len() { "\n" } else { "" };
            write!(f, "{}:{line}:{column}: {message}{end}", self.path.display())?;
        }
        Ok(())
    }
}

/// The text of a configuration.
///
/// # Errors
/// It cannot be read, is too long, or no text.
pub(super) fn text(path: &Path) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path)?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let why = format!("it is longer than {FILE_BYTES_MAX} bytes");
        return Err(std::io::Error::other(why));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to() + 1;
        std::io::Error::other(format!("it is no UTF-8 text from byte {at} on: save it as UTF-8"))
    })
}

/// Reads the text of the file at `path`.
///
/// # Errors
/// Everything that is wrong in it.
pub(super) fn parse(path: &Path, text: &str, overruled: Overruled) -> Result<File, Problems> {
    let mut reader = Reader { text, overruled, problems: Vec::new() };
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        reader.problem(&error.span().unwrap_or(0..0), format!("no TOML: {}", error.message()));
    }
    let broken: Vec<usize> = reader.problems.iter().map(|problem| problem.line).collect();
    let file = reader.file(table.get_ref());
    // What is left of a broken line is not worth a second complaint.
    let values = reader.problems.split_off(broken.len());
    reader.problems.extend(values.into_iter().filter(|value| !broken.contains(&value.line)));
    if reader.problems.is_empty() {
        return Ok(file);
    }
    reader.problems.sort();
    Err(Problems { path: path.to_owned(), list: reader.problems })
}

pub(super) type Value<'i> = Spanned<DeValue<'i>>;

/// Turns values into settings and collects what is wrong with them.
pub(super) struct Reader<'a> {
    text: &'a str,
    overruled: Overruled,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn file(&mut self, table: &DeTable<'_>) -> File {
        let mut file = File::default();
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            match name {
                "data" => file.data = self.path(name, value),
                "listen" => file.listen = self.parsed(name, value, values::address),
                "mesos_work_dir" => file.mesos_work_dir = self.path(name, value),
                "paths" => file.paths = self.globs(name, value),
                "journal" => file.journal = self.boolean(name, value),
                "journal_dir" => file.journal_dir = self.path(name, value),
                "redaction" => file.redaction = self.boolean(name, value),
                "secret_files" => file.secret_files = self.paths(name, value),
                "seal_interval" => file.seal_interval = self.parsed(name, value, values::duration),
                "retention" => file.retention = self.retention(name, value),
                "retention_bytes" => file.retention_bytes = self.size(name, value),
                "demo" => file.demo = self.boolean(name, value),
                "no_auth_i_know" => file.no_auth_i_know = self.boolean(name, value),
                "collector" => file.collector = self.collector(name, value),
                "kafka" => file.kafka = self.kafka(name, value),
                _ if file.mesos.read(self, name, value) => {}
                _ => self.unknown(&key.span(), name),
            }
        }
        self.check_listen(&file);
        file
    }

    fn collector(&mut self, name: &str, value: &Value<'_>) -> CollectorTable {
        match value.get_ref() {
            DeValue::Table(table) => CollectorTable::read(self, table),
            _ => self.wrong_type(name, value).unwrap_or_default(),
        }
    }

    fn kafka(&mut self, name: &str, value: &Value<'_>) -> KafkaTable {
        match value.get_ref() {
            DeValue::Table(table) => KafkaTable::read(self, table),
            _ => self.wrong_type(name, value).unwrap_or_default(),
        }
    }

    pub(super) fn unknown(&mut self, span: &Range<usize>, name: &str) {
        self.problem(span, unknown(name));
    }

    fn check_listen(&mut self, file: &File) {
        let allowed = file.no_auth_i_know.as_ref().is_some_and(|placed| placed.value);
        let Some(listen) = &file.listen else { return };
        if is_open_to_all(listen.value) && !allowed && !self.overruled.open_listen {
            let message = format!("`listen`: {}", open_to_all(listen.value));
            self.problems.push(Problem { line: listen.line, column: listen.column, message });
        }
    }

    fn retention(&mut self, name: &str, value: &Value<'_>) -> Option<Placed<Duration>> {
        let tiny = self.overruled.tiny_retention;
        self.parsed(name, value, |text| match values::duration(text)? {
            retention if tiny => Ok(retention),
            retention => values::sane_retention(retention),
        })
    }

    pub(super) fn parsed<T>(
        &mut self,
        name: &str,
        value: &Value<'_>,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Placed<T>> {
        let DeValue::String(text) = value.get_ref() else { return self.wrong_type(name, value) };
        let parsed = parse(text);
        self.checked(name, value, parsed)
    }

    fn checked<T>(
        &mut self,
        name: &str,
        value: &Value<'_>,
        parsed: Result<T, String>,
    ) -> Option<Placed<T>> {
        match parsed {
            Ok(parsed) => Some(self.placed(parsed, value)),
            Err(message) => {
                self.problem(&value.span(), format!("`{name}`: {message}"));
                None
            }
        }
    }

    pub(super) fn path(&mut self, name: &str, value: &Value<'_>) -> Option<Placed<PathBuf>> {
        self.parsed(name, value, |text| match text {
            "" => Err("the path is empty: name a directory".to_owned()),
            text => Ok(PathBuf::from(text)),
        })
    }

    fn globs(&mut self, name: &str, value: &Value<'_>) -> Option<Placed<Vec<String>>> {
        self.list(name, value, |this, glob| this.parsed(name, glob, glob_text))
    }

    fn paths(&mut self, name: &str, value: &Value<'_>) -> Option<Placed<Vec<PathBuf>>> {
        self.list(name, value, |this, path| this.path(name, path))
    }

    pub(super) fn list<T>(
        &mut self,
        name: &str,
        value: &Value<'_>,
        mut item: impl FnMut(&mut Self, &Value<'_>) -> Option<Placed<T>>,
    ) -> Option<Placed<Vec<T>>> {
        let DeValue::Array(list) = value.get_ref() else { return self.wrong_type(name, value) };
        // All of them, so that each says what is wrong with it.
        let parsed: Vec<_> = list.iter().map(|value| item(self, value)).collect();
        let items = parsed.into_iter().map(|item| item.map(|placed| placed.value));
        items.collect::<Option<Vec<T>>>().map(|items| self.placed(items, value))
    }

    fn size(&mut self, name: &str, value: &Value<'_>) -> Option<Placed<u64>> {
        let tiny = self.overruled.tiny_retention;
        let sane = |bytes| if tiny { Ok(bytes) } else { values::sane_retention_bytes(bytes) };
        let DeValue::Integer(number) = value.get_ref() else {
            return self.parsed(name, value, |text| sane(values::size(text)?));
        };
        let bytes = match u64::from_str_radix(number.as_str(), number.radix()) {
            Ok(bytes) if bytes > 0 => sane(bytes),
            _ => Err(format!("{number} is no number of bytes: write one from 1 on")),
        };
        self.checked(name, value, bytes)
    }

    /// A whole number, which may also be written as text.
    pub(super) fn number<T>(
        &mut self,
        name: &str,
        value: &Value<'_>,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Placed<T>> {
        let DeValue::Integer(number) = value.get_ref() else {
            return self.parsed(name, value, parse);
        };
        let text = match u64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => number.to_string(),
            Err(_) => number.to_string(),
        };
        self.checked(name, value, parse(&text))
    }

    pub(super) fn boolean(&mut self, name: &str, value: &Value<'_>) -> Option<Placed<bool>> {
        let DeValue::Boolean(set) = value.get_ref() else { return self.wrong_type(name, value) };
        Some(self.placed(*set, value))
    }

    pub(super) fn wrong_type<T>(&mut self, name: &str, value: &Value<'_>) -> Option<T> {
        let example = all_keys().find(|(key, _)| *key == name).map_or("", |(_, example)| example);
        let found = value.get_ref().type_str();
        self.problem(
            &value.span(),
            format!("`{name}` must not be of type {found}: write {example}"),
        );
        None
    }

    pub(super) fn placed<T>(&self, value: T, at: &Value<'_>) -> Placed<T> {
        let (line, column) = position(self.text, at.span().start);
        Placed { value, line, column }
    }

    pub(super) fn problem(&mut self, span: &Range<usize>, message: String) {
        let (line, column) = position(self.text, span.start);
        // Messages of the parser may have several lines.
        let message = message.lines().collect::<Vec<_>>().join(", ");
        self.problems.push(Problem { line, column, message });
    }
}

/// Line and column of a byte, both from 1 on.
fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    (line, column)
}

/// A glob, if the collector can use it.
pub(super) fn glob_text(text: &str) -> Result<String, String> {
    let alone = sawlog_collector::Config {
        paths: vec![text.to_owned()],
        ..sawlog_collector::Config::new("unused", "unused")
    };
    alone.validate().map(|()| text.to_owned()).map_err(|error| error.to_string())
}

/// The keys at the top, and those of tables with the table's name before them.
fn all_keys() -> impl Iterator<Item = (&'static str, &'static str)> {
    KEYS.into_iter().chain(collector::all_keys()).chain(kafka::KEYS)
}

fn unknown(name: &str) -> String {
    let written = name.replace('-', "_");
    // A key may have been written outside of its table.
    let distance = |key: &str| {
        let alone = key.rsplit('.').next().unwrap_or(key);
        let whole = strsim::damerau_levenshtein(key, &written);
        whole.min(strsim::damerau_levenshtein(alone, &written))
    };
    let nearest = all_keys().map(|(key, _)| (distance(key), key)).min();
    match nearest {
        Some((distance, key))
            if distance <= key.rsplit('.').next().unwrap_or(key).len().div_ceil(3) =>
        {
            format!("unknown key `{name}`: did you mean `{key}`?")
        }
        _ => {
            let table = name.rsplit_once('.').map_or("", |(table, _)| table);
            let here =
                all_keys().filter(|(key, _)| key.rsplit_once('.').map_or("", |(t, _)| t) == table);
            let keys: Vec<&str> = here.map(|(key, _)| key).collect();
            format!("unknown key `{name}`: there are {}", keys.join(", "))
        }
    }
}
