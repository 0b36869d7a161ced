//! The HTTP API: Loki's under `/loki/api/v1`, Sawlog's own under `/api/v1`, and the usual pages for
//! operators. Errors are plain text.

mod answer;
mod error;
mod loki;
mod metrics;
mod operate;
mod params;
mod push;
mod running;
mod search;
mod store;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use sawlog_aggregator::Store;

use crate::engine::Limits;
use crate::push::Receiver;
use metrics::Metrics;
pub use params::duration;
pub(crate) use params::parse_time;
use running::Running;

/// The largest body of a push, as it comes and inflated: bytes.
pub const PUSH_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Requests of each kind that are worked on at the same time.
const QUERIES_MAX: usize = 4;
const EXPORTS_MAX: usize = 4;
const PUSHES_MAX: usize = 4;

/// What the API is served from.
pub struct Api {
    store: Arc<Store>,
    receiver: Arc<Receiver>,
    registry: prometheus::Registry,
    limits: Limits,
    /// Kinds of requests apart, so that slow readers of exports hold up neither queries nor pushes.
    queries: Running,
    exports: Running,
    pushes: Running,
    metrics: Metrics,
}

impl Api {
    /// # Errors
    /// A metric's name is registered already.
    pub fn new(
        store: Arc<Store>,
        receiver: Receiver,
        registry: prometheus::Registry,
        limits: Limits,
    ) -> prometheus::Result<Self> {
        let metrics = Metrics::new(&registry)?;
        let places =
            |kind: &str, n: usize| Running::new(n, metrics.running.with_label_values(&[kind]));
        Ok(Self {
            queries: places("query", QUERIES_MAX),
            exports: places("export", EXPORTS_MAX),
            pushes: places("push", PUSHES_MAX),
            store,
            receiver: Arc::new(receiver),
            registry,
            limits,
            metrics,
        })
    }

    /// All routes.
    pub fn router(self) -> Router {
        let loki = Router::new()
            .route("/query", get(loki::query).post(loki::query))
            .route("/query_range", get(loki::query_range).post(loki::query_range))
            .route("/labels", get(loki::labels).post(loki::labels))
            .route("/label", get(loki::labels).post(loki::labels))
            .route("/label/{name}/values", get(loki::label_values).post(loki::label_values))
            .route("/push", post(push::push));
        let own = Router::new()
            .route("/search", get(search::search).post(search::search))
            .route("/export", get(search::export).post(search::export))
            .route("/store/stats", get(store::stats));
        Router::new()
            .nest("/loki/api/v1", loki)
            .nest("/api/v1", own)
            .route("/ready", get(operate::ready))
            .route("/metrics", get(operate::metrics))
            .fallback(operate::not_found)
            .with_state(Arc::new(self))
    }
}
