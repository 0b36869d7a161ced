//! Request parameters with Loki's rules: from the query string and, for POST, from the form.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{FromRequest, Request};
use axum::http::{Method, header};

use super::Api;
use super::error::HttpError;
use crate::engine::log::Direction;

/// Entries given back unless asked otherwise, and at most: Loki's numbers.
const LIMIT_DEFAULT: usize = 100;
pub(super) const LIMIT_MAX: usize = 5000;
/// The most steps of one series: Loki's and Prometheus' number.
const STEPS_MAX: i64 = 11_000;
/// How far back a query looks unless asked otherwise: one hour.
const SINCE_DEFAULT: i64 = 3_600 * SECOND;
/// The longest form of a POST, in bytes.
const FORM_BYTES_MAX: usize = 256 * 1024;

pub(super) const SECOND: i64 = 1_000_000_000;

/// The parameters of one request, in their order; those of a form stand behind those of the address.
pub(super) struct Params(HashMap<String, Vec<String>>);

impl FromRequest<Arc<Api>> for Params {
    type Rejection = HttpError;

    async fn from_request(request: Request, _api: &Arc<Api>) -> Result<Self, HttpError> {
        let mut params = Self(HashMap::new());
        params.add(request.uri().query().unwrap_or_default().as_bytes());
        let is_form = request
            .headers()
            .get(header::CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"application/x-www-form-urlencoded"));
        if request.method() == Method::POST && is_form {
            let body = axum::body::to_bytes(request.into_body(), FORM_BYTES_MAX)
                .await
                .map_err(|_| HttpError::bad_request("the form is longer than 256 KiB"))?;
            params.add(&body);
        }
        Ok(params)
    }
}

impl Params {
    /// Decodes `a=b&c=d`.
    fn add(&mut self, bytes: &[u8]) {
        for (name, value) in form_urlencoded::parse(bytes) {
            self.0.entry(name.into_owned()).or_default().push(value.into_owned());
        }
    }

    /// The first value of a name; `None` also if it is empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.first().map(String::as_str).filter(|value| !value.is_empty())
    }

    /// All values of a name that are not empty.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let values = self.0.get(name).map(Vec::as_slice).unwrap_or_default();
        values.iter().map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A parameter that must be there.
    pub(super) fn required(&self, name: &str) -> Result<&str, HttpError> {
        self.get(name)
            .ok_or_else(|| HttpError::bad_request(format!("the parameter '{name}' is missing")))
    }

    /// Whether a parameter is set to a true value.
    pub(super) fn flag(&self, name: &str) -> Result<bool, HttpError> {
        match self.get(name) {
            None | Some("0" | "false") => Ok(false),
            Some("1" | "true") => Ok(true),
            Some(other) => {
                Err(HttpError::bad_request(format!("{name}={other}: write true or false")))
            }
        }
    }

    pub(super) fn time(&self, name: &str) -> Result<Option<i64>, HttpError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        parse_time(text).map(Some).ok_or_else(|| {
            HttpError::bad_request(format!(
                "{name}={text}: write seconds or nanoseconds since 1970, or a time such as \
                 2026-08-20T10:00:00Z"
            ))
        })
    }

    /// `start` (inclusive) and `end` (exclusive), by default the last hour.
    pub(super) fn range(&self, now: i64) -> Result<(i64, i64), HttpError> {
        let end = self.time("end")?.unwrap_or(now);
        let since = match self.get("since") {
            None => SINCE_DEFAULT,
            Some(text) => duration(text)
                .ok_or_else(|| HttpError::bad_request(format!("since={text}: write 15m or 2h")))?,
        };
        let start = match self.time("start")? {
            Some(start) => start,
            None => end.min(now).saturating_sub(since),
        };
        if end < start {
            return Err(HttpError::bad_request(
                "end timestamp must not be before or equal to start time",
            ));
        }
        Ok((start, end))
    }

    pub(super) fn limit(&self) -> Result<usize, HttpError> {
        let Some(text) = self.get("limit") else { return Ok(LIMIT_DEFAULT) };
        let limit: i64 = text
            .parse()
            .map_err(|_| HttpError::bad_request(format!("limit={text}: write a number")))?;
        match usize::try_from(limit) {
            Ok(limit) if limit > LIMIT_MAX => Err(HttpError::bad_request(format!(
                "max entries limit per query exceeded, limit > max_entries_limit_per_query \
                 ({limit} > {LIMIT_MAX})"
            ))),
            Ok(limit) if limit > 0 => Ok(limit),
            _ => Err(HttpError::bad_request("limit must be a positive value")),
        }
    }

    pub(super) fn direction(&self) -> Result<Direction, HttpError> {
        let text = self.get("direction").unwrap_or("backward");
        match text.to_ascii_lowercase().as_str() {
            "backward" => Ok(Direction::Backward),
            "forward" => Ok(Direction::Forward),
            _ => {
                Err(HttpError::bad_request(format!("direction={text}: write backward or forward")))
            }
        }
    }

    /// `step` in nanoseconds; by default a 250th of the range, in whole seconds.
    pub(super) fn step(&self, start: i64, end: i64) -> Result<i64, HttpError> {
        let range = end.saturating_sub(start);
        let step = match self.get("step") {
            None => (range / SECOND / 250).max(1) * SECOND,
            Some(text) => seconds(text)
                .or_else(|| duration(text))
                .filter(|step| *step > 0)
                .ok_or_else(|| {
                    HttpError::bad_request(format!(
                        "step={text}: write seconds or a duration such as 30s, above 0"
                    ))
                })?,
        };
        if range / step > STEPS_MAX {
            return Err(HttpError::bad_request(
                "exceeded maximum resolution of 11,000 points per time series. Try increasing the \
                 value of the step parameter",
            ));
        }
        Ok(step)
    }
}

