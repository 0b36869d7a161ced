//! How the collector reads, and its limits: the table `[collector]` of a file, and the rates in it.

use sawlog_collector::{Config as Limits, Format, OnLimit, RateRule};
use toml::de::{DeTable, DeValue};

use super::file::{Placed, Reader, Value};
use super::origin::Effective;
use super::values;

/// Each key of the table, with an example of how it is written.
pub(super) const KEYS: [(&str, &str); 8] = [
    ("collector.format", r#"format = "auto""#),
    ("collector.multiline", "multiline = true"),
    ("collector.in_flight_bytes", r#"in_flight_bytes = "16MiB""#),
    ("collector.pinned_bytes", r#"pinned_bytes = "256MiB""#),
    ("collector.spool_bytes", r#"spool_bytes = "4GiB""#),
    ("collector.rate_limit_bytes_per_second", r#"rate_limit_bytes_per_second = "1MiB""#),
    ("collector.on_limit", r#"on_limit = "block""#),
    ("collector.rate", r#"rate = [{ app = "/shop/*", bytes_per_second = "1MiB" }]"#),
];

/// Each key of one rate.
const RATE_KEYS: [(&str, &str); 3] = [
    ("collector.rate.app", r#"app = "/shop/*""#),
    ("collector.rate.bytes_per_second", r#"bytes_per_second = "1MiB""#),
    ("collector.rate.on_limit", r#"on_limit = "block""#),
];

/// Those and these.
pub(super) fn all_keys() -> impl Iterator<Item = (&'static str, &'static str)> {
    KEYS.into_iter().chain(RATE_KEYS)
}

/// The forms of lines, the limits of a collector.
#[derive(Clone, Debug)]
pub(crate) struct Collector {
    format: Format,
    multiline: bool,
    in_flight_bytes: u64,
    pinned_bytes: u64,
    spool_bytes: u64,
    rate_limit: Option<u64>,
    on_limit: OnLimit,
    rates: Vec<RateRule>,
}

impl Default for Collector {
    fn default() -> Self {
        let limits = Limits::new("unused", "unused");
        Self {
            format: limits.format,
            multiline: limits.multiline,
            in_flight_bytes: limits.in_flight_bytes_max as u64,
            pinned_bytes: limits.pinned_bytes_max,
            spool_bytes: limits.spool_bytes_max,
            rate_limit: limits.rate_limit_bytes_per_second,
            on_limit: limits.on_limit,
            rates: limits.rate_rules,
        }
    }
}

impl Collector {
    /// Sets the limits of a collector.
    pub(crate) fn apply(&self, limits: &mut Limits) {
        limits.format = self.format;
        limits.multiline = self.multiline;
        limits.in_flight_bytes_max = usize::try_from(self.in_flight_bytes).unwrap_or(usize::MAX);
        limits.pinned_bytes_max = self.pinned_bytes;
        limits.spool_bytes_max = self.spool_bytes;
        limits.rate_limit_bytes_per_second = self.rate_limit;
        limits.on_limit = self.on_limit;
        limits.rate_rules.clone_from(&self.rates);
    }

    /// The settings as they are shown.
    pub(super) fn shown(&self) -> Vec<(&'static str, Option<toml::Value>)> {
        let rates = self.rates.iter().map(|rate| {
            let pairs = [
                ("app", toml::Value::String(rate.app.clone())),
                ("bytes_per_second", bytes(rate.bytes_per_second)),
                ("on_limit", shown(rate.on_limit)),
            ];
            toml::Value::Table(
                pairs.map(|(key, value)| (key.to_owned(), value)).into_iter().collect(),
            )
        });
        let rates: Vec<toml::Value> = rates.collect();
        vec![
            ("collector.format", Some(toml::Value::String(format_name(self.format).to_owned()))),
            ("collector.multiline", Some(toml::Value::Boolean(self.multiline))),
            ("collector.in_flight_bytes", Some(bytes(self.in_flight_bytes))),
            ("collector.pinned_bytes", Some(bytes(self.pinned_bytes))),
            ("collector.spool_bytes", Some(bytes(self.spool_bytes))),
            ("collector.rate_limit_bytes_per_second", self.rate_limit.map(bytes)),
            ("collector.on_limit", Some(shown(self.on_limit))),
            ("collector.rate", (!rates.is_empty()).then_some(toml::Value::Array(rates))),
        ]
    }
}

fn bytes(value: u64) -> toml::Value {
    match i64::try_from(value) {
        Ok(value) => toml::Value::Integer(value),
        Err(_) => toml::Value::String(value.to_string()),
    }
}

fn shown(on_limit: OnLimit) -> toml::Value {
    let text = match on_limit {
        OnLimit::Block => "block",
        OnLimit::Drop => "drop",
    };
    toml::Value::String(text.to_owned())
}

/// What the table says; `None` where it is silent.
#[derive(Debug, Default)]
pub(super) struct CollectorTable {
    format: Option<Placed<Format>>,
    multiline: Option<Placed<bool>>,
    in_flight_bytes: Option<Placed<u64>>,
    pinned_bytes: Option<Placed<u64>>,
    spool_bytes: Option<Placed<u64>>,
    rate_limit: Option<Placed<u64>>,
    on_limit: Option<Placed<OnLimit>>,
    rates: Option<Placed<Vec<RateRule>>>,
}

impl CollectorTable {
    pub(super) fn read(reader: &mut Reader<'_>, table: &DeTable<'_>) -> Self {
        let mut this = Self::default();
        for (key, value) in table {
            let name = format!("collector.{}", key.get_ref());
            match name.as_str() {
                "collector.format" => this.format = reader.parsed(&name, value, format),
                "collector.multiline" => this.multiline = reader.boolean(&name, value),
                "collector.in_flight_bytes" => {
                    this.in_flight_bytes = size(reader, &name, value, |bytes| Collector {
                        in_flight_bytes: bytes,
                        ..Collector::default()
                    });
                }
                "collector.pinned_bytes" => {
                    this.pinned_bytes = size(reader, &name, value, |bytes| Collector {
                        pinned_bytes: bytes,
                        ..Collector::default()
                    });
                }
                "collector.spool_bytes" => {
                    this.spool_bytes = size(reader, &name, value, |bytes| Collector {
                        spool_bytes: bytes,
                        ..Collector::default()
                    });
                }
                "collector.rate_limit_bytes_per_second" => {
                    this.rate_limit = reader.number(&name, value, values::size);
                }
                "collector.on_limit" => this.on_limit = reader.parsed(&name, value, on_limit),
                "collector.rate" => this.rates = rates(reader, &name, value),
                _ => reader.unknown(&key.span(), &name),
            }
        }
        this
    }

    /// What counts: the file, else the defaults.
    pub(super) fn pick(self, from: &mut Effective) -> Collector {
        let default = Collector::default();
        let format = from.pick("collector.format", None, self.format);
        let multiline = from.pick("collector.multiline", None, self.multiline);
        let mut number = |name, value, default| from.pick(name, None, value).unwrap_or(default);
        Collector {
            format: format.unwrap_or(default.format),
            multiline: multiline.unwrap_or(default.multiline),
            in_flight_bytes: number(
                "collector.in_flight_bytes",
                self.in_flight_bytes,
                default.in_flight_bytes,
            ),
            pinned_bytes: number("collector.pinned_bytes", self.pinned_bytes, default.pinned_bytes),
            spool_bytes: number("collector.spool_bytes", self.spool_bytes, default.spool_bytes),
            rate_limit: from.pick("collector.rate_limit_bytes_per_second", None, self.rate_limit),
            on_limit: from.pick("collector.on_limit", None, self.on_limit).unwrap_or_default(),
            rates: from.pick("collector.rate", None, self.rates).unwrap_or_default(),
        }
    }
}

/// A size that the collector can use.
fn size(
    reader: &mut Reader<'_>,
    name: &str,
    value: &Value<'_>,
    with: impl Fn(u64) -> Collector,
) -> Option<Placed<u64>> {
    reader.number(name, value, |text| {
        let bytes = values::size(text)?;
        usable(&with(bytes)).map(|()| bytes)
    })
}

/// Whether a collector would start with these limits.
fn usable(collector: &Collector) -> Result<(), String> {
    let mut limits = Limits::new("unused", "unused");
    limits.paths = vec!["/unused/*.log".to_owned()];
    collector.apply(&mut limits);
    limits.validate().map_err(|error| error.to_string())
}

/// The names of the forms.
const FORMATS: [(&str, Format); 4] = [
    ("auto", Format::Auto),
    ("raw", Format::Raw),
    ("docker", Format::Docker),
    ("cri", Format::Cri),
];

fn format(text: &str) -> Result<Format, String> {
    let found = FORMATS.into_iter().find(|(name, _)| *name == text);
    found.map(|(_, format)| format).ok_or_else(|| {
        format!(
            "'{text}' is no form of lines: write \"auto\" (told by place or first line), \"raw\", \"docker\" or \"cri\""
        )
    })
}

fn format_name(format: Format) -> &'static str {
    let found = FORMATS.into_iter().find(|(_, known)| *known == format);
    found.map_or("auto", |(name, _)| name)
}

fn on_limit(text: &str) -> Result<OnLimit, String> {
    match text {
        "block" => Ok(OnLimit::Block),
        "drop" => Ok(OnLimit::Drop),
        _ => Err(format!(
            "'{text}' is neither \"block\" (lines wait in their files) nor \"drop\" (they are left out and counted)"
        )),
    }
}

fn rates(reader: &mut Reader<'_>, name: &str, value: &Value<'_>) -> Option<Placed<Vec<RateRule>>> {
    let DeValue::Array(list) = value.get_ref() else { return reader.wrong_type(name, value) };
    // All of them, so that each says what is wrong with it.
    let rates: Vec<_> = list.iter().map(|value| rate(reader, name, value)).collect();
    let rates = rates.into_iter().collect::<Option<Vec<RateRule>>>()?;
    Some(reader.placed(rates, value))
}

fn rate(reader: &mut Reader<'_>, name: &str, value: &Value<'_>) -> Option<RateRule> {
    let DeValue::Table(table) = value.get_ref() else { return reader.wrong_type(name, value) };
    let (mut app, mut rate, mut limit) = (None, None, None);
    for (key, value) in table {
        let name = format!("collector.rate.{}", key.get_ref());
        match name.as_str() {
            "collector.rate.app" => app = Some(reader.parsed(&name, value, app_glob)?),
            "collector.rate.bytes_per_second" => {
                rate = Some(reader.number(&name, value, values::size)?);
            }
            "collector.rate.on_limit" => limit = Some(reader.parsed(&name, value, on_limit)?),
            _ => reader.unknown(&key.span(), &name),
        }
    }
    let (Some(app), Some(rate)) = (app, rate) else {
        let (_, example) = KEYS[KEYS.len() - 1];
        let what = format!("`{name}`: a rate needs `app` and `bytes_per_second`: write {example}");
        reader.problem(&value.span(), what);
        return None;
    };
    let on_limit = limit.map(|limit| limit.value).unwrap_or_default();
    Some(RateRule { app: app.value, bytes_per_second: rate.value, on_limit })
}

fn app_glob(text: &str) -> Result<String, String> {
    let rule = RateRule { app: text.to_owned(), bytes_per_second: 1, on_limit: OnLimit::Block };
    usable(&Collector { rates: vec![rule], ..Collector::default() }).map(|()| text.to_owned())
}
