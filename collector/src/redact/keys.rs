//! Keys that say themselves what they open: those of clouds, forges and services, and JSON web tokens.

use super::kind::Kind;
use super::scan::{Scan, Span};

/// The shortest first part of a JSON web token: `{"alg":"none"}` takes more.
const JWT_HEAD_BYTES_MIN: usize = 12;
const JWT_BYTES_MIN: usize = 24;

/// Which bytes a key has behind its prefix.
#[derive(Clone, Copy)]
enum Letters {
    Upper,
    Hex,
    Alnum,
    /// Letters, digits, `_` and `-`.
    Url,
    /// These and what else stands in base64, paths and tokens with dots.
    Wide,
}

/// How the keys of a service look.
pub(super) struct Shape {
    pub(super) prefix: &'static str,
    letters: Letters,
    /// The fewest bytes behind the prefix.
    least: usize,
    /// Its prefix is a word that base64 may have by chance: nothing of the kind stands before it.
    begins_word: bool,
}

const fn shape(prefix: &'static str, letters: Letters, least: usize) -> Shape {
    Shape { prefix, letters, least, begins_word: false }
}

const fn word(prefix: &'static str, letters: Letters, least: usize) -> Shape {
    Shape { prefix, letters, least, begins_word: true }
}

/// All prefixes have at least four bytes, and none is the beginning of another.
pub(super) const SHAPES: [Shape; 55] = [
    shape("AKIA", Letters::Upper, 16),
    shape("ASIA", Letters::Upper, 16),
    shape("ghp_", Letters::Alnum, 30),
    shape("gho_", Letters::Alnum, 30),
    shape("ghu_", Letters::Alnum, 30),
    shape("ghs_", Letters::Alnum, 30),
    shape("ghr_", Letters::Alnum, 30),
    shape("github_pat_", Letters::Url, 22),
    shape("glpat-", Letters::Url, 16),
    shape("gldt-", Letters::Url, 16),
    shape("glrt-", Letters::Url, 16),
    shape("xoxb-", Letters::Url, 16),
    shape("xoxp-", Letters::Url, 16),
    shape("xoxa-", Letters::Url, 16),
    shape("xoxr-", Letters::Url, 16),
    shape("xoxs-", Letters::Url, 16),
    shape("xapp-", Letters::Url, 16),
    shape("hooks.slack.com/services/", Letters::Wide, 16),
    shape("sk_live_", Letters::Alnum, 16),
    shape("sk_test_", Letters::Alnum, 16),
    shape("rk_live_", Letters::Alnum, 16),
    shape("rk_test_", Letters::Alnum, 16),
    shape("whsec_", Letters::Wide, 24),
    shape("AIza", Letters::Url, 35),
    shape("ya29.", Letters::Url, 20),
    shape("GOCSPX-", Letters::Url, 20),
    shape("sk-ant-", Letters::Url, 20),
    shape("sk-proj-", Letters::Url, 20),
    shape("sk-svcacct-", Letters::Url, 20),
    shape("npm_", Letters::Alnum, 36),
    shape("pypi-", Letters::Url, 50),
    shape("dop_v1_", Letters::Alnum, 40),
    shape("hvs.", Letters::Url, 24),
    shape("dckr_pat_", Letters::Url, 20),
    shape("glsa_", Letters::Url, 30),
    shape("shpat_", Letters::Alnum, 30),
    shape("ATATT3", Letters::Wide, 50),
    shape("ATCTT3", Letters::Wide, 50),
    shape("hvb.", Letters::Url, 24),
    shape(".atlasv1.", Letters::Url, 40),
    shape("glptt-", Letters::Url, 16),
    shape("glcbt-", Letters::Url, 16),
    shape("xoxe-", Letters::Url, 16),
    shape("PMAK-", Letters::Url, 40),
    shape("sntrys_", Letters::Wide, 40),
    shape("glc_", Letters::Wide, 32),
    shape("dckr_oat_", Letters::Url, 20),
    shape("xkeysib-", Letters::Url, 64),
    shape("NRAK-", Letters::Alnum, 24),
    shape("shpss_", Letters::Alnum, 30),
    shape("doo_v1_", Letters::Alnum, 40),
    shape("sq0csp-", Letters::Url, 40),
    word("dapi", Letters::Hex, 32),
    word("LTAI", Letters::Alnum, 16),
    word("AKCp", Letters::Alnum, 60),
];

