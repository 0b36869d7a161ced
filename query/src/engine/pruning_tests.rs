//! Each way in which a query's stages may meet the indexes, by name: the answer is that of a full
//! scan.

use proptest::prelude::*;

use super::tests::{Bed, Filter, INFO};

/// Lines, one for each block of the store, and the stages of a query over all of them.
struct Case {
    name: &'static str,
    lines: Vec<String>,
    filters: Vec<Filter>,
    /// A stage before the filters that leaves the line as it is.
    before: &'static str,
}

fn has(text: &str) -> Filter {
    Filter::Contains(text.to_owned(), true)
}

fn has_not(text: &str) -> Filter {
    Filter::Contains(text.to_owned(), false)
}

fn like(pattern: &str) -> Filter {
    Filter::Matches(pattern.to_owned(), true)
}

fn unlike(pattern: &str) -> Filter {
    Filter::Matches(pattern.to_owned(), false)
}

fn case<const F: usize, const L: usize>(
    name: &'static str,
    filters: [Filter; F],
    lines: [String; L],
) -> Case {
    Case { name, filters: filters.into(), lines: lines.into(), before: "" }
}

/// An id, another one, a number, a word.
type Parts = (String, String, String, String);

fn parts() -> impl Strategy<Value = Parts> {
    ("[0-9a-f]{16}", "[0-9a-f]{16}", "[1-9][0-9]{8}", "[a-z]{7}")
}

#[allow(clippy::too_many_lines, reason = "a table of cases")]
fn contains((id, other, number, word): &Parts) -> Vec<Case> {
    let none = || "-".to_owned();
    let short = &number[..3];
    vec![
        case("open_both_ends", [has(&id[2..13])], [format!("x{id}y"), id[..8].to_owned(), none()]),
        case(
            "open_start",
            [has(&format!("{} ", &id[5..]))],
            [format!("x{id} y"), format!("{id}y"), format!("{} y", &id[5..])],
        ),
        case(
            "open_end",
            [has(&format!(" {}", &id[..8]))],
            [format!("y {id}"), format!("y{id}"), format!("y {} z", &id[..8])],
        ),
        case(
            "closed_short_token",
            [has(&format!("={short} "))],
            [format!("a={short} b"), format!("a={short}9 b"), format!("a=9{short} b")],
        ),
        case(
            "pure_decimals",
            [has(&number[1..])],
            [format!("x{number}"), number[..8].to_owned(), format!("x{number}y")],
        ),
        case(
            "mixed_token_words",
            [has(&format!("{}7", &word[1..]))],
            [format!("x4{word}77"), format!("{word} 7"), word.clone()],
        ),
        case("too_short_or_common", [has(&id[..1])], [id.clone(), none(), none()]),
        case(
            "runs_too_short",
            [has(" qz=x ")],
            ["a qz=x b".to_owned(), "a qz=xy b".to_owned(), "aqz=x b".to_owned()],
        ),
        case(
            "bytes_above_0x80",
            [has(&format!("{word}\u{e9}\u{4e2d}"))],
            [
                format!("x{word}\u{e9}\u{4e2d}{id}"),
                format!("{word}\u{e9}"),
                format!("{word}\u{c9}\u{4e2d}"),
            ],
        ),
        case(
            "backslash",
            [has(&format!("\\n{}", &id[..7]))],
            [format!("c:\\n{id}"), format!("n{id}"), format!("\\\\n{id}")],
        ),
        case(
            "several_filters",
            [has(&id[..9]), has(&format!("={number} ")), has_not(other)],
            [
                format!("{id} n={number} "),
                format!("{id} n={number} {other}"),
                format!("{id} n={number}0 "),
            ],
        ),
    ]
}

