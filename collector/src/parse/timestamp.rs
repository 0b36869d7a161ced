//! A time as a line writes it, and the choice among the families of forms by the first bytes.

mod clock;
mod compact;
mod day_month;
mod epoch;
mod glog;
mod iso;
mod zone;

use nom::Parser;
use nom::branch::alt;

use super::civil::Civil;
use super::number::{Parsed, count_digits, refused};

pub(super) use glog::glog;

/// A time as a line writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timestamp {
    /// Nanoseconds since the epoch: the line told the zone, or counts from the epoch.
    Instant(i64),
    /// A date and a time of day without a zone.
    Civil(Civil),
}

impl Timestamp {
    /// A date and time of day, made an instant where the line told its zone (seconds east of UTC).
    fn of(civil: Civil, zone: Option<i32>) -> Option<Self> {
        match (civil.year, zone) {
            (Some(year), Some(offset)) => civil.instant(year, offset).map(Self::Instant),
            _ => Some(Self::Civil(civil)),
        }
    }
}

/// A time at the very start of the input, in any form but glog's (which is also a level).
#[inline]
pub(super) fn leading(input: &[u8]) -> Parsed<'_, Timestamp> {
    match input.first() {
        Some(b'0'..=b'9') => leading_number(input),
        Some(b'A'..=b'Z') => day_month::month_or_weekday(input),
        _ => refused(),
    }
}

fn leading_number(input: &[u8]) -> Parsed<'_, Timestamp> {
    const LONGEST: usize = 20;
    match count_digits(input, LONGEST) {
        4 => iso::year_first(input),
        1 => day_month::day_first(input),
        2 => alt((compact::short_year, day_month::day_first)).parse(input),
        6 => compact::six_six(input),
        10 | 13 | 16 | 19 => epoch::epoch(input),
        _ => refused(),
    }
}

/// The date of an HTTP access line, at the input's start: `14/Nov/2023:22:13:20 +0000`.
pub(super) fn access_date(input: &[u8]) -> Parsed<'_, Timestamp> {
    day_month::day_first(input)
}

#[cfg(test)]
mod tests {
    use super::super::timestamp;
    use super::*;

    fn civil(date: (i32, u8, u8), clock: (u8, u8, u8), nanos: u32) -> Option<Timestamp> {
        let (year, month, day) = date;
        let (hour, minute, second) = clock;
        let year = (year != 0).then_some(year);
        Some(Timestamp::Civil(Civil { year, month, day, hour, minute, second, nanos }))
    }

    /// `text` must be RFC 3339.
    fn instant(text: &str) -> Option<Timestamp> {
        let time = chrono::DateTime::parse_from_rfc3339(text).expect("RFC 3339");
        time.timestamp_nanos_opt().map(Timestamp::Instant)
    }

    fn check(cases: &[(&str, Option<Timestamp>)]) {
        for (line, expected) in cases {
            assert_eq!(timestamp(line.as_bytes()), *expected, "{line:?}");
        }
    }

    #[test]
    fn iso_with_a_zone() {
        let plain = instant("2026-08-20T10:00:00Z");
        check(&[
            ("2026-08-20T10:00:00Z up", plain),
            ("2026-08-20t10:00:00z up", plain),
            ("2026-08-20T12:00:00+02:00 up", plain),
            ("2026-08-20T12:00:00+0200 up", plain),
            ("2026-08-20 12:00:00+02 up", plain),
            ("2026-08-20 05:30:00 -0430 up", plain),
            ("2026-08-20 10:00:00 UTC [71] LOG: up", plain),
            ("2026-08-20 10:00:00 GMT up", plain),
            ("[2026-08-20T10:00:00Z] up", plain),
            ("\u{feff}  2026-08-20T10:00:00Z up", plain),
            ("2026-08-20T10:00:00.123456789Z", instant("2026-08-20T10:00:00.123456789Z")),
            ("2026-08-20T10:00:00,1Z", instant("2026-08-20T10:00:00.1Z")),
            ("2016-12-31T23:59:60Z", instant("2016-12-31T23:59:59.999999999Z")),
            ("\u{1b}[2m2026-08-20T10:00:00.5Z\u{1b}[0m up", instant("2026-08-20T10:00:00.5Z")),
        ]);
    }