/// A time as Loki reads it: with a dot, seconds (to the millisecond); up to ten digits, seconds;
/// more, nanoseconds; else RFC 3339.
pub(crate) fn parse_time(text: &str) -> Option<i64> {
    if let Ok(number) = text.parse::<i64>() {
        return if text.len() <= 10 { number.checked_mul(SECOND) } else { Some(number) };
    }
    if text.contains('.')
        && let Ok(seconds) = text.parse::<f64>()
        && seconds.is_finite()
    {
        return Some(((seconds * 1000.0).round() as i64).saturating_mul(1_000_000));
    }
    chrono::DateTime::parse_from_rfc3339(text).ok()?.timestamp_nanos_opt()
}

fn seconds(text: &str) -> Option<i64> {
    let seconds: f64 = text.parse().ok()?;
    (seconds.is_finite() && seconds < 1e10).then_some((seconds * 1e9) as i64)
}

/// A duration such as `1h30m`, `15000ms` or `1.5h`: nanoseconds.
pub fn duration(text: &str) -> Option<i64> {
    let mut rest = text;
    let mut total = 0f64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit_end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        total += number * unit(&rest[..unit_end])?;
        rest = &rest[unit_end..];
    }
    (!text.is_empty() && total < 9e18).then_some(total as i64)
}

fn unit(name: &str) -> Option<f64> {
    Some(match name {
        "ns" => 1.0,
        "us" | "\u{b5}s" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        "m" => 60e9,
        "h" => 3600e9,
        "d" => 86_400e9,
        "w" => 604_800e9,
        "y" => 31_536_000e9,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_loki_reads_them() {
        assert_eq!(parse_time("4000000000"), Some(4_000_000_000 * SECOND));
        assert_eq!(parse_time("1700000000000000001"), Some(1_700_000_000_000_000_001));
        assert_eq!(parse_time("1700000000.1234"), Some(1_700_000_000_123_000_000));
        assert_eq!(parse_time("2023-11-14T22:13:20.000Z"), Some(1_700_000_000 * SECOND));
        assert_eq!(parse_time("yesterday"), None);
        assert_eq!(parse_time("NaN.0"), None);
    }

    #[test]
    fn durations_with_units() {
        assert_eq!(duration("1h30m"), Some(5_400 * SECOND));
        assert_eq!(duration("15000ms"), Some(15 * SECOND));
        assert_eq!(duration("1.5h"), Some(5_400 * SECOND));
        assert_eq!(duration("5"), None);
        assert_eq!(duration("5x"), None);
        assert_eq!(duration(""), None);
    }
}