fn regexes((id, other, number, word): &Parts) -> Vec<Case> {
    let kelvin = format!("\u{212A}8\u{17F}{number}");
    vec![
        case(
            "regex_literals",
            [like(&format!("id={}[0-9a-f]+ (?:ok|{other})", &id[..8]))],
            [format!("id={id} ok"), format!("id={id} {other}"), format!("id={id} no")],
        ),
        case(
            "perl_classes_are_ascii",
            [like(&format!(r"{word} [0-9]+ {} \b", &number[..4]))],
            [
                format!("{word} 12 {} x", &number[..4]),
                format!("{word} \u{661}\u{662} {} x", &number[..4]),
                format!("{word} 7 {} x", &number[..4]),
            ],
        ),
        case(
            "fold_kelvin_and_long_s",
            [like(&format!("(?i)k8s{}", &number[..6]))],
            [kelvin.clone(), format!("K8S{number}"), format!("k8s{}", &number[1..])],
        ),
        case(
            "fold_closed",
            [like(&format!("(?i) k3 {id} "))],
            [
                format!("a \u{212A}3 {id} b"),
                format!("a K3 {} ", id.to_uppercase()),
                format!("a k3 {id}0 "),
            ],
        ),
    ]
}

/// What a negative filter names is in some blocks and not in others: all are looked at.
fn stages((id, other, number, _): &Parts) -> Vec<Case> {
    let lines = || [format!("{id} {number}"), format!("{other} {id}"), other.clone()];
    let behind = |name, before| Case { before, ..case(name, [has(id)], lines()) };
    vec![
        case("negated_contains_never_prunes", [has_not(id)], lines()),
        case("negated_matches_never_prunes", [unlike(&format!("{id}|={number} "))], lines()),
        case("negated_beside_positive", [has(other), has_not(id)], lines()),
        behind("filters_behind_drop", "| drop app "),
        behind("filters_behind_an_empty_label", "| absent=\"\" "),
    ]
}

/// A line with more distinct words than the index takes, and one more.
fn too_many_words(last: &str) -> String {
    let letter = |n: usize| char::from(b'a' + (n % 26) as u8);
    let words = (0..=sawlog_aggregator::words::WORDS_MAX).map(|n| {
        [letter(n), letter(n / 26), letter(n / 676), letter(n / 17_576), ' '].iter().collect()
    });
    words.collect::<Vec<String>>().concat() + last
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn pruned_answers_equal_a_full_scan_in_each_named_case(parts in parts()) {
        let mut cases: Vec<Case> =
            [contains(&parts), regexes(&parts), stages(&parts)].into_iter().flatten().collect();
        let needle = format!("zz{}", parts.3);
        let full = [too_many_words(&needle), parts.3.clone(), format!("a{needle}")];
        cases.push(case("runs_too_many", [has(&format!(" {needle}"))], full));
        let mut bed = Bed::new();
        let mut all: Vec<String> = Vec::new();
        // Enough text for filters of which half of the bits are not set.
        let padding = "many common words ".repeat(2000);
        for block in 0..3 {
            let lines = cases.iter().map(|case| case.lines[block].as_str()).chain([padding.as_str()]);
            let run: Vec<_> = lines
                .enumerate()
                .map(|(n, line)| ((all.len() + n) as i64, line.as_bytes(), INFO))
                .collect();
            bed.send(1, &run);
            all.extend(run.iter().map(|(_, line, _)| String::from_utf8(line.to_vec()).unwrap()));
            bed.seal();
        }
        for case in &cases {
            let stages: Vec<String> = case.filters.iter().map(Filter::logql).collect();
            let query = format!("{{app=~\".+\"}} {}{}", case.before, stages.join(" "));
            let keeps = |line: &&String| case.filters.iter().all(|f| f.keeps(line.as_bytes()));
            let expected: Vec<Vec<u8>> =
                all.iter().filter(keeps).map(|line| line.clone().into_bytes()).collect();
            let own = case.lines.iter().filter(keeps).count();
            prop_assert!((1..case.lines.len()).contains(&own), "{} hits and misses", case.name);
            prop_assert_eq!(bed.lines(&query), expected, "{}: {}", case.name, query);
        }
    }
}
