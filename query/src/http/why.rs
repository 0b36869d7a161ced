//! What a collector tells of single files: `GET /api/v1/why?q=…` and `GET /api/v1/acknowledged?path=…`.
//! Who answers is passed in, since a query server knows no collector.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::error::HttpError;

/// What a collector is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CollectorQuestion {
    /// The state of each file of a task, container, app or path.
    Why(String),
    /// How far the files of the log at this path are acknowledged.
    Acknowledged(String),
}

/// Answers in JSON, or says why not. May block for seconds.
pub type AskCollector = Arc<dyn Fn(CollectorQuestion) -> Result<String, String> + Send + Sync>;

/// The routes of a role that collects; `None` where nothing is collected.
pub fn collector_router(ask: Option<AskCollector>) -> Router {
    let why = ask.clone();
    Router::new()
        .route("/api/v1/why", get(move |request| answer(why, "q", CollectorQuestion::Why, request)))
        .route(
            "/api/v1/acknowledged",
            get(move |request| answer(ask, "path", CollectorQuestion::Acknowledged, request)),
        )
}

async fn answer(
    ask: Option<AskCollector>,
    name: &'static str,
    question: fn(String) -> CollectorQuestion,
    request: Request,
) -> Response {
    let query = request.uri().query().unwrap_or_default().as_bytes();
    let value = form_urlencoded::parse(query).find(|(known, _)| known == name);
    let Some(value) = value.map(|(_, value)| value.into_owned()).filter(|text| !text.is_empty())
    else {
        return HttpError::bad_request(format!("the parameter {name} is missing")).into_response();
    };
    let Some(ask) = ask else {
        let text = "nothing is collected here: name --mesos-work-dir or --path";
        return HttpError::new(StatusCode::NOT_FOUND, text).into_response();
    };
    // It waits for the collector's loop.
    match tokio::task::spawn_blocking(move || ask(question(value))).await {
        Ok(Ok(json)) => ([(header::CONTENT_TYPE, "application/json")], json).into_response(),
        Ok(Err(why)) => HttpError::new(StatusCode::SERVICE_UNAVAILABLE, why).into_response(),
        Err(error) => {
            HttpError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response()
        }
    }
}
