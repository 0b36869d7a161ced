//! Which web pages may use the logs.

use axum::http::{HeaderMap, StatusCode, Uri, header};

use super::error::HttpError;

/// A page of another site may open a WebSocket, or send a form, with the reader's rights: browsers
/// leave it to us to refuse it. Clients that are no browsers send no `Origin`.
///
/// # Errors
/// The request comes from a page of another host.
pub(super) fn check_origin(headers: &HeaderMap) -> Result<(), HttpError> {
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    let origin = origin.to_str().unwrap_or_default();
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let uri = origin.parse::<Uri>().ok();
    let authority = uri.as_ref().and_then(|uri| uri.authority());
    if authority.is_some_and(|authority| authority.as_str().eq_ignore_ascii_case(host)) {
        return Ok(());
    }
    let text = format!(
        "a page of '{origin}' may not use the logs of '{host}': a proxy in between must pass on \
         the Host header, or drop Origin"
    );
    Err(HttpError::new(StatusCode::FORBIDDEN, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_of_the_same_host_may_read() {
        let allowed = |origin: Option<&str>, host: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, origin.parse().unwrap());
            }
            check_origin(&headers).is_ok()
        };
        assert!(allowed(None, "logs.example"));
        assert!(allowed(Some("https://logs.example"), "Logs.example"));
        assert!(allowed(Some("http://127.0.0.1:7411"), "127.0.0.1:7411"));
        for stranger in ["https://evil.example", "http://logs.example:81", "null", "", "logs/x"] {
            assert!(!allowed(Some(stranger), "logs.example"), "{stranger}");
        }
    }
}
