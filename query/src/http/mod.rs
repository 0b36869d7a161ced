//! The HTTP API: Loki's under `/loki/api/v1`, Sawlog's own under `/api/v1`, and the usual pages for
//! operators. Errors are plain text.

mod answer;
mod build_info;
mod error;
mod loki;
mod metrics;
mod operate;
mod origin;
mod params;
mod push;
mod running;
mod search;
mod store;
mod streams;
mod tail;
mod waiting;
#[cfg(test)]
mod waiting_tests;
mod why;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use sawlog_aggregator::Store;

use crate::engine::Limits;
use crate::push::Receiver;
pub use build_info::BuildInfo;
use metrics::Metrics;
pub use operate::{NotReady, Operate, operate_router};
pub use params::duration;
pub(crate) use params::parse_time;
use running::Running;
pub use tail::TailStopper;
use tail::{TAILS_MAX, Tails};
pub use why::{AskCollector, CollectorQuestion, collector_router};

/// The largest body of a push, as it comes and inflated: bytes.
pub const PUSH_BYTES_MAX: usize = 32 * 1024 * 1024;

/// How long a tail's or an export's reader may take nothing, or a tail's say nothing: then it is
/// given up, since it keeps a place.
const READER_SILENCE_MAX: Duration = Duration::from_secs(600);

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
    build: BuildInfo,
    /// Kinds of requests apart, so that slow readers of exports hold up neither queries nor pushes.
    queries: Running,
    exports: Running,
    pushes: Running,
    tails: Tails,
    metrics: Metrics,
    /// What else than the replay is waited for.
    not_ready: NotReady,
}

impl Api {
    /// # Errors
    /// A metric's name is registered already.
    pub fn new(
        store: Arc<Store>,
        receiver: Receiver,
        registry: prometheus::Registry,
        limits: Limits,
        build: BuildInfo,
    ) -> prometheus::Result<Self> {
        let metrics = Metrics::new(&registry)?;
        build.register(&registry)?;
        let places =
            |kind: &str, n: usize| Running::new(n, metrics.running.with_label_values(&[kind]));
        Ok(Self {
            queries: places("query", QUERIES_MAX),
            exports: places("export", EXPORTS_MAX),
            pushes: places("push", PUSHES_MAX),
            tails: Tails::new(Running::new(TAILS_MAX, metrics.tail_clients.clone())),
            store,
            receiver: Arc::new(receiver),
            registry,
            limits,
            build,
            metrics,
            not_ready: Arc::new(|| None),
        })
    }

    /// Lets `/ready` tell what else than the replay is waited for.
    pub fn with_not_ready(self, not_ready: NotReady) -> Self {
        Self { not_ready, ..self }
    }

    /// What ends all tails when the server stops; without it they last as long as their readers.
    pub fn tail_stopper(&self) -> TailStopper {
        self.tails.stopper()
    }

    /// All routes.
    pub fn router(self) -> Router {
        let loki = Router::new()
            .route("/query", get(loki::query).post(loki::query))
            .route("/query_range", get(loki::query_range).post(loki::query_range))
            .route("/labels", get(streams::labels).post(streams::labels))
            .route("/label", get(streams::labels).post(streams::labels))
            .route("/label/{name}/values", get(streams::label_values).post(streams::label_values))
            .route("/series", get(streams::series).post(streams::series))
            .route("/index/stats", get(streams::index_stats).post(streams::index_stats))
            .route("/status/buildinfo", get(build_info::build_info))
            .route("/tail", get(tail::socket::tail))
            .route("/push", post(push::push));
        let own = Router::new()
            .route("/search", get(search::search).post(search::search))
            .route("/tail", get(tail::lines::tail))
            .route("/export", get(search::export).post(search::export))
            .route("/store/stats", get(store::stats));
        Router::new()
            .nest("/loki/api/v1", loki)
            .nest("/api/v1", own)
            .route("/", get(operate::welcome))
            .route("/ready", get(operate::ready))
            .route("/metrics", get(operate::metrics))
            .fallback(operate::not_found)
            .with_state(Arc::new(self))
    }
}
