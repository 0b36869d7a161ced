//! Answers in Loki's JSON. Structs, not maps: Grafana reads `resultType` before `result`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::response::{IntoResponse, Response};
use sawlog_transport::Labels;
use serde::Serialize;
use serde::ser::{SerializeMap, SerializeSeq, SerializeStruct, Serializer};

use super::params::SECOND;
use crate::engine::metric::{Series, SeriesLabels, Steps, Value};
use crate::engine::{Budget, Entry};

/// The header with which Grafana asks for labels and metadata apart.
pub(super) const ENCODING_FLAGS: &str = "x-loki-response-encoding-flags";
/// The flag that does so.
const CATEGORIZE: &str = "categorize-labels";

/// `{"status":"success","data":…}`
#[derive(Serialize)]
struct Envelope<T> {
    status: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    data: T,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct QueryData<T> {
    result_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding_flags: Option<Vec<String>>,
    result: T,
    stats: Stats,
}

#[derive(Serialize)]
struct Stats {
    summary: Summary,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    bytes_processed_per_second: u64,
    lines_processed_per_second: u64,
    total_bytes_processed: u64,
    total_lines_processed: u64,
    exec_time: f64,
    queue_time: f64,
    subqueries: u64,
    total_entries_returned: u64,
    splits: u64,
    shards: u64,
    total_post_filter_lines: u64,
    total_structured_metadata_bytes_processed: u64,
}

fn stats(budget: &Budget, returned: usize) -> Stats {
    let (stats, time) = (budget.stats(), budget.elapsed().as_secs_f64().max(1e-9));
    Stats {
        summary: Summary {
            bytes_processed_per_second: (stats.bytes_scanned as f64 / time) as u64,
            lines_processed_per_second: (stats.lines_scanned as f64 / time) as u64,
            total_bytes_processed: stats.bytes_scanned,
            total_lines_processed: stats.lines_scanned,
            exec_time: time,
            queue_time: 0.0,
            subqueries: 0,
            total_entries_returned: returned as u64,
            splits: 0,
            shards: 0,
            total_post_filter_lines: stats.lines_matched,
            total_structured_metadata_bytes_processed: 0,
        },
    }
}

/// Names, values or label sets in the usual envelope.
pub(super) fn success<T: Serialize>(data: T, budget: &Budget) -> Response {
    Json(Envelope { status: "success", warnings: budget.warnings(), data }).into_response()
}

/// Label sets as JSON objects.
pub(super) fn label_sets<'l>(
    sets: impl IntoIterator<Item = &'l Arc<Labels>>,
    budget: &Budget,
) -> Response {
    let object = |labels: &'l Arc<Labels>| -> BTreeMap<&'l str, Cow<'l, str>> {
        labels.iter().map(|(name, value)| (name, String::from_utf8_lossy(value))).collect()
    };
    success(sets.into_iter().map(object).collect::<Vec<_>>(), budget)
}

/// Entries, grouped by their labels, each group in the order of the entries.
pub(super) fn streams(entries: &[Entry], flags: Option<&str>, budget: &Budget) -> Response {
    let categorize = flags.is_some_and(|f| f.split(',').any(|flag| flag.trim() == CATEGORIZE));
    let encoding_flags = flags.map(|f| f.split(',').map(str::to_owned).collect());
    let data = QueryData {
        result_type: "streams",
        encoding_flags,
        result: groups(entries, Shape { categorize, time_digits: 0 }),
        stats: stats(budget, entries.len()),
    };
    Json(Envelope { status: "success", warnings: budget.warnings(), data }).into_response()
}

/// How entries are written.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    /// Metadata apart from the labels, as the flag asks for.
    pub(super) categorize: bool,
    /// Times have at least so many digits.
    pub(super) time_digits: usize,
}

/// Entries by labels, each group in the order of the entries.
pub(super) fn groups(entries: &[Entry], shape: Shape) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut index: BTreeMap<Pairs, usize> = BTreeMap::new();
    let mut last: Option<(&Entry, usize)> = None;
    for entry in entries {
        // Mostly it is the stream of the entry before: its labels need not be written out.
        let like_last = last.filter(|(last, _)| {
            Arc::ptr_eq(&last.labels, &entry.labels)
                && (shape.categorize || last.metadata == entry.metadata)
        });
        let at = like_last.map_or_else(
            || {
                let labels = labels_of(entry, !shape.categorize);
                *index.entry(labels).or_insert_with_key(|labels| {
                    groups.push(Group { stream: labels.clone(), entries: Vec::new(), shape });
                    groups.len() - 1
                })
            },
            |(_, at)| at,
        );
        groups[at].entries.push(entry);
        last = Some((entry, at));
    }
    groups
}

/// Labels as text, in order of name: bytes that are no UTF-8 become U+FFFD only here.
type Pairs = Vec<(String, String)>;

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).into_owned()
}

