//! What operators and their tools ask: is it ready, what does it count.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus::{Encoder, Registry, TextEncoder};

use super::error::HttpError;
use super::{Api, BuildInfo, waiting};

/// Why it is not ready before the replay is done.
const REPLAYING: &str = "replaying what was not sealed";

/// Tells what is waited for; `None` if nothing is.
pub type NotReady = Arc<dyn Fn() -> Option<String> + Send + Sync>;

/// What a role without a store tells operators.
pub struct Operate {
    pub registry: Registry,
    pub build: BuildInfo,
    /// The answer to `GET /`, a line.
    pub welcome: String,
    pub not_ready: NotReady,
}

/// The pages for operators alone: `/`, `/ready` and `/metrics`.
///
/// # Errors
/// A metric's name is registered already.
pub fn operate_router(operate: Operate) -> prometheus::Result<Router> {
    let Operate { registry, build, welcome, not_ready } = operate;
    build.register(&registry)?;
    Ok(Router::new()
        .route("/", get(move || async move { welcome.clone() }))
        .route("/ready", get(move || async move { readiness(not_ready(), None) }))
        .route("/metrics", get(move || async move { exposition(&registry) })))
}

/// `GET /ready`: 503 until everything that was stored before the start can be searched, but for
/// partitions that wait: they are named below `ready`.
pub(super) async fn ready(State(api): State<Arc<Api>>) -> Response {
    let replaying = || (!api.store.is_ready()).then(|| REPLAYING.to_owned());
    let waiting = waiting::told(&api.store.waiting_partitions());
    readiness((api.not_ready)().or_else(replaying), waiting)
}

/// What waits is told, and the rest is served.
fn readiness(not_ready: Option<String>, waiting: Option<String>) -> Response {
    match not_ready {
        None => {
            let waiting = waiting.map(|text| format!("{text}\n")).unwrap_or_default();
            format!("ready\n{waiting}").into_response()
        }
        Some(why) => {
            let text = format!("not ready: {why}\n");
            HttpError::new(StatusCode::SERVICE_UNAVAILABLE, text).into_response()
        }
    }
}

/// `GET /metrics` in Prometheus' text format.
pub(super) async fn metrics(State(api): State<Arc<Api>>) -> Response {
    exposition(&api.registry)
}

fn exposition(registry: &Registry) -> Response {
    let mut text = Vec::new();
    let encoder = TextEncoder::new();
    match encoder.encode(&registry.gather(), &mut text) {
        Ok(()) => {
            ([(header::CONTENT_TYPE, encoder.format_type().to_owned())], text).into_response()
        }
        Err(err) => {
            HttpError::new(StatusCode::INTERNAL_SERVER_ERROR, err.to_string()).into_response()
        }
    }
}

/// `GET /`: whoever opens the address in a browser learns what to do.
pub(super) async fn welcome(State(api): State<Arc<Api>>) -> String {
    format!(
        "This is Sawlog {}. There is no web page yet: use `sawlog search WORDS`, or add this address \
         to Grafana as a Loki data source.\n",
        api.build.version
    )
}

/// Everything else.
pub(super) async fn not_found(uri: Uri) -> Response {
    let text =
        format!("there is no {}: see /loki/api/v1/query_range or /api/v1/search", uri.path());
    HttpError::new(StatusCode::NOT_FOUND, text).into_response()
}
