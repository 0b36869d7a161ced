//! Finds the level of a line: right after its time, as an access line's status, or in its text.

mod access;
mod scan;
mod word;

use sawlog_transport::Level;

use super::fields::{self, Wanted};
use super::narrow;
use super::opening::{Opening, colour};

pub(super) use word::value_level;

/// The level that the part of a line after its opening tells; `wide` is the line from its start.
pub(super) fn after_opening(wide: &[u8], opening: &Opening<'_>) -> Option<Level> {
    if opening.is_access
        && let Some(level) = access::status_level(opening.rest)
    {
        return Some(level);
    }
    let rest = if opening.timestamp.is_some() { skip_marks(opening.rest) } else { opening.rest };
    if opening.timestamp.is_some() {
        if rest.first() == Some(&b'{')
            && let Some(level) = fields::json(rest, Wanted { time: false, level: true }).level
        {
            return Some(level);
        }
        if let Some(level) = word::leading_level(narrow(wide, rest)) {
            return Some(level);
        }
    }
    in_text(wide, wide.len() - rest.len())
}

/// The first level that the text of `wide` from `from` on tells, within the short prefix.
pub(super) fn in_text(wide: &[u8], from: usize) -> Option<Level> {
    let text = &wide[..wide.len().min(super::PREFIX_BYTES)];
    scan::scan(text, from.min(text.len()))
}

