//! Text made of what secrets are made of: the look at whole blocks must leave out no line that the
//! detectors would change, and must leave out most of what only looks like a secret.

use proptest::prelude::*;

use super::tests::{block, redactor};
use super::*;

/// What stands between, before and behind the literals of secrets.
const AROUND: [&str; 60] = [
    "=",
    ":",
    ": ",
    " = ",
    "=>",
    "\"",
    "'",
    "\\\"",
    "\":\"",
    "\", \"",
    " ",
    "  ",
    "_",
    "-",
    ".",
    ",",
    ";",
    "&",
    "--",
    "[",
    "]",
    "{",
    "}",
    "<",
    ">",
    "/",
    "://",
    "http://",
    "ssh://git@",
    "u:p@",
    "@",
    "@@",
    "a",
    "X",
    "my",
    "db",
    "app",
    "x7",
    "hunter2",
    "hunter2x9",
    "abcdef1234567890",
    "1234",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.k7Qx2Zp9",
    "A1B2C3D4E5F6G7H8",
    "QmFzZTY0",
    "none",
    "dXNlcjpwYXNz",
    "4111111111111111",
    "4111 1111",
    " 1111 1111",
    "4111-1111-1111-1111",
    "\x1b[31m",
    "\x1b[",
    "\x1b",
    "\\u001b[0m",
    "\\u001",
    "\\u001B[1;2m",
    "-----BEGIN ",
    "-----",
    "secret-value-1",
];

fn piece() -> impl Strategy<Value = Vec<u8>> {
    let literals: Vec<&str> = needles::literals().map(|(literal, _)| literal).collect();
    let whole = proptest::sample::select(literals).prop_map(str::to_owned);
    let cut = (whole.clone(), any::<proptest::sample::Index>(), any::<bool>()).prop_map(
        |(text, at, first)| {
            let (head, tail) = text.split_at(at.index(text.len()));
            if first { head.to_owned() } else { tail.to_owned() }
        },
    );
    prop_oneof![
        6 => whole,
        2 => cut,
        9 => proptest::sample::select(AROUND.to_vec()).prop_map(str::to_owned),
        1 => "[ -~]{0,40}",
    ]
    .prop_map(String::into_bytes)
}

fn line() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(piece(), 0..10).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    /// A line that the look leaves out is one that a full scan of it leaves as it is.
    #[test]
    fn no_secret_is_left_out(lines in proptest::collection::vec(line(), 1..12)) {
        let mut redactor = redactor(&[b"secret-value-1"]);
        let text: Vec<u8> = lines.iter().flat_map(|line| [&line[..], b"\n"].concat()).collect();
        let (found, _) = block(&mut redactor, &text, &mut PemBlock::default());
        let (mut pem, mut expected) = (PemBlock::default(), Vec::new());
        for line in &lines {
            let shown = redactor.line(line, false, &mut pem, |_| {});
            expected.extend_from_slice(shown.unwrap_or(line));
            expected.push(b'\n');
        }
        prop_assert_eq!(String::from_utf8_lossy(&found), String::from_utf8_lossy(&expected));
    }
}

#[test]
fn what_only_looks_like_a_secret_is_not_judged() {
    let redactor = redactor(&[]);
    for line in [
        "Failed password for invalid user admin from 10.0.0.1 port 22 ssh2",
        "TokenRefreshed at 10:00, token bucket: 12, tokens left",
        "AKIA is a prefix and so is eyJ, or sk_live_ in docs",
        "partition_key=99887766554433 sort key -keyword PrimaryKey(3)",
        "mail to a@b.c, http://host:8080/path/user@example.com ssh://git@github.com/a",
        "http://registry/@scope/package@1.2.3 and http://a/b@@@@c",
        "\x1b[32mINFO\x1b[0m \x1b[1mtoken\x1b[0m refreshed \x1b[31m!\x1b[0m",
        r#"{"log":"\u001b[32mINFO\u001b[0m token refreshed\n"}"#,
        "2026-11-22 10:00:00 081109 203615 148 id 16089996879198629064",
        "cookie: disabled, Authorization: required, Basic authentication",
    ] {
        let text = format!("before\n{line}\nafter\n");
        assert_eq!(redactor.suspicious_lines(text.as_bytes()), 0, "{line}");
    }
}

#[test]
fn lines_that_show_secrets_are_judged_and_their_neighbours_are_not() {
    let redactor = redactor(&[b"correct horse"]);
    for line in [
        "password=hunter2x",
        "\x1b[31mpass\x1b[0mword=hunter2x",
        r#"{"log":"pass\u001b[0mword=hunter2x"}"#,
        "http://u:p@h/",
        "http://u@v:p@h/",
        "card 4111 1111 1111 1111",
        "correct horse",
        "-----BEGIN RSA PRIVATE KEY-----",
    ] {
        let text = format!("token before\n{line}\nhttp://a/b after\n");
        assert_eq!(redactor.suspicious_lines(text.as_bytes()), 1, "{line}");
    }
}
