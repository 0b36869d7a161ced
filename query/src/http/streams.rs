//! Loki's endpoints that are answered from the streams table: labels, their values, series, and how
//! much there is of a selector.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::error::HttpError;
use super::loki::now;
use super::params::Params;
use super::{Api, answer};
use crate::engine::Budget;
use crate::engine::streams::StreamQuery;
use crate::lang::{Matcher, PATTERNS_MAX, ParseOptions, parse_selector};

/// The most selectors of one request: each is matched with each stream.
const SELECTORS_MAX: usize = 64;
/// A label of Loki's own that Grafana asks for; we have no shards.
const STREAM_SHARD: &str = "__stream_shard__";

/// `GET|POST /loki/api/v1/labels`: the names. Parameters: `query` (a selector), `start`, `end`,
/// `since`.
pub(super) async fn labels(State(api): State<Arc<Api>>, params: Params) -> Response {
    let selectors = one_selector(&params);
    let found = ask(&api, &params, selectors, |api, streams, budget| {
        let names = api.warned(budget, || streams.label_names(&api.store, budget))?;
        Ok(answer::success(names, budget))
    });
    api.counted("labels", found.await)
}

/// `GET|POST /loki/api/v1/label/{name}/values`: parameters as for the names.
pub(super) async fn label_values(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    params: Params,
) -> Response {
    let selectors = one_selector(&params);
    let found = ask(&api, &params, selectors, move |api, streams, budget| {
        if name == STREAM_SHARD {
            return Ok(answer::success([""; 0], budget));
        }
        let values = api.warned(budget, || streams.label_values(&api.store, &name, budget))?;
        Ok(answer::success(values, budget))
    });
    api.counted("label_values", found.await)
}

/// `GET|POST /loki/api/v1/series`: the label sets that fit at least one `match[]` or `match`; all
/// without any, or with `{}`. Parameters: also `start`, `end`, `since`.
pub(super) async fn series(State(api): State<Arc<Api>>, params: Params) -> Response {
    let selectors = params.all("match[]").chain(params.all("match")).map(str::to_owned).collect();
    let found = ask(&api, &params, selectors, |api, streams, budget| {
        let sets = api.warned(budget, || streams.label_sets(&api.store, budget))?;
        Ok(answer::label_sets(&sets, budget))
    });
    api.counted("series", found.await)
}

/// Loki's shape; it has no envelope.
#[derive(Serialize)]
struct IndexStats {
    streams: u64,
    chunks: u64,
    bytes: u64,
    entries: u64,
}

/// `GET|POST /loki/api/v1/index/stats`: how much there is of a selector. Streams are counted; chunks
/// are blocks and hot runs that overlap the range; bytes and entries (lines, here) are exact for
/// streams that lie within the range, and in proportion to their times, those of expired lines
/// included, for those that reach beyond it. Parameters: `query` (a selector), `start`, `end`, `since`.
pub(super) async fn index_stats(State(api): State<Arc<Api>>, params: Params) -> Response {
    let selectors = one_selector(&params);
    let found = ask(&api, &params, selectors, |api, streams, budget| {
        let sum = streams.statistics(&api.store, budget)?;
        let (streams, chunks, bytes) = (sum.streams, sum.chunks, sum.bytes);
        Ok(Json(IndexStats { streams, chunks, bytes, entries: sum.lines }).into_response())
    });
    api.counted("index_stats", found.await)
}

fn one_selector(params: &Params) -> Vec<String> {
    params.get("query").map(str::to_owned).into_iter().collect()
}

/// Runs a question about the streams that the selectors choose in the time range asked for.
async fn ask(
    api: &Arc<Api>,
    params: &Params,
    selectors: Vec<String>,
    answer: impl FnOnce(&Api, &StreamQuery, &Budget) -> Result<Response, HttpError> + Send + 'static,
) -> Result<Response, HttpError> {
    if selectors.len() > SELECTORS_MAX {
        let text = format!(
            "{} selectors, at most {SELECTORS_MAX} are allowed: ask in several requests, or join \
             them with =~\"a|b\"",
            selectors.len()
        );
        return Err(HttpError::bad_request(text));
    }
    let range = params.range(now())?;
    let store = api.clone();
    let run = move |budget: &Budget| {
        let selectors = parsed(&selectors, budget)?;
        answer(&store, &StreamQuery::new(&selectors, range, budget)?, budget)
    };
    api.queries.run(api.limits.clone(), run).await?
}

/// The selectors' matchers; together they have at most as many regular expressions as one query.
fn parsed(selectors: &[String], budget: &Budget) -> Result<Vec<Vec<Matcher>>, HttpError> {
    let mut patterns = 0;
    let mut parsed = Vec::with_capacity(selectors.len());
    for text in selectors {
        budget.check()?;
        let matchers = parse_selector(text, ParseOptions { allow_empty_selector: true })?;
        patterns += matchers.iter().filter(|matcher| matcher.op.is_regex()).count();
        if patterns > PATTERNS_MAX {
            let text = format!(
                "the selectors have more than {PATTERNS_MAX} regular expressions together: ask in \
                 several requests, or join some with |"
            );
            return Err(HttpError::bad_request(text));
        }
        parsed.push(matchers);
    }
    Ok(parsed)
}
