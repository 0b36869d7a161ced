//! What operators and their tools ask: is it ready, what does it count.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use prometheus::{Encoder, TextEncoder};

use super::Api;
use super::error::HttpError;

/// `GET /ready`: 503 until everything that was stored before the start can be searched.
pub(super) async fn ready(State(api): State<Arc<Api>>) -> Response {
    if api.store.is_ready() {
        return "ready\n".into_response();
    }
    let text = "not ready: replaying what was not sealed\n";
    HttpError::new(StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

/// `GET /metrics` in Prometheus' text format.
pub(super) async fn metrics(State(api): State<Arc<Api>>) -> Response {
    let mut text = Vec::new();
    let encoder = TextEncoder::new();
    match encoder.encode(&api.registry.gather(), &mut text) {
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
