//! Values that an operator named: found as they are, in JSON, in URLs and in base64.

use aho_corasick::{AhoCorasick, BuildError, Input, MatchKind};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use super::kind::Kind;
use super::scan::{Scan, Span};

/// At a cut, the beginning of a value is hidden from so many bytes on.
const CUT_BYTES_MIN: usize = 4;

/// One way in which a value may be written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Written {
    text: Vec<u8>,
    /// Which value.
    secret: usize,
    /// Whether bytes of base64 beside it hold some of its bits.
    edges: bool,
}

/// The values, in all ways in which they are looked for.
pub(super) struct Exact {
    secrets: Vec<Vec<u8>>,
    written: Vec<Written>,
    search: AhoCorasick,
}

impl Exact {
    /// `None` without any value.
    ///
    /// # Errors
    /// They are more than a search can hold.
    pub(super) fn new(secrets: Vec<Vec<u8>>) -> Result<Option<Self>, BuildError> {
        let mut written: Vec<Written> =
            secrets.iter().enumerate().flat_map(|(n, secret)| ways(n, secret)).collect();
        written.sort();
        written.dedup_by(|a, b| a.text == b.text);
        if written.is_empty() {
            return Ok(None);
        }
        let texts = written.iter().map(|written| &written.text);
        let search = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(texts)?;
        Ok(Some(Self { secrets, written, search }))
    }

    /// Where the first value from `from` on starts.
    pub(super) fn next(&self, text: &[u8], from: usize) -> Option<usize> {
        self.search.find(Input::new(text).range(from..)).map(|found| found.start())
    }

    /// What the tag of a value is made of: the same however it was written.
    pub(super) fn secret(&self, number: usize) -> &[u8] {
        &self.secrets[number]
    }

    pub(super) fn find(&self, scan: &mut Scan<'_>) {
        let text = scan.text;
        let mut at = 0;
        while at < text.len()
            && let Some(found) = self.search.find(Input::new(text).range(at..))
        {
            let written = &self.written[found.pattern().as_usize()];
            if !scan.spend(written.text.len()) {
                return;
            }
            let (mut start, mut end) = (found.start(), found.end());
            if written.edges {
                start -= usize::from(start > 0 && is_base64(text[start - 1]));
                let rest = &text[end..];
                end += rest
                    .iter()
                    .take(3)
                    .take_while(|byte| is_base64(**byte) || **byte == b'=')
                    .take(1)
                    .count();
                end += text[end..].iter().take(2).take_while(|byte| **byte == b'=').count();
            }
            scan.push(Span { exact: Some(written.secret), ..Span::new(start, end, Kind::Exact) });
            // Another value may begin inside of this one.
            at = found.start() + 1;
        }
        if scan.open {
            self.find_open(scan);
        }
    }

    /// The beginning of a value at the end of a line that was cut.
    fn find_open(&self, scan: &mut Scan<'_>) {
        let text = scan.text;
        let cut = self.written.iter().filter_map(|written| {
            let longest = (written.text.len() - 1).min(text.len());
            (CUT_BYTES_MIN..=longest).rev().find(|len| text.ends_with(&written.text[..*len]))
        });
        if let Some(len) = cut.max() {
            scan.push(Span::new(text.len() - len, text.len(), Kind::Exact));
        }
    }
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_')
}

fn ways(number: usize, secret: &[u8]) -> Vec<Written> {
    let plain = |text| Written { text, secret: number, edges: false };
    let mut all = vec![plain(secret.to_vec()), plain(json(secret))];
    // RFC 3986, JavaScript's encodeURIComponent, and forms.
    for (kept, plus) in [(&b"-._~"[..], false), (b"-._~!'()*", false), (b"*-._", true)] {
        all.push(plain(url(secret, kept, plus, b"0123456789ABCDEF")));
        all.push(plain(url(secret, kept, plus, b"0123456789abcdef")));
    }
    for before in 0..3 {
        all.push(Written { text: base64(secret, before, false), secret: number, edges: true });
        all.push(Written { text: base64(secret, before, true), secret: number, edges: true });
    }
    all
}

fn json(secret: &[u8]) -> Vec<u8> {
    let escaped = secret.iter().flat_map(|byte| match byte {
        b'"' | b'\\' => vec![b'\\', *byte],
        b'\t' => b"\\t".to_vec(),
        byte => vec![*byte],
    });
    escaped.collect()
}

fn url(secret: &[u8], kept: &[u8], plus: bool, digits: &[u8; 16]) -> Vec<u8> {
    let encoded = secret.iter().flat_map(|byte| match byte {
        b' ' if plus => vec![b'+'],
        byte if byte.is_ascii_alphanumeric() || kept.contains(byte) => vec![*byte],
        byte => vec![b'%', digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]],
    });
    encoded.collect()
}

/// What base64 surely has of a secret with so many bytes before it (modulo 3), whatever stands around.
fn base64(secret: &[u8], before: usize, url_safe: bool) -> Vec<u8> {
    let bytes = [&[0; 2][..before], secret].concat();
    let text =
        if url_safe { URL_SAFE_NO_PAD.encode(&bytes) } else { STANDARD_NO_PAD.encode(&bytes) };
    let first = (before * 8).div_ceil(6);
    let last = bytes.len() * 8 / 6;
    text.as_bytes()[first..last].to_vec()
}
