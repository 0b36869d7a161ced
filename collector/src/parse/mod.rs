//! Reads a line's time and level from its first bytes, in place: never fails, never allocates.
//!
//! A line that follows no known form simply has no time and an unknown level.

mod civil;
mod fields;
mod level;
mod number;
mod opening;
mod timestamp;

pub use civil::Civil;
use sawlog_transport::Level;
pub use timestamp::Timestamp;

use fields::Wanted;
pub(crate) use fields::quoted_len;
pub(crate) use number::{Parsed, accept, refused};

/// How much of a line is looked at, in bytes: times at the start, words that name a level.
pub const PREFIX_BYTES: usize = 256;

/// How much is looked at where a form tells exactly where to look: the keys of a JSON line, the
/// status of an HTTP access line.
pub const STRUCTURED_PREFIX_BYTES: usize = 1024;

/// What the start of a line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The time the line claims; not yet judged plausible.
    pub timestamp: Option<Timestamp>,
    pub level: Level,
}

/// The time and the level of a line in one pass; cheaper than asking for both one by one.
pub fn head(line: &[u8]) -> Head {
    inspect(line, Wanted { time: true, level: true })
}

/// The time a line claims: at its start (after a byte order mark, blanks, colours, `<priority>` and
/// `[`), in an access line's brackets, or under the usual keys of a JSON or logfmt line.
pub fn timestamp(line: &[u8]) -> Option<Timestamp> {
    inspect(line, Wanted { time: true, level: false }).timestamp
}

/// The level a line claims; the first claim counts.
pub fn level(line: &[u8]) -> Level {
    inspect(line, Wanted { time: false, level: true }).level
}

/// A time with a zone at the very start of `text`, in nanoseconds since the epoch, and what follows it.
pub(crate) fn leading_instant(text: &[u8]) -> Option<(i64, &[u8])> {
    // As RFC 3339 has it: the `T` tells it from the other forms.
    if text.get(10) != Some(&b'T') {
        return None;
    }
    match timestamp::leading(text) {
        Ok((rest, Timestamp::Instant(time))) => Some((time, rest)),
        _ => None,
    }
}

fn inspect(line: &[u8], wanted: Wanted) -> Head {
    let wide = &line[..line.len().min(STRUCTURED_PREFIX_BYTES)];
    let body = opening::skip_margin(wide);
    if body.first() == Some(&b'{') {
        return inspect_json(wide, body, wanted);
    }
    let opening = opening::opening(body);
    let mut timestamp = opening.timestamp;
    let mut level = opening.level;
    if timestamp.is_none() && fields::is_logfmt(body) {
        let found = fields::logfmt(narrow(wide, body), wanted);
        timestamp = found.time;
        level = level.or(found.level);
    }
    if wanted.level && level.is_none() {
        level = level::after_opening(wide, &opening);
    }
    Head { timestamp, level: level.unwrap_or_default() }
}

fn inspect_json(wide: &[u8], body: &[u8], wanted: Wanted) -> Head {
    let mut found = fields::json(body, wanted);
    if wanted.level && found.level.is_none() {
        found.level = level::in_text(wide, wide.len() - body.len());
    }
    Head { timestamp: found.time, level: found.level.unwrap_or_default() }
}

/// The part of `rest` that lies in the first [`PREFIX_BYTES`] of the line; `rest` is a tail of `wide`.
fn narrow<'a>(wide: &'a [u8], rest: &'a [u8]) -> &'a [u8] {
    let before = wide.len() - rest.len();
    &rest[..rest.len().min(PREFIX_BYTES.saturating_sub(before))]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Bytes that often come close to a known form.
    fn near_lines() -> impl Strategy<Value = Vec<u8>> {
        let part = prop_oneof![
            Just("2026-08-20T10:00:00".to_owned()),
            Just("{\"level\":\"".to_owned()),
            Just("\"ts\":".to_owned()),
            Just("ts=\"".to_owned()),
            Just("level=".to_owned()),
            Just("[error]".to_owned()),
            Just("ERROR".to_owned()),
            Just("<13>1 ".to_owned()),
            Just("I0820 10:00:00.".to_owned()),
            Just("Aug  2 10:00:60".to_owned()),
            Just("10.0.0.1 - - [14/Nov/2023:22:13:20 +0000] \"GET".to_owned()),
            Just("\u{1b}[31m".to_owned()),
            "[0-9]{1,19}",
            "[ \\[\\]\"=:,.{}Z+-]{1,3}",
            "\\PC{0,12}",
        ];
        prop::collection::vec(part, 0..40).prop_map(|parts| parts.concat().into_bytes())
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(line in prop::collection::vec(any::<u8>(), 0..1500)) {
            let found = head(&line);
            prop_assert_eq!(found.timestamp, timestamp(&line));
            prop_assert_eq!(found.level, level(&line));
        }

        #[test]
        fn near_lines_are_taken(line in near_lines()) {
            let found = head(&line);
            prop_assert_eq!(found.timestamp, timestamp(&line));
            prop_assert_eq!(found.level, level(&line));
        }

        #[test]
        fn what_follows_the_prefix_changes_nothing(
            line in near_lines(),
            fill in any::<u8>(),
            tail in near_lines(),
        ) {
            let mut line = line;
            line.resize(STRUCTURED_PREFIX_BYTES.max(line.len()), fill);
            let before = head(&line);
            line.extend_from_slice(&tail);
            prop_assert_eq!(head(&line), before);
        }

        #[test]
        fn unstructured_text_counts_in_the_short_prefix_only(tail in "[ A-Z\\[\\]=]{0,99}") {
            let line = "plain ".repeat(50);
            prop_assert_eq!(level(format!("{line}{tail} ERROR").as_bytes()), Level::Unknown);
        }
    }
}
