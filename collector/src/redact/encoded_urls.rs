//! Credentials in a URL that is a parameter of another one: `…?to=https%3A%2F%2Fuser%3Apassword%40host`.

use super::kind::Kind;
use super::scan::{Scan, Span};
use super::tag;

/// How long user and password may be together, in bytes.
const USERINFO_BYTES_MAX: usize = 1024;

/// The credentials behind an encoded `://` that ends at `start`.
pub(super) fn find(scan: &mut Scan<'_>, start: usize) {
    let text = scan.text;
    let limit = text.len().min(start + USERINFO_BYTES_MAX);
    let (mut at, mut colon, mut host) = (start, None, None);
    while at < limit {
        let (byte, len) = decoded(&text[at..]);
        match byte {
            b'/' | b'?' | b'#' | b'&' | b'"' | b'\'' | b'<' | b'>' | b'`' | b'\\' => break,
            byte if byte.is_ascii_whitespace() => break,
            b':' if colon.is_none() => colon = Some(at + len),
            b'@' => host = Some(at),
            _ => {}
        }
        at += len;
    }
    scan.spend(at.min(text.len()) - start);
    let Some(secret) = colon else { return };
    // Cut before its `@`, unless it is a port.
    let is_cut = scan.open && at >= text.len() && !text[secret..].iter().all(u8::is_ascii_digit);
    let Some(end) = host.or(is_cut.then_some(text.len())).filter(|end| *end > secret) else {
        return;
    };
    let value = &text[secret..end];
    let is_harmless =
        tag::is_tag(value) || value.starts_with(b"$") || value.iter().all(|byte| *byte == b'*');
    if !is_harmless {
        scan.push(Span::new(secret, end, Kind::Url));
    }
}

/// The first byte of a text, percent-encoded or not, and how many bytes it takes.
fn decoded(text: &[u8]) -> (u8, usize) {
    let digit = |at: usize| text.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    match (text[0], digit(1), digit(2)) {
        (b'%', Some(high), Some(low)) => ((high * 16 + low) as u8, 3),
        (byte, _, _) => (byte, 1),
    }
}
