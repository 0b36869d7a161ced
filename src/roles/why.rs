//! Lets people ask a role's collector about single files.

use std::sync::Arc;

use axum::Router;
use sawlog_collector::{AcknowledgedFile, Asker, CollectorHandle};
use sawlog_query::http::{AskCollector, CollectorQuestion, collector_router};

/// The routes that a collector answers.
pub(super) fn routes(collector: Option<&CollectorHandle>) -> Router {
    collector_router(collector.map(|collector| questions(collector.asker())))
}

fn questions(asker: Asker) -> AskCollector {
    Arc::new(move |question| {
        let answer = match question {
            CollectorQuestion::Why(query) => asker.why(&query).map(|answer| answer.to_json()),
            CollectorQuestion::Acknowledged(log) => {
                let files = asker.acknowledged(log.into());
                files.map(|files| AcknowledgedFile::list_to_json(&files))
            }
        };
        answer.map_err(|error| error.to_string())
    })
}