/// Skips what usually stands between a time and a level.
fn skip_marks(mut rest: &[u8]) -> &[u8] {
    loop {
        rest = match rest.first() {
            Some(b' ' | b'\t' | b'[' | b']' | b'(' | b'<' | b'-' | b'|' | b':' | b',') => {
                &rest[1..]
            }
            Some(0x1b) => match colour(rest) {
                Ok((after, _)) => after,
                Err(_) => return rest,
            },
            _ => return rest,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::super::level;
    use super::*;

    fn check(cases: &[(&str, Level)]) {
        for (line, expected) in cases {
            assert_eq!(level(line.as_bytes()), *expected, "{line:?}");
        }
    }

    #[test]
    fn glog_letters() {
        check(&[
            ("I0820 10:00:00.123456  1234 file.cc:12] ERROR in text", Level::Info),
            ("W0820 10:00:00.123456  1234 file.cc:12] x", Level::Warn),
            ("E0820 10:00:00.123456  1234 file.cc:12] x", Level::Error),
            ("F0820 10:00:00.123456  1234 file.cc:12] x", Level::Fatal),
            ("E0820 was the part number", Level::Unknown),
        ]);
    }

    #[test]
    fn syslog_priorities() {
        check(&[
            ("<13>Aug 20 10:00:00 host app: ERROR", Level::Info),
            ("<11>Aug 20 10:00:00 host app: x", Level::Error),
            ("<0>x", Level::Fatal),
            ("<1>x", Level::Critical),
            ("<2>x", Level::Critical),
            ("<4>x", Level::Warn),
            ("<6>x", Level::Info),
            ("<191>1 2026-08-20T10:00:00Z host x", Level::Debug),
            ("<192>x", Level::Unknown),
            ("<1234>x", Level::Unknown),
        ]);
    }

    #[test]
    fn json_keys() {
        check(&[
            (r#"{"level":"error","msg":"x"}"#, Level::Error),
            (r#"{"msg":"WARN x", "Severity" : "NOTICE"}"#, Level::Info),
            (r#"{"lvl":"dbg"}"#, Level::Debug),
            (r#"{"log.level":"WARN"}"#, Level::Warn),
            (r#"{"level":"nonsense","severity":"fatal"}"#, Level::Fatal),
            (r#"{"level":10}"#, Level::Trace),
            (r#"{"level":20}"#, Level::Debug),
            (r#"{"level":30,"time":1}"#, Level::Info),
            (r#"{"level":40}"#, Level::Warn),
            (r#"{"level":50}"#, Level::Error),
            (r#"{"level":60}"#, Level::Fatal),
            (r#"{"level":600}"#, Level::Unknown),
            (r#"{"level":3.5}"#, Level::Unknown),
            (r#"{"msg":"\"level\":\"error\""}"#, Level::Unknown),
            (r#"{"msg":"level","x":"error"}"#, Level::Unknown),
            (r#"{"msg":"ERROR x"}"#, Level::Error),
            (r#"2026-08-20T10:00:00Z {"msg":"x","level":"warn"}"#, Level::Warn),
            (r#"{"level":"#, Level::Unknown),
        ]);
        let far = |n| format!(r#"{{"msg":"{}","level":"error"}}"#, "x".repeat(n));
        check(&[(&far(900), Level::Error), (&far(1100), Level::Unknown)]);
    }

    #[test]
    fn logfmt_keys() {
        check(&[
            ("ts=2023-11-14T22:13:20Z level=warn msg=x", Level::Warn),
            (r#"time="2023-11-14T22:13:20Z" level="error" msg=x"#, Level::Error),
            ("a=b severity=CRITICAL", Level::Critical),
            ("lvl=eror x", Level::Unknown),
            (r#"msg="got level=error" level=info"#, Level::Info),
            ("something then level=debug", Level::Debug),
            ("something then sublevel=debug", Level::Unknown),
        ]);
    }

    #[test]
    fn right_after_the_time_any_case() {
        check(&[
            ("2026-08-20 10:00:00,123 INFO [main] ERROR", Level::Info),
            ("2026-08-20 10:00:00.123  WARN 1 --- [main] x", Level::Warn),
            ("2026-08-20T10:00:00Z error x", Level::Error),
            ("2026-08-20T10:00:00Z errors x", Level::Unknown),
            ("2015-07-29 17:41:44,747 - Warning  [QuorumPeer] x", Level::Warn),
            ("2026/08/20 10:00:00 [crit] 31#31: x", Level::Critical),
            ("[Sun Dec 04 04:47:44 2005] [notice] x", Level::Info),
            ("[2026-08-20T10:00:00Z] [dbg] x", Level::Debug),
            ("17/06/09 20:10:40 INFO executor.Backend: x", Level::Info),
            ("081109 203615 148 INFO dfs.DataNode: x", Level::Info),
            ("\u{1b}[2m2026-08-20T10:00:00Z\u{1b}[0m \u{1b}[31mError\u{1b}[0m x", Level::Error),
            ("2026-08-20T10:00:00Z INF x", Level::Info),
        ]);
    }

    #[test]
    fn brackets_any_case() {
        check(&[
            ("x [error] y", Level::Error),
            ("x [ Info ] y", Level::Info),
            ("x [core:warn] [pid 1] y", Level::Warn),
            ("x [error in y] z", Level::Unknown),
            ("x [errors] z", Level::Unknown),
            ("x error] z", Level::Unknown),
        ]);
    }

    #[test]
    fn free_text_in_capitals_only() {
        check(&[
            ("no error found", Level::Unknown),
            ("Error: no such file", Level::Unknown),
            ("ERROR foo", Level::Error),
            ("app.ERROR: foo", Level::Error),
            ("ERRORS foo", Level::Unknown),
            ("MYERROR foo", Level::Unknown),
            ("ERROR_CODE foo", Level::Unknown),
            ("ERRORlike foo", Level::Unknown),
            ("\u{1b}[31mERROR\u{1b}[0m foo", Level::Error),
            ("itemERROR foo", Level::Unknown),
            ("WARN then ERROR", Level::Warn),
            ("a message with INF in it", Level::Unknown),
            ("", Level::Unknown),
        ]);
    }

    #[test]
    fn every_word() {
        let words = [
            ("TRACE", Level::Trace),
            ("DEBUG", Level::Debug),
            ("FINE", Level::Debug),
            ("INFO", Level::Info),
            ("NOTICE", Level::Info),
            ("WARN", Level::Warn),
            ("WARNING", Level::Warn),
            ("ERROR", Level::Error),
            ("ERR", Level::Error),
            ("SEVERE", Level::Error),
            ("CRITICAL", Level::Critical),
            ("CRIT", Level::Critical),
            ("ALERT", Level::Critical),
            ("FATAL", Level::Fatal),
            ("PANIC", Level::Fatal),
            ("EMERG", Level::Fatal),
        ];
        for (word, expected) in words {
            for before in 0..70 {
                let text = format!("{}{word}: y", "- ".repeat(before));
                assert_eq!(level(text.as_bytes()), expected, "{text}");
            }
            let lower = word.to_lowercase();
            assert_eq!(level(format!("x [{lower}] y").as_bytes()), expected, "{word}");
            assert_eq!(level(format!("x {lower} y").as_bytes()), Level::Unknown, "{word}");
        }
    }

    #[test]
    fn access_statuses() {
        let line = |request: &str, status: &str| {
            format!(r#"10.0.0.1 - - [14/Nov/2023:22:13:20 +0000] "{request}" {status} 2 "-""#)
        };
        check(&[
            (&line("GET / HTTP/1.1", "200"), Level::Info),
            (&line("GET /FATAL HTTP/1.1", "304"), Level::Info),
            (&line("GET / HTTP/1.1", "404"), Level::Warn),
            (&line("GET / HTTP/1.1", "503"), Level::Error),
            (&line(r#"GET /\"x 200 HTTP/1.1"#, "500"), Level::Error),
            (&line(&format!("GET /{} HTTP/1.1", "x".repeat(500)), "500"), Level::Error),
            (&line("GET / HTTP/1.1", "-"), Level::Unknown),
            (&line("GET / HTTP/1.1", "2000"), Level::Unknown),
            (&line("GET / HTTP/1.1", "99"), Level::Unknown),
            (&line("GET / HTTP/1.1", "")[..40], Level::Unknown),
            (r#"[2026-08-20T10:00:00Z] "GET / HTTP/2" 503 UF"#, Level::Error),
            (r#"2026-08-20T10:00:00Z "some text" 503 x"#, Level::Unknown),
        ]);
    }
}