    #[test]
    fn iso_without_a_zone() {
        let date = (2026, 8, 20);
        check(&[
            ("2026-08-20 10:00:00 up", civil(date, (10, 0, 0), 0)),
            ("2026-08-20T10:00:00", civil(date, (10, 0, 0), 0)),
            ("2026-08-20 10:00:00,123 INFO [main] up", civil(date, (10, 0, 0), 123_000_000)),
            ("2026-08-20 10:00:00.000001 up", civil(date, (10, 0, 0), 1_000)),
            ("[2026-08-20 10:00:00,007] up", civil(date, (10, 0, 0), 7_000_000)),
            ("2026/08/20 10:00:00 [error] 31#31: *1 up", civil(date, (10, 0, 0), 0)),
            ("2026-08-20 10:00:00, and more", civil(date, (10, 0, 0), 0)),
            ("2026-08-20 10:00:00 - root - up", civil(date, (10, 0, 0), 0)),
            ("2026-08-20 10:00:00 +12345 more", civil(date, (10, 0, 0), 0)),
            ("2026-08-20 10:00:00 -99 more", civil(date, (10, 0, 0), 0)),
        ]);
    }

    #[test]
    fn iso_look_alikes() {
        check(&[
            ("2026-08-20", None),
            ("2026-08/20 10:00:00", None),
            ("2026-02-29 10:00:00", None),
            ("2026-08-20 25:00:00", None),
            ("2026-08-20 10:00:001", None),
            ("2026-08-20 10:00", None),
            ("20260-08-20 10:00:00", None),
            ("0001-01-01T00:00:00Z", None),
            ("at 2026-08-20T10:00:00Z", None),
            ("((2026-08-20T10:00:00Z", None),
            ("", None),
        ]);
    }

    #[test]
    fn syslog() {
        check(&[
            ("Aug 20 10:00:00 host app[1]: up", civil((0, 8, 20), (10, 0, 0), 0)),
            ("Aug  2 10:00:00 host app: up", civil((0, 8, 2), (10, 0, 0), 0)),
            ("Aug 2 10:00:00 host app: up", civil((0, 8, 2), (10, 0, 0), 0)),
            ("<13>Feb 29 23:59:59.25 host up", civil((0, 2, 29), (23, 59, 59), 250_000_000)),
            (
                "<34>1 2026-08-20T10:00:00.003Z host app - - - up",
                instant("2026-08-20T10:00:00.003Z"),
            ),
            ("<34>1 - host app - - - up", None),
            ("<192>Aug 20 10:00:00 up", None),
            ("Aug 32 10:00:00 up", None),
            ("Aug20 10:00:00 up", None),
            ("August 20 10:00:00 up", None),
            ("Avg 20 10:00:00 up", None),
        ]);
    }

    #[test]
    fn weekday_first() {
        check(&[
            ("[Sun Dec 04 04:47:44 2005] [error] up", civil((2005, 12, 4), (4, 47, 44), 0)),
            ("Sun Dec  4 04:47:44.5 2005: up", civil((2005, 12, 4), (4, 47, 44), 500_000_000)),
            ("Sun Dec 04 04:47:44 soon", None),
        ]);
    }

