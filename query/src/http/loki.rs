//! Loki's endpoints that read entries.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::error::HttpError;
use super::params::Params;
use super::{Api, answer, waiting};
use crate::engine::log::{self, Direction, LogQuery};
use crate::engine::metric::{self, Steps};
use crate::engine::{Budget, QueryError};
use crate::lang::{Expr, LogExpr, MetricExpr, ParseOptions, parse};

/// `GET|POST /loki/api/v1/query_range`
pub(super) async fn query_range(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    params: Params,
) -> Response {
    let answer = range(api.clone(), &headers, &params).await;
    api.counted("query_range", answer)
}

async fn range(api: Arc<Api>, headers: &HeaderMap, params: &Params) -> Result<Response, HttpError> {
    let query = params.required("query")?.to_owned();
    let expr = apart(move || parse(&query, ParseOptions::default())).await??;
    let (start, end) = params.range(now())?;
    let step = params.step(start, end)?;
    match expr {
        Expr::Log(log) => {
            let query = OwnedLogQuery {
                log,
                from: start,
                to: end,
                limit: params.limit()?,
                direction: params.direction()?,
            };
            api.log_query(query, encoding_flags(headers)).await
        }
        Expr::Metric(expr) => {
            let steps = Steps { start, end, step };
            api.metric_query(expr, steps, move |value, budget| {
                answer::matrix(value, &steps, budget)
            })
            .await
        }
    }
}

/// `GET|POST /loki/api/v1/query`
pub(super) async fn query(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    params: Params,
) -> Response {
    let answer = instant(api.clone(), &headers, &params).await;
    api.counted("query", answer)
}

async fn instant(
    api: Arc<Api>,
    headers: &HeaderMap,
    params: &Params,
) -> Result<Response, HttpError> {
    let query = params.required("query")?.to_owned();
    let expr = apart(move || parse(&query, ParseOptions::default())).await??;
    let time = params.time("time")?.unwrap_or_else(now);
    match expr {
        Expr::Log(log) => {
            let query = OwnedLogQuery {
                log,
                from: time.saturating_sub(3_600_000_000_000),
                to: time,
                limit: params.limit()?,
                direction: params.direction()?,
            };
            api.log_query(query, encoding_flags(headers)).await
        }
        Expr::Metric(expr) => {
            api.metric_query(expr, Steps::instant(time), move |value, budget| {
                answer::instant(value, time, budget)
            })
            .await
        }
    }
}

struct OwnedLogQuery {
    log: LogExpr,
    from: i64,
    to: i64,
    limit: usize,
    direction: Direction,
}

impl Api {
    async fn log_query(
        self: &Arc<Self>,
        query: OwnedLogQuery,
        flags: Option<String>,
    ) -> Result<Response, HttpError> {
        let api = self.clone();
        let run = move |budget: &Budget| -> Result<Response, QueryError> {
            let OwnedLogQuery { ref log, from, to, limit, direction } = query;
            let query = LogQuery { log, from, to, limit, direction };
            let entries = api.warned(budget, || log::run(&api.store, &query, budget))?;
            api.observe("log", budget);
            Ok(answer::streams(&entries, flags.as_deref(), budget))
        };
        Ok(self.queries.run(self.limits.clone(), run).await??)
    }

    async fn metric_query(
        self: &Arc<Self>,
        expr: MetricExpr,
        steps: Steps,
        write: impl FnOnce(metric::Value, &Budget) -> Response + Send + 'static,
    ) -> Result<Response, HttpError> {
        let api = self.clone();
        let run = move |budget: &Budget| -> Result<Response, QueryError> {
            let value =
                api.warned(budget, || metric::evaluate(&api.store, &expr, &steps, budget))?;
            api.observe("metric", budget);
            Ok(write(value, budget))
        };
        Ok(self.queries.run(self.limits.clone(), run).await??)
    }

    /// Counts what a query has cost.
    pub(super) fn observe(&self, kind: &str, budget: &Budget) {
        self.metrics.scanned_bytes.inc_by(budget.stats().bytes_scanned);
        let seconds = budget.elapsed().as_secs_f64();
        self.metrics.duration.with_label_values(&[kind]).observe(seconds);
    }

    /// Reads the store. Until the replay at its start, or after a recovery, is done, answers lack
    /// what was not sealed: that is told, also if all of it happened while the store was read. So is
    /// what waits before or after.
    pub(super) fn warned<T>(&self, budget: &Budget, read: impl FnOnce() -> T) -> T {
        let before = self.store.whole();
        self.warn_of_waiting(budget);
        let answer = read();
        self.warn_of_waiting(budget);
        if before.is_none() || self.store.whole() != before {
            let text = "partial result: replaying what was not sealed";
            budget.warn(text.to_owned());
        }
        answer
    }

    /// Warns of what an answer lacks because its partition waits.
    pub(super) fn warn_of_waiting(&self, budget: &Budget) {
        if let Some(text) = waiting::told(&self.store.waiting_partitions()) {
            budget.warn(format!("partial result: {text}"));
        }
    }

    /// Counts an answer under its route and code.
    pub(super) fn counted(&self, route: &str, answer: Result<Response, HttpError>) -> Response {
        let response = answer.unwrap_or_else(IntoResponse::into_response);
        let code = response.status().as_u16().to_string();
        self.metrics.requests.with_label_values(&[route, &code]).inc();
        response
    }
}

/// Runs what may take a while (compiling a hundred expressions) apart from the threads that serve
/// everybody.
pub(super) async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, HttpError> {
    tokio::task::spawn_blocking(work).await.map_err(|err| {
        tracing::error!(%err, "a request failed");
        HttpError::new(StatusCode::INTERNAL_SERVER_ERROR, "the request failed: see the log")
    })
}

fn encoding_flags(headers: &HeaderMap) -> Option<String> {
    Some(headers.get(answer::ENCODING_FLAGS)?.to_str().ok()?.to_owned())
}

/// Nanoseconds since the epoch.
pub(super) fn now() -> i64 {
    chrono::Utc::now().timestamp_nanos_opt().unwrap_or(i64::MAX)
}
