//! The journal's export of any bytes: the same entries in pieces of any size.

use super::export::{Entry, Parser};
use super::place;
use crate::tests::Random;

/// Follows an input as if journald had told it.
pub(crate) fn check(input: &[u8], random: &mut Random) {
    let whole = Parser::default().feed(input);
    for entry in &whole {
        if let Some((path, _)) = place::of(entry) {
            assert!(path.is_relative() && path.starts_with("slaves"));
            let is_plain = |part| matches!(part, std::path::Component::Normal(_));
            assert!(path.components().all(is_plain), "'{}' leads out", path.display());
        }
    }
    let mut parser = Parser::default();
    let mut parts: Vec<Entry> = Vec::new();
    let mut rest = input;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(1 + random.below(rest.len()));
        parts.extend(parser.feed(piece));
        rest = after;
    }
    assert_eq!(parts, whole);
}