    #[test]
    fn access_lines() {
        let time = instant("2023-11-14T22:13:20Z");
        check(&[
            (r#"10.0.0.1 - - [14/Nov/2023:22:13:20 +0000] "GET / HTTP/1.1" 200 2"#, time),
            (r#"::1 - ada [14/Nov/2023:23:13:20 +0100] "GET /""#, time),
            (r#"web.example 10.0.0.1 - - [14/Nov/2023:22:13:20 +0000] "GET /""#, time),
            (r#"host - - [14/Nov/2023:22:13:20] "GET""#, civil((2023, 11, 14), (22, 13, 20), 0)),
            ("[14/Nov/2023:22:13:20 +0000] up", time),
            ("14/Nov/2023:22:13:20 +0000 up", time),
            ("20-Aug-2026 10:00:00 up", civil((2026, 8, 20), (10, 0, 0), 0)),
            ("2 Aug 2026 10:00:00.5 up", civil((2026, 8, 2), (10, 0, 0), 500_000_000)),
            ("we saw it at [14/Nov/2023:22:13:20 +0000] again", None),
            ("a b [14/Nov/2023:22:13:20 +0000]", None),
            ("10.0.0.1 - - [31/Nov/2023:22:13:20 +0000]", None),
        ]);
    }

    #[test]
    fn short_and_compact_years() {
        check(&[
            ("17/06/09 20:10:40 INFO executor.Backend: up", civil((2017, 6, 9), (20, 10, 40), 0)),
            ("081109 203615 148 INFO dfs.DataNode: up", civil((2008, 11, 9), (20, 36, 15), 0)),
            ("20/08/2026 10:00:00 up", None),
            ("31/06/09 20:10:40", civil((2031, 6, 9), (20, 10, 40), 0)),
            ("17/13/09 20:10:40", None),
            ("081109 2036150 148", None),
            ("123456 123456 x", None),
        ]);
    }

    #[test]
    fn glog() {
        check(&[
            (
                "I0820 10:00:00.123456  1234 file.cc:12] up",
                civil((0, 8, 20), (10, 0, 0), 123_456_000),
            ),
            ("E20260820 10:00:00.5 1 file.cc:1] up", civil((2026, 8, 20), (10, 0, 0), 500_000_000)),
            ("W0230 10:00:00.123456 1 file.cc:1] up", None),
            ("X0820 10:00:00.123456 1 file.cc:1] up", None),
            ("I0820 is no time", None),
        ]);
    }

    #[test]
    fn counts_since_the_epoch() {
        let second = instant("2023-11-14T22:13:20Z");
        check(&[
            ("1700000000 up", second),
            ("1700000000000 up", second),
            ("1700000000000000\tup", second),
            ("1700000000000000000", second),
            ("[1700000000] up", second),
            ("1700000000.25 up", instant("2023-11-14T22:13:20.25Z")),
            ("1700000000. Up", second),
            ("17000000001 up", None),
            ("1700000000x up", None),
            ("9999999999 up", None),
            ("99999999999999999999999", None),
        ]);
    }

    #[test]
    fn json_values() {
        let second = instant("2023-11-14T22:13:20Z");
        let keyed = civil((2026, 8, 20), (10, 0, 0), 123_000_000);
        let long = format!(r#"{{"msg":"{}","ts":1700000000}}"#, "x".repeat(900));
        let too_long = format!(r#"{{"msg":"{}","ts":1700000000}}"#, "x".repeat(1100));
        check(&[
            (r#"{"time":"2023-11-14T22:13:20Z","msg":"up"}"#, second),
            (r#"{ "msg" : "up", "@timestamp" : "2023-11-14T22:13:20Z" }"#, second),
            (r#"{"level":30,"time":1700000000000,"pid":1}"#, second),
            (r#"{"ts":1700000000.25}"#, instant("2023-11-14T22:13:20.25Z")),
            (r#"{"timestamp":"2026-08-20 10:00:00,123"}"#, keyed),
            (r#"{"time":"soon","ts":1700000000}"#, second),
            (r#"{"msg":"\"time\":\"2023-11-14T22:13:20Z\""}"#, None),
            (r#"{"msg":"time","x":"2023-11-14T22:13:20Z"}"#, None),
            (r#"{"time":"#, None),
            (&long, second),
            (&too_long, None),
        ]);
    }

    #[test]
    fn logfmt_values() {
        let second = instant("2023-11-14T22:13:20Z");
        check(&[
            ("ts=2023-11-14T22:13:20Z caller=main.go:1 level=info", second),
            (r#"time="2023-11-14T22:13:20Z" level=info msg=up"#, second),
            ("level=info ts=1700000000.25 msg=up", instant("2023-11-14T22:13:20.25Z")),
            (r#"msg="at time=1700000000" level=info"#, None),
            (r#"msg="a \" time=1700000000" ts=1700000000000"#, second),
            ("it took time=1700000000", None),
            ("a=b and plain words time=1700000000", second),
        ]);
    }
}
