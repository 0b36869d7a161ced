//! The table: each detector in each way of leaking. A row or a column is one entry of a list, and what
//! they give together is played, so that no cell can be forgotten.

use super::encodings::{base64, digits, json, letters, percent};
use sawlog_transport::limits::LINE_BYTES_MAX;

/// When the second part of a cell's text is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// There is none.
    Never,
    /// When the first one was read, by the same process, which waits for the line's end.
    Read,
    /// When the first one was handed on as a line without an end.
    HandedOn,
    /// When the process that read the first one was killed, and there is another.
    Killed,
}

/// One detector and one way.
pub(super) struct Cell {
    pub(super) name: String,
    pub(super) then: Then,
    pub(super) first: Vec<u8>,
    pub(super) second: Vec<u8>,
    /// The secret as it is written; none of its pieces may be found.
    written: Vec<Vec<u8>>,
    /// Whether the secret stands in one piece in what is handed on without redaction.
    pub(super) is_whole: bool,
}

/// Bytes of a secret that must not be found anywhere.
const PIECE_BYTES: usize = 8;

impl Cell {
    /// Parts of the secret: its beginning, middle and end.
    pub(super) fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        self.written.iter().flat_map(|secret| {
            let last = secret.len().saturating_sub(PIECE_BYTES);
            let end = PIECE_BYTES.min(secret.len());
            [0, last / 2, last].map(|start| &secret[start..start + end])
        })
    }
}

/// A secret and what must stand around it.
struct Leak {
    before: &'static str,
    secret: String,
    after: &'static str,
}

