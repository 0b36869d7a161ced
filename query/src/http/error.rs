//! Errors as people and their tools see them: a status and plain text.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sawlog_aggregator::error_chain;

use crate::engine::QueryError;
use crate::lang::ParseError;
use crate::push::PushError;

/// A refused or failed request.
#[derive(Debug)]
pub(super) struct HttpError {
    status: StatusCode,
    text: String,
}

impl HttpError {
    pub(super) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, text: text.into() }
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }

    pub(super) fn bad_request(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text)
    }
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.text).into_response();
        let nosniff = HeaderValue::from_static("nosniff");
        response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
        response
    }
}

impl From<ParseError> for HttpError {
    fn from(err: ParseError) -> Self {
        Self::bad_request(err.to_string())
    }
}

impl From<QueryError> for HttpError {
    fn from(err: QueryError) -> Self {
        let status = match &err {
            QueryError::ScanLimit { .. }
            | QueryError::ResultLimit { .. }
            | QueryError::CellLimit { .. }
            | QueryError::LabelsLimit { .. }
            | QueryError::Invalid(_) => StatusCode::BAD_REQUEST,
            QueryError::Timeout(_) => StatusCode::GATEWAY_TIMEOUT,
            QueryError::Recovered => StatusCode::SERVICE_UNAVAILABLE,
            // nginx' and Loki's code for a client that did not wait.
            QueryError::Cancelled | QueryError::ClientStopped(_) => {
                StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST)
            }
            QueryError::Store(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error_chain(&err))
    }
}

impl From<PushError> for HttpError {
    fn from(err: PushError) -> Self {
        let status = match &err {
            PushError::LineTooLong { .. }
            | PushError::MetadataTooLarge { .. }
            | PushError::TimeTooLate { .. } => StatusCode::BAD_REQUEST,
            PushError::NotReady
            | PushError::Waiting { .. }
            | PushError::NoTransport
            | PushError::Timeout => StatusCode::SERVICE_UNAVAILABLE,
            PushError::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            PushError::Busy => StatusCode::TOO_MANY_REQUESTS,
            PushError::LookupTimeout(_) => StatusCode::GATEWAY_TIMEOUT,
            PushError::Failed(_) | PushError::Query(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error_chain(&err))
    }
}
