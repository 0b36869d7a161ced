//! Each way in which a literal or a regex may meet words and filters, by name: what pruning leaves
//! holds all that a full scan finds.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::prune::Formula;
use crate::store_tests::{Bed, message};

/// One line for each block of the store, and what is asked.
struct Case {
    name: &'static str,
    lines: [Vec<u8>; 4],
    ask: Ask,
}

enum Ask {
    Literal(Vec<u8>),
    Regex(String),
}

impl Ask {
    fn formula(&self) -> Formula {
        match self {
            Ask::Literal(literal) => Formula::literal(literal),
            Ask::Regex(pattern) => Formula::regex(pattern),
        }
    }

    fn matches(&self, line: &[u8]) -> bool {
        match self {
            Ask::Literal(literal) => memchr::memmem::find(line, literal).is_some(),
            Ask::Regex(pattern) => regex::bytes::Regex::new(pattern).unwrap().is_match(line),
        }
    }
}

fn literal<const N: usize>(name: &'static str, text: &str, lines: [String; N]) -> Case {
    Case { ask: Ask::Literal(text.as_bytes().to_vec()), ..regex(name, "", lines) }
}

fn regex<const N: usize>(name: &'static str, pattern: &str, lines: [String; N]) -> Case {
    let mut lines = lines.into_iter().map(String::into_bytes);
    let lines = std::array::from_fn(|_| lines.next().unwrap_or_default());
    Case { name, lines, ask: Ask::Regex(pattern.to_owned()) }
}

/// What is random in the cases: an id, another one, a number, a word.
#[derive(Clone, Debug)]
struct Parts {
    id: String,
    other: String,
    number: String,
    word: String,
}

fn parts() -> impl Strategy<Value = Parts> {
    ("[0-9a-f]{16}", "[0-9a-f]{16}", "[1-9][0-9]{8}", "[a-z]{7}")
        .prop_map(|(id, other, number, word)| Parts { id, other, number, word })
}

/// A line with more distinct words than the index takes, and one more.
fn too_many_words(last: &str) -> String {
    let letter = |n: usize| char::from(b'a' + (n % 26) as u8);
    let words = (0..=crate::words::WORDS_MAX).map(|n| {
        [letter(n), letter(n / 26), letter(n / 676), letter(n / 17_576), ' '].iter().collect()
    });
    words.collect::<Vec<String>>().concat() + last
}

#[allow(clippy::too_many_lines, reason = "a table of cases")]
fn tokens(p: &Parts) -> Vec<Case> {
    let Parts { id, other, number, word } = p;
    let (head, tail) = (&id[..9], &id[6..]);
    vec![
        literal(
            "open_both_ends",
            &id[3..14],
            [format!("x{id}y"), format!("id={id}"), other.clone(), id[..8].to_owned()],
        ),
        literal(
            "open_start",
            &format!("{tail} "),
            [format!("x{id} end"), format!("{id}x end"), format!("{tail} first"), other.clone()],
        ),
        literal(
            "open_end",
            &format!(" {head}"),
            [format!("at {id}"), format!("x{id}"), format!("at {head} end"), other.clone()],
        ),
        literal(
            "closed_token",
            &format!("={id},"),
            [format!("a={id},"), format!("a={id}0,"), format!("a=0{id},"), format!("={id},b")],
        ),
        literal(
            "closed_short_token",
            &format!("=k{},", &number[..3]),
            [
                format!("a=k{},", &number[..3]),
                format!("a=k{},", &number[..4]),
                format!("a=xk{},", &number[..3]),
                format!("=k{},=", &number[..3]),
            ],
        ),
        literal(
            "pure_decimals",
            &number[1..8],
            [number.clone(), format!("x{number}y"), number[..7].to_owned(), other.clone()],
        ),
        literal(
            "closed_decimals",
            &format!("={} ", &number[..8]),
            [format!("n={} end", &number[..8]), format!("n={number} end"), number.clone()],
        ),
        literal(
            "mixed_token_words",
            &format!("{}9", &word[2..]),
            [format!("x4{word}99"), format!("{word} 99"), word.clone(), format!("{}9", &word[2..])],
        ),
        literal("too_short_or_common", &id[..2], [id.clone(), "-".to_owned(), id[1..].to_owned()]),
        literal(
            "runs_too_short",
            " qz x",
            ["a qz xy".to_owned(), "aqz x".to_owned(), "a qz x".to_owned(), "qz".to_owned()],
        ),
        literal(
            "closed_runs_too_short",
            " qz=x ",
            ["a qz=x b".to_owned(), "a qz=xy b".to_owned(), "a aqz=x b".to_owned()],
        ),
        literal(
            "runs_too_long",
            &word.repeat(10),
            [word.repeat(11), word.repeat(9), format!("a{} ", word.repeat(10))],
        ),
        literal(
            "runs_too_many",
            &format!(" zz{word}"),
            [too_many_words(&format!("zz{word}")), format!("azz{word}"), word.clone()],
        ),
        literal(
            "backslash",
            &format!(r"\n{}", &id[..8]),
            [format!(r"c:\n{id}"), format!("\n{id}"), format!(r"\\n{id}"), format!("n{id}")],
        ),
    ]
}