impl Letters {
    fn has(self, byte: u8) -> bool {
        match self {
            Self::Upper => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
            Self::Hex => byte.is_ascii_hexdigit(),
            Self::Alnum => byte.is_ascii_alphanumeric(),
            Self::Url => byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'),
            Self::Wide => {
                byte.is_ascii_alphanumeric()
                    || matches!(byte, b'_' | b'-' | b'.' | b'/' | b'+' | b'=')
            }
        }
    }

    /// How many bytes of a key stand at the start.
    fn run(self, text: &[u8]) -> usize {
        text.iter().take_while(|byte| self.has(**byte)).count()
    }
}

/// A key whose prefix stands at `at`.
pub(super) fn find(scan: &mut Scan<'_>, shape: &Shape, at: usize) {
    let start = at + shape.prefix.len();
    let run = shape.letters.run(&scan.text[start..]);
    scan.spend(run);
    let end = start + run;
    let is_cut = scan.open && end == scan.text.len();
    let is_inside = shape.begins_word
        && at.checked_sub(1).is_some_and(|before| Letters::Wide.has(scan.text[before]))
        && scan.text[at - 1] != b'=';
    if (run >= shape.least || is_cut) && !is_inside {
        scan.push(Span::new(at, end, Kind::Key));
    }
}

/// The parts of a key of SendGrid behind its `SG.`, in bytes.
const SENDGRID_ID_BYTES: std::ops::RangeInclusive<usize> = 16..=32;
const SENDGRID_SECRET_BYTES_MIN: usize = 32;

/// A key of SendGrid, `SG.` and two parts, whose beginning is at `at`. Three bytes are too few for a
/// literal, so what stands before them belongs to it: a space, a quote, `=` or `:`.
pub(super) fn find_sendgrid(scan: &mut Scan<'_>, at: usize) {
    let text = scan.text;
    let id = at + b"SG.".len();
    let id_end = id + Letters::Url.run(&text[id..]);
    let dot = usize::from(text.get(id_end) == Some(&b'.'));
    let end = id_end + dot + Letters::Url.run(&text[id_end + dot..]);
    scan.spend(end - at);
    let is_key = SENDGRID_ID_BYTES.contains(&(id_end - id))
        && dot == 1
        && end - id_end > SENDGRID_SECRET_BYTES_MIN;
    if is_key || (scan.open && end == text.len()) {
        scan.push(Span::new(at, end, Kind::Key));
    }
}

/// A JSON web token, of which a part stands at `at`.
pub(super) fn find_jwt(scan: &mut Scan<'_>, at: usize) {
    if at < scan.covered {
        return;
    }
    let is_part = |byte: u8| Letters::Url.has(byte) || matches!(byte, b'.' | b'=');
    let text = scan.text;
    let behind = text[at..].iter().take_while(|byte| is_part(**byte)).count();
    let before = text[..at].iter().rev().take_while(|byte| is_part(**byte)).count();
    scan.spend(behind + before);
    let end = at + behind;
    let Some(first) = memchr::memmem::find(&text[at - before..end], b"eyJ") else { return };
    let start = at - before + first;
    let token = &text[start..end];
    let head = memchr::memchr(b'.', token).unwrap_or(token.len());
    let is_whole = head >= JWT_HEAD_BYTES_MIN && head < token.len() && token.len() >= JWT_BYTES_MIN;
    if is_whole || (scan.open && end == text.len()) {
        scan.push(Span::new(start, end, Kind::Jwt));
    }
}
