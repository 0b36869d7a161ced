//! Streams as they are named in arguments and printed to be pasted back.

use std::collections::BTreeMap;

use sawlog_transport::labels::is_label_name;

use super::client::CliError;
use crate::lang::{LogExpr, MatchOp, Matcher, ParseOptions, parse_selector};

/// What stands for bytes that are no text in the server's JSON.
const LOST: char = char::REPLACEMENT_CHARACTER;

/// One selector of a selector and of `name=value` arguments, all of which must hold; `None` without
/// any.
pub(super) fn combined(
    selector: Option<&str>,
    pairs: &[String],
) -> Result<Option<String>, CliError> {
    let mut matchers = Vec::new();
    for text in selector.into_iter().chain(pairs.iter().map(String::as_str)) {
        if text.trim_start().starts_with('{') {
            let options = ParseOptions { allow_empty_selector: true };
            matchers.append(&mut parse_selector(text, options)?);
        } else {
            matchers.push(matcher(text)?);
        }
    }
    Ok((!matchers.is_empty()).then(|| text_of(matchers)))
}

/// The matchers as LogQL.
pub(super) fn text_of(matchers: Vec<Matcher>) -> String {
    LogExpr { matchers, stages: Vec::new() }.to_string()
}

/// `app=web`, also with `!=`, `=~` and `!~`; the value needs no quotes.
fn matcher(text: &str) -> Result<Matcher, CliError> {
    let usage = || {
        CliError::Usage(format!("'{text}' names no label: write app=web, app!=web or app=~'w.*'"))
    };
    let (name, rest) = text.split_at(text.find(['=', '!']).ok_or_else(usage)?);
    let ops = [("=~", MatchOp::Re), ("!~", MatchOp::Nre), ("!=", MatchOp::Ne), ("=", MatchOp::Eq)];
    let found = ops.into_iter().find_map(|(sign, op)| Some((op, rest.strip_prefix(sign)?)));
    let (op, value) = found.ok_or_else(usage)?;
    if !is_label_name(name) {
        return Err(usage());
    }
    Ok(Matcher { name: name.to_owned(), op, value: value.as_bytes().to_vec() })
}

/// A stream's labels as a selector. Where bytes were lost on the way, any bytes fit.
pub(super) fn of_labels(labels: &BTreeMap<String, String>) -> String {
    let matcher = |(name, value): (&String, &String)| {
        let (op, value) = match value.contains(LOST) {
            false => (MatchOp::Eq, value.clone()),
            true => (MatchOp::Re, with_gaps(value)),
        };
        Matcher { name: name.clone(), op, value: value.into_bytes() }
    };
    text_of(labels.iter().map(matcher).collect())
}

fn with_gaps(value: &str) -> String {
    let mut pattern = String::new();
    for part in value.split_inclusive(LOST) {
        pattern.push_str(&regex::escape(part.trim_end_matches(LOST)));
        if part.ends_with(LOST) && !pattern.ends_with(".+") {
            pattern.push_str(".+");
        }
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lang::pattern::anchored;

    #[test]
    fn arguments_become_one_selector() {
        let pairs = ["host=a b".to_owned(), "app=~w.*=".to_owned(), "stream!=stderr".to_owned()];
        let found = combined(Some(r#"{agent="x"}"#), &pairs).expect("valid");
        let expected = r#"{agent="x", host="a b", app=~"w.*=", stream!="stderr"}"#;
        assert_eq!(found.as_deref(), Some(expected));
        assert_eq!(combined(None, &[]).expect("valid"), None);
        assert_eq!(combined(Some("{}"), &[]).expect("valid"), None);
        for wrong in ["web", "a-b=c", "=x", "app!x"] {
            let err = combined(None, &[wrong.to_owned()]).expect_err(wrong);
            assert!(err.to_string().contains(wrong), "{err}");
        }
    }

    #[test]
    fn labels_are_printed_so_that_they_select_their_stream() {
        let labels = |value: &str| BTreeMap::from([("app".to_owned(), value.to_owned())]);
        assert_eq!(of_labels(&labels("a \"b\"\n")), r#"{app="a \"b\"\n"}"#);
        let lost = String::from_utf8_lossy(b"a.b\xff\xfec\xff").into_owned();
        let text = of_labels(&labels(&lost));
        let parsed = parse_selector(&text, ParseOptions::default()).expect(&text);
        let regex = anchored(&parsed[0].value).expect("compiles");
        assert!(regex.is_match(b"a.b\xff\xfec\xff") && !regex.is_match(b"axb\xffc\xff"), "{text}");
    }
}