/// The labels; with the metadata folded in where a client knows no better.
fn labels_of(entry: &Entry, fold: bool) -> Pairs {
    let mut pairs: Pairs =
        entry.labels.iter().map(|(name, value)| (name.to_owned(), text(value))).collect();
    if fold {
        for (name, value) in &entry.metadata {
            if !pairs.iter().any(|(known, _)| known == name) {
                pairs.push((name.clone(), text(value)));
            }
        }
        pairs.sort();
    }
    pairs
}

/// The entries of one set of labels.
pub(super) struct Group<'e> {
    stream: Pairs,
    entries: Vec<&'e Entry>,
    shape: Shape,
}

/// Pairs as a JSON object in their order.
struct Object<'p>(&'p Pairs);

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl Serialize for Group<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut group = serializer.serialize_struct("stream", 2)?;
        group.serialize_field("stream", &Object(&self.stream))?;
        let values: Vec<LokiEntry<'_>> =
            self.entries.iter().map(|entry| LokiEntry { entry, shape: self.shape }).collect();
        group.serialize_field("values", &values)?;
        group.end()
    }
}

/// `["<nanoseconds>","line"]`, with a third member where metadata is told apart.
struct LokiEntry<'e> {
    entry: &'e Entry,
    shape: Shape,
}

impl Serialize for LokiEntry<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut value = serializer.serialize_seq(None)?;
        let digits = self.shape.time_digits;
        value.serialize_element(&format!("{:0digits$}", self.entry.time))?;
        value.serialize_element(&String::from_utf8_lossy(&self.entry.line))?;
        if self.shape.categorize {
            value.serialize_element(&Categories(self.entry))?;
        }
        value.end()
    }
}

struct Categories<'e>(&'e Entry);

impl Serialize for Categories<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(None)?;
        if !self.0.metadata.is_empty() {
            let metadata =
                self.0.metadata.iter().map(|(name, value)| (name.clone(), text(value))).collect();
            object.serialize_entry("structuredMetadata", &Object(&metadata))?;
        }
        object.end()
    }
}

/// A metric answer over a range.
pub(super) fn matrix(value: Value, steps: &Steps, budget: &Budget) -> Response {
    let series = match value {
        Value::Vector(series) => series,
        Value::Scalar(points) => {
            let points = points.into_iter().map(Some).collect();
            vec![Series { labels: Vec::new(), points }]
        }
    };
    let mut result: Vec<MatrixSeries> = series
        .iter()
        .map(|one| MatrixSeries {
            metric: pairs(&one.labels),
            values: one
                .points
                .iter()
                .enumerate()
                .filter_map(|(n, value)| Some((UnixTime(steps.time(n)), sample((*value)?))))
                .collect(),
        })
        .filter(|one| !one.values.is_empty())
        .collect();
    result.sort_by(|a, b| a.metric.cmp(&b.metric));
    query("matrix", result, budget)
}

/// A metric answer at one moment.
pub(super) fn instant(value: Value, time: i64, budget: &Budget) -> Response {
    match value {
        Value::Scalar(points) => {
            let value = points.first().copied().unwrap_or(f64::NAN);
            query("scalar", (UnixTime(time), sample(value)), budget)
        }
        Value::Vector(series) => {
            let mut result: Vec<VectorSample> = series
                .iter()
                .filter_map(|one| {
                    let value = (*one.points.first()?)?;
                    let value = (UnixTime(time), sample(value));
                    Some(VectorSample { metric: pairs(&one.labels), value })
                })
                .collect();
            result.sort_by(|a, b| a.metric.cmp(&b.metric));
            query("vector", result, budget)
        }
    }
}

fn query<T: Serialize>(result_type: &'static str, result: T, budget: &Budget) -> Response {
    let data = QueryData { result_type, encoding_flags: None, result, stats: stats(budget, 0) };
    Json(Envelope { status: "success", warnings: budget.warnings(), data }).into_response()
}

fn pairs(labels: &SeriesLabels) -> Pairs {
    labels.iter().map(|(name, value)| (name.clone(), text(value))).collect()
}

struct MatrixSeries {
    metric: Pairs,
    values: Vec<(UnixTime, String)>,
}

struct VectorSample {
    metric: Pairs,
    value: (UnixTime, String),
}

impl Serialize for MatrixSeries {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut series = serializer.serialize_struct("series", 2)?;
        series.serialize_field("metric", &Object(&self.metric))?;
        series.serialize_field("values", &self.values)?;
        series.end()
    }
}

impl Serialize for VectorSample {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut sample = serializer.serialize_struct("sample", 2)?;
        sample.serialize_field("metric", &Object(&self.metric))?;
        sample.serialize_field("value", &self.value)?;
        sample.end()
    }
}

/// Seconds since 1970 as a number with up to three decimals.
struct UnixTime(i64);

impl Serialize for UnixTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let millis = self.0.div_euclid(SECOND / 1000);
        if millis % 1000 == 0 {
            serializer.serialize_i64(millis / 1000)
        } else {
            serializer.serialize_f64(millis as f64 / 1000.0)
        }
    }
}

/// A sample's value as Prometheus writes it.
fn sample(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf".to_owned() } else { "-Inf".to_owned() }
    } else {
        format!("{value}")
    }
}
