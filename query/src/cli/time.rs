//! Points in time as they are typed, and as the server is asked.

use super::client::CliError;

/// Servers' clocks differ from ours; what is new is to be found all the same: nanoseconds.
const AHEAD: i64 = 60_000_000_000;

/// Nanoseconds since the epoch.
pub(super) fn now() -> i64 {
    chrono::Utc::now().timestamp_nanos_opt().unwrap_or(i64::MAX)
}

/// From `since` until `until`, or until now and a little further: nanoseconds since the epoch.
pub(super) fn range(since: &str, until: Option<&str>) -> Result<(i64, i64), CliError> {
    let now = now();
    let start = time("since", since, now)?;
    let end = match until {
        Some(until) => time("until", until, now)?,
        None => now.saturating_add(AHEAD),
    };
    Ok((start, end))
}

/// A point in time, or one so long ago: nanoseconds since the epoch.
pub(super) fn time(name: &'static str, text: &str, now: i64) -> Result<i64, CliError> {
    if text == "now" {
        return Ok(now);
    }
    crate::http::duration(text)
        .map(|ago| now.saturating_sub(ago))
        .or_else(|| crate::http::parse_time(text))
        .ok_or_else(|| CliError::Time { name, text: text.to_owned() })
}

/// As parameters are written.
pub(super) fn rfc3339(time: i64) -> String {
    let format = chrono::SecondsFormat::Nanos;
    chrono::DateTime::from_timestamp_nanos(time).to_rfc3339_opts(format, true)
}
