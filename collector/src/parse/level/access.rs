//! The level of an HTTP access line: that of its status.

use nom::Parser;
use nom::character::complete::char;
use nom::combinator::verify;
use nom::sequence::delimited;
use sawlog_transport::Level;

use crate::parse::fields::quoted_len;
use crate::parse::number::{digits, no_digit};

/// Reads ` "GET / HTTP/1.1" 200`: 5xx is an error, 4xx a warning, everything else information;
/// `None` if there is no status.
pub(super) fn status_level(rest: &[u8]) -> Option<Level> {
    let request = rest.strip_prefix(b" ").filter(|rest| rest.starts_with(b"\""))?;
    let after = &request[quoted_len(request)..];
    let status = verify(digits::<3>, |status| (100..600).contains(status));
    let parsed = delimited(char(' '), status, no_digit).parse(after);
    match parsed.ok()?.1 {
        500.. => Some(Level::Error),
        400.. => Some(Level::Warn),
        _ => Some(Level::Info),
    }
}