/// A row of the table; gives the secret of a number, so that each cell has its own.
type Detector = (&'static str, fn(usize) -> Leak);

fn bare(secret: String) -> Leak {
    Leak { before: "", secret, after: "" }
}

fn behind(before: &'static str, n: usize) -> Leak {
    Leak { before, secret: letters(n, 20), after: "" }
}

/// Values that an operator names.
const EXACT: [Detector; 3] = [
    ("words", |n| bare(format!("my own s3cret {n:03}"))),
    ("quoted", |n| bare(format!("pa\"ss\\w{n:03}rd/+&=x"))),
    ("eight bytes", |n| bare(format!("k8Zq{n:03}x"))),
];

const SHAPED: [Detector; 20] = [
    ("JWT", |n| {
        let (claims, signature) = (letters(n, 20), letters(n + 1, 43));
        bare(format!("eyJhbGciOiJIUzI1NiJ9.eyJ{claims}.{signature}"))
    }),
    ("AWS", |n| bare(format!("AKIA{}", letters(n, 16).to_ascii_uppercase()))),
    ("GitHub", |n| bare(format!("ghp_{}", letters(n, 36)))),
    ("GitLab", |n| bare(format!("glpat-{}", letters(n, 20)))),
    ("Slack", |n| bare(format!("xoxb-{}", letters(n, 40)))),
    ("Stripe", |n| bare(format!("sk_live_{}", letters(n, 24)))),
    ("Google", |n| bare(format!("AIza{}", letters(n, 35)))),
    ("npm", |n| bare(format!("npm_{}", letters(n, 36)))),
    ("Vault", |n| bare(format!("hvs.{}", letters(n, 30)))),
    ("Databricks", |n| bare(format!("dapi{:032x}", n * 0x0123_4567 + 0xabcd_ef01_2345_6789))),
    ("SendGrid", |n| Leak {
        before: "key=",
        secret: format!("SG.{}.{}", letters(n, 22), letters(n + 1, 43)),
        after: "",
    }),
    ("bearer token", |n| behind("Authorization: Bearer ", n)),
    ("basic credentials", |n| Leak {
        before: "Authorization: Basic ",
        secret: base64(format!("app:{}", letters(n, 20)).as_bytes()),
        after: "",
    }),
    ("cookie", |n| Leak { before: "Cookie: sid=", secret: letters(n, 20), after: "; theme=dark" }),
    ("password in a URL", |n| Leak {
        before: "postgres://app:",
        secret: letters(n, 20),
        after: "@db:5432/x",
    }),
    ("signed URL", |n| Leak {
        before: "https://h/c?sv=1&sig=",
        secret: format!("{}%3D", letters(n, 43)),
        after: "&se=2",
    }),
    ("URL in a URL", |n| Leak {
        before: "to=https%3A%2F%2Fapp%3A",
        secret: letters(n, 20),
        after: "%40db%2Fx",
    }),
    ("pair", |n| behind("DB_PASSWORD=", n)),
    ("curl", |n| Leak { before: "curl -u app:", secret: letters(n, 20), after: " http://h/" }),
    ("card", |n| bare(digits(n))),
];

/// A text in which a secret leaks, or two parts of it; and the secret as it is written there.
struct Text {
    then: Then,
    first: Vec<u8>,
    second: Vec<u8>,
    written: Vec<u8>,
    is_whole: bool,
}

impl Text {
    fn of(text: String, written: String) -> Self {
        let (first, written) = (text.into_bytes(), written.into_bytes());
        Self { then: Then::Never, first, second: Vec::new(), written, is_whole: true }
    }

    /// The leak as it is, between two texts.
    fn around(head: &str, leak: &Leak, tail: &str) -> Self {
        let Leak { before, secret, after } = leak;
        Self::of(format!("{head}{before}{secret}{after}{tail}"), secret.clone())
    }

    /// Two parts, so many bytes of the secret in the first one.
    fn cut(leak: &Leak, inside: usize, then: Then) -> Self {
        let whole = Self::around("using ", leak, " now");
        let at = b"using ".len() + leak.before.len() + inside;
        let (first, second) = whole.first.split_at(at);
        let (first, second) = (first.to_vec(), second.to_vec());
        Self { then, first, second, is_whole: then != Then::HandedOn, ..whole }
    }
}

/// A column of the table.
type Way = (&'static str, fn(&Leak) -> Text);

/// Those of all secrets.
const WAYS: [Way; 7] = [
    ("plain", |leak| Text::around("2026-11-22T10:00:00Z INFO connecting with ", leak, " now")),
    ("header", |leak| Text::around("> X-Something: ", leak, "")),
    ("ANSI", |leak| Text::around("\x1b[32mINFO\x1b[0m with \x1b[1;31m", leak, "\x1b[0m!")),
    ("ANSI inside", |leak| {
        let (a, b) = leak.secret.split_at(leak.secret.len() / 2);
        let written = format!("{a}\x1b[31m{b}");
        Text::of(format!("with {}{written}\x1b[0m{}!", leak.before, leak.after), written)
    }),
    ("two reads", |leak| Text::cut(leak, leak.secret.len() / 2, Then::Read)),
    ("two reads, its beginning handed on", |leak| {
        Text::cut(leak, leak.secret.len() / 3, Then::HandedOn)
    }),
    ("two reads, handed on before it", |leak| Text::cut(leak, 0, Then::HandedOn)),
];

/// Those of secrets with a shape.
const SHAPED_WAYS: [Way; 2] = [
    ("JSON", |leak| Text::around(r#"{"level":"info","msg":"using "#, leak, r#"","n":1}"#)),
    ("URL", |leak| Text::around("GET https://example.org/a?x=", leak, "&y=2 HTTP/1.1")),
];

/// Those of values that an operator names.
const EXACT_WAYS: [Way; 10] = [
    ("JSON", |leak| {
        let written = json(&leak.secret);
        Text::of(format!(r#"{{"msg":"using {written}","n":1}}"#), written)
    }),
    ("logfmt", |leak| {
        let written = json(&leak.secret);
        Text::of(format!("level=info v=\"{written}\" n=1"), written)
    }),
    ("URL", |leak| {
        let written = percent(&leak.secret, false);
        Text::of(format!("GET /?q={written}&y=2 HTTP/1.1"), written)
    }),
    ("URL-encoded form", |leak| {
        let written = percent(&leak.secret, true);
        Text::of(format!("body q={written}&y=2"), written)
    }),
    ("base64", |leak| encoded("", leak)),
    ("base64 behind other bytes", |leak| encoded("user:", leak)),
    ("stack trace", |leak| {
        Text::around(
            "java.io.IOException: no\n\tat com.example.Pool.open(",
            leak,
            ")\n\tat x.Y.z(1)",
        )
    }),
    ("long line, before its cut", |leak| long(leak, 1000)),
    ("long line, across its cut", |leak| Text {
        is_whole: false,
        ..long(leak, LINE_BYTES_MAX - leak.secret.len() / 2)
    }),
    ("long line, behind its cut", |leak| Text {
        is_whole: false,
        ..long(leak, LINE_BYTES_MAX + 1000)
    }),
];

/// Base64 of the secret behind some bytes: what surely is of the secret has no edges.
fn encoded(before: &str, leak: &Leak) -> Text {
    let all = base64(format!("{before}{}", leak.secret).as_bytes());
    let written = all[before.len() * 4 / 3 + 1..all.len() - 4].to_owned();
    Text::of(format!("data {all} end"), written)
}

/// A line longer than lines may be, with the secret so far behind its start.
fn long(leak: &Leak, at: usize) -> Text {
    let filler = "many words ".repeat(LINE_BYTES_MAX / 11 + 200);
    Text::around(
        &filler[..at - 1],
        &Leak { before: " ", secret: leak.secret.clone(), after: " " },
        &filler,
    )
}

/// A way of a private key: when its second part comes, and both parts.
type PemWay = (&'static str, fn(&[String]) -> (Then, String, String));

/// Ways of private keys, of which each line is a secret.
const PEM_WAYS: [PemWay; 5] = [
    ("over lines", |key| (Then::Never, key.join("\n"), String::new())),
    ("JSON", |key| {
        (Then::Never, format!(r#"{{"key":"{}\n","n":1}}"#, key.join("\\n")), String::new())
    }),
    ("two reads", |key| halves(key, Then::Read, 10)),
    ("two reads, its beginning handed on", |key| halves(key, Then::HandedOn, 10)),
    ("kill -9 inside", |key| halves(key, Then::Killed, 0)),
];

/// A key cut in its third line; so many bytes of that are in the first half.
fn halves(key: &[String], then: Then, inside: usize) -> (Then, String, String) {
    let (a, b) = key[2].split_at(inside);
    let first = format!("{}\n{}\n{a}", key[0], key[1]);
    (then, first, [&[b.to_owned()], &key[3..]].concat().join("\n"))
}

/// All cells.
pub(super) fn all() -> Vec<Cell> {
    let mut cells = Vec::new();
    for (row, detectors, own) in
        [("exact", &EXACT[..], &EXACT_WAYS[..]), ("shaped", &SHAPED[..], &SHAPED_WAYS[..])]
    {
        for (detector, leak) in detectors {
            for (way, text) in WAYS.iter().chain(own) {
                let Text { then, first, second, written, is_whole } = text(&leak(cells.len()));
                let name = format!("{row} {detector} × {way}");
                cells.push(Cell { name, then, first, second, written: vec![written], is_whole });
            }
        }
    }
    for (way, halves) in PEM_WAYS {
        let n = cells.len();
        let mut key: Vec<String> = (0..4).map(|line| letters(n * 4 + line, 64)).collect();
        let written = key.iter().map(|line| line.clone().into_bytes()).collect();
        key.insert(0, "-----BEGIN RSA PRIVATE KEY-----".into());
        key.push("-----END RSA PRIVATE KEY-----".into());
        let (then, first, second) = halves(&key);
        let (first, second, name) =
            (first.into_bytes(), second.into_bytes(), format!("PEM × {way}"));
        cells.push(Cell { name, then, first, second, written, is_whole: true });
    }
    assert_eq!(cells.len(), 3 * (7 + 10) + 20 * (7 + 2) + 5);
    cells
}

/// The values that an operator names, in the form of a secret file.
pub(super) fn named_values() -> String {
    let per_detector = WAYS.len() + EXACT_WAYS.len();
    let values = (0..EXACT.len() * per_detector).map(|n| EXACT[n / per_detector].1(n).secret);
    values.map(|value| value + "\n").collect()
}