fn bytes(p: &Parts) -> Vec<Case> {
    let Parts { id, number, word, .. } = p;
    let cut = |text: &str, from: usize, to: usize| text.as_bytes()[from..to].to_vec();
    let accents = format!("{}caf\u{e9}\u{4e2d}\u{6587}{number}", &word[..2]);
    let lines = |hit: &str| {
        [format!("x{hit}y"), hit.to_ascii_uppercase(), format!("{id} {word}"), format!(" {hit} ")]
    };
    vec![
        literal("bytes_above_0x80", "caf\u{e9}\u{4e2d}", lines(&accents)),
        literal("bytes_above_0x80_closed", " \u{e9}\u{4e2d} ", lines("a \u{e9}\u{4e2d} b")),
        Case {
            ask: Ask::Literal(cut(&accents, 6, 13)),
            ..literal("bytes_above_0x80_cut", "", lines(&accents))
        },
        Case {
            lines: [
                b"\xff\xfe12\x80".to_vec(),
                b"\xff12".to_vec(),
                b"a\xff\xfe12\x80a".to_vec(),
                vec![],
            ],
            ..literal("no_utf8", "", [])
        },
    ]
    .into_iter()
    .map(|case| match case.name {
        "no_utf8" => Case { ask: Ask::Literal(b"\xfe12\x80".to_vec()), ..case },
        _ => case,
    })
    .collect()
}

#[allow(clippy::too_many_lines, reason = "a table of cases")]
fn regexes(p: &Parts) -> Vec<Case> {
    let Parts { id, other, number, word } = p;
    let upper = id.to_ascii_uppercase();
    vec![
        regex(
            "regex_literals",
            &format!("id={}[0-9a-f]+ (?:ok|{other}) x?", &id[..8]),
            [
                format!("id={id} ok "),
                format!("id={id} {other} x"),
                format!("id={id} no"),
                format!("{id} ok "),
            ],
        ),
        regex(
            "regex_alternatives",
            &format!("{id}|={number} "),
            [id.clone(), format!("n={number} "), format!("n={number}0 "), other.clone()],
        ),
        regex(
            "regex_optional",
            &format!("{word}(?: {id})?(?:{other})*="),
            [format!("{word} {id}="), format!("{word}="), format!("{word} {other}"), id.clone()],
        ),
        regex(
            "regex_repeated",
            &format!("(?:{},){{2}}", &id[..7]),
            [format!("{0},{0},", &id[..7]), format!("{},", &id[..7]), other.clone()],
        ),
        regex(
            "regex_assertions",
            &format!(r"^(?:x{}\b|{} $)", &id[..6], &number[..7]),
            [format!("x{} y", &id[..6]), format!("x{id}"), format!("{} ", &number[..7])],
        ),
        regex(
            "perl_classes_are_ascii",
            &format!(r"(?-u:\w{{2}}){}", &id[..7]),
            [format!("ab{id}"), format!("\u{e9}{id}"), format!("1_{id}"), other.clone()],
        ),
        regex(
            "fold_plain",
            &format!("(?i)={id} "),
            [format!("={upper} "), format!("={id} "), format!("={id}0 "), other.clone()],
        ),
        regex(
            "fold_kelvin_and_long_s",
            &format!("(?i)k8s{}", &number[..6]),
            [
                format!("\u{212A}8\u{17F}{number}"),
                format!("K8S{number}"),
                format!("k8s{}", &number[1..]),
            ],
        ),
        regex(
            "fold_kelvin_closed",
            "(?i) k3 s7x ask ",
            [
                "a \u{212A}3 \u{17F}7X A\u{17F}\u{212A} ".to_owned(),
                "a K3 S7x asK b".to_owned(),
                "a k3 s7 ask ".to_owned(),
            ],
        ),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn pruned_results_equal_a_full_scan_in_each_named_case(parts in parts()) {
        let cases: Vec<Case> = [tokens(&parts), bytes(&parts), regexes(&parts)].into_iter().flatten().collect();
        let mut bed = Bed::new();
        // Enough text for filters of which half of the bits are not set.
        let padding = "many common words ".repeat(2000);
        for block in 0..4 {
            let mut lines: Vec<&[u8]> = cases.iter().map(|case| case.lines[block].as_slice()).collect();
            lines.push(padding.as_bytes());
            bed.send(message(1, block as u128, 0, &lines));
            bed.seal();
        }
        bed.reopen();
        let all = bed.lines(&Formula::Any);
        prop_assert_eq!(all.len(), 4 * (cases.len() + 1));
        let mut asked = BTreeMap::new();
        for case in &cases {
            let left = bed.lines(&case.ask.formula());
            let (hits, misses): (Vec<_>, Vec<_>) =
                all.iter().partition(|(_, line)| case.ask.matches(line));
            for (key, line) in &hits {
                prop_assert!(left.contains_key(key), "{} pruned {:?}", case.name, line);
            }
            prop_assert!(!hits.is_empty() && !misses.is_empty(), "{} hits and misses", case.name);
            asked.insert(case.name, all.len() - left.len());
        }
        prop_assert_eq!(asked.len(), cases.len(), "no name twice");
        let pruned = asked.values().filter(|pruned| **pruned > 0).count();
        prop_assert!(pruned >= 8, "pruning works: {asked:?}");
    }
}
