//! The filters as a whole: what they leave, what they cost, and that damage never hides a block.

use std::collections::BTreeSet;
use std::path::Path;

use proptest::prelude::*;

use super::{BlockFilter, Filters};
use crate::index::BlockAddress;
use crate::prune::Formula;
use crate::terms::TermScanner;

/// Repeatable noise.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mixed = (self.0 ^ self.0 >> 31).wrapping_mul(0x9fb2_1c65_1e98_df25);
        mixed ^ mixed >> 29
    }
}

/// Lines as services write them: time, words, a fresh id of 16 hex digits, short numbers, and in each
/// fourth an order of 8 to 10 decimal digits. About 190 bytes each.
fn line(noise: &mut Noise, n: u64) -> (String, u64, u64) {
    const WORDS: [&str; 12] = [
        "connection",
        "upstream",
        "timeout",
        "user",
        "session",
        "checkout",
        "payment",
        "handler",
        "retrying",
        "cache",
        "database",
        "queue",
    ];
    let micros = n * 7919 + noise.next() % 900;
    let (id, order) = (noise.next(), 10_000_000 + noise.next() % 9_980_000_000);
    let words: Vec<&str> = (0..13).map(|_| WORDS[(noise.next() % 12) as usize]).collect();
    let (minute, second) = (micros / 60_000_000 % 60, micros / 1_000_000 % 60);
    let line = format!(
        "2026-11-22T12:{minute:02}:{second:02}.{:06}Z INFO {} trace_id={id:016x} {}\
         status={} ms={}\n",
        micros % 1_000_000,
        words.join(" "),
        if n.is_multiple_of(4) { format!("order={order} ") } else { String::new() },
        200 + noise.next() % 5,
        noise.next() % 300,
    );
    (line, id, order)
}

/// Texts of blocks, and an id and an order that stand in one line of each.
fn texts(n_blocks: usize, text_bytes: usize) -> Vec<(String, u64, u64)> {
    let mut noise = Noise(42);
    let mut n = 0;
    (0..n_blocks)
        .map(|_| {
            let (mut text, mut one) = (String::new(), (0, 0));
            while text.len() + 260 < text_bytes {
                let (line, id, order) = line(&mut noise, n);
                text += &line;
                if n.is_multiple_of(4) {
                    one = (id, order);
                }
                n += 1;
            }
            (text, one.0, one.1)
        })
        .collect()
}

fn filters_of<'a>(texts: impl IntoIterator<Item = &'a str>) -> Vec<BlockFilter> {
    let mut scanner = TermScanner::new();
    texts.into_iter().map(|text| scanner.scan(text.as_bytes()).filter).collect()
}

fn written(path: &Path, seals: &[&[BlockFilter]]) -> Filters {
    let mut filters = Filters::open_to_append(path.to_owned(), 0).unwrap();
    let mut at = 0;
    for (seal, blocks) in seals.iter().enumerate() {
        let placed: Vec<_> = blocks.iter().map(|filter| (address(&mut at), filter)).collect();
        filters.append(seal as u64 + 1, &placed).unwrap();
    }
    filters.sync().unwrap();
    filters
}

fn address(next: &mut u64) -> u64 {
    *next += 1000;
    *next - 1000
}

/// The numbers of the blocks that are left of `n_blocks`, and how many groups were damaged.
fn left(filters: &Filters, n_blocks: usize, formula: &Formula) -> (BTreeSet<usize>, u64) {
    let block =
        |n: usize| BlockAddress { at: n as u64 * 1000, len: 1000, min_time: 0, max_time: 0 };
    let mut found: Vec<BlockAddress> = (0..n_blocks).rev().map(block).collect();
    let asked = filters.retain(&formula.key_part(), &mut found);
    assert_eq!(asked.ruled_out as usize, n_blocks - found.len());
    (found.iter().map(|block| block.at as usize / 1000).collect(), asked.damaged)
}

/// An id of 16 hex digits that stands in one line of 512 blocks leaves next to no other block, open
/// or closed; the filters keep within their share of the text.
#[test]
fn an_id_that_occurs_once_leaves_few_blocks() {
    const BLOCKS: usize = 512;
    let texts = texts(BLOCKS, 32 << 10);
    let blocks = filters_of(texts.iter().map(|(text, _, _)| text.as_str()));
    let dir = tempfile::tempdir().unwrap();
    let filters = written(&dir.path().join("filters"), &[&blocks[..200], &blocks[200..]]);
    // Blocks left of 64 questions: others than the one that holds it.
    let others = |literal: &dyn Fn(u64, u64) -> String| -> usize {
        let asked = texts.iter().enumerate().step_by(8).map(|(n, (_, id, order))| {
            let literal = literal(*id, *order);
            let (left, damaged) = left(&filters, BLOCKS, &Formula::literal(literal.as_bytes()));
            assert!(left.contains(&n), "{literal}");
            assert_eq!(damaged, 0);
            left.len() - 1
        });
        asked.sum()
    };
    let questions = 64 * BLOCKS;
    for (name, per_mille, literal) in [
        ("16 hex digits, open", 5, &(|id, _| format!("{id:016x}")) as &dyn Fn(u64, u64) -> String),
        ("16 hex digits, closed", 5, &|id, _| format!("={id:016x} ")),
        ("12 of its digits", 20, &|id, _| format!("{id:016x}")[2..14].to_owned()),
        ("8 of its digits", 150, &|id, _| format!("{id:016x}")[4..12].to_owned()),
        ("8 to 10 decimal digits, open", 330, &|_, order| format!("{order}")),
        ("8 to 10 decimal digits, closed", 180, &|_, order| format!("={order} ")),
        ("a status that never occurs", 560, &|_, _| "status=599 ".to_owned()),
    ] {
        let left = if name.contains("never") {
            64 * left_without(&filters, BLOCKS, &literal(0, 0))
        } else {
            others(literal)
        };
        println!(
            "{name}: {:.2} % of the blocks left in vain",
            left as f64 * 100.0 / questions as f64
        );
        assert!(left * 1000 <= per_mille * questions, "{name}: {left} of {questions}");
    }
}

fn left_without(filters: &Filters, n_blocks: usize, literal: &str) -> usize {
    left(filters, n_blocks, &Formula::literal(literal.as_bytes())).0.len()
}

/// Of full blocks, however few share a seal.
#[test]
fn filters_take_at_most_one_and_a_half_percent_of_the_text() {
    let texts = texts(6, 256 << 10);
    let blocks = filters_of(texts.iter().map(|(text, _, _)| text.as_str()));
    let raw =
        |from: usize, to: usize| texts[from..to].iter().map(|t| t.0.len() as u64).sum::<u64>();
    let dir = tempfile::tempdir().unwrap();
    for (from, to) in [(0, 1), (0, 6)] {
        let path = dir.path().join(format!("{to}"));
        let len = written(&path, &[&blocks[from..to]]).len();
        println!("{to} blocks: {:.3} % of the text", len as f64 * 100.0 / raw(from, to) as f64);
        assert_eq!(std::fs::metadata(&path).unwrap().len(), len);
        assert!(len * 1000 <= raw(from, to) * 15, "{len} of {}", raw(from, to));
        assert!(len * 1000 >= raw(from, to) * 13, "the share is used");
    }
}

#[test]
fn an_or_leaves_both_and_what_is_not_known_stays() {
    let texts = ["a deadbeef01 b", "a cafe4711f b", "nothing", "a deadbeef01 cafe4711f b"];
    let blocks = filters_of(texts);
    let dir = tempfile::tempdir().unwrap();
    let filters = written(&dir.path().join("filters"), &[&blocks[..1], &blocks[1..]]);
    let ask = |formula: Formula| left(&filters, 6, &formula).0.into_iter().collect::<Vec<_>>();
    let literal = |text: &str| Formula::literal(text.as_bytes());
    // Blocks 4 and 5 are in no group.
    assert_eq!(ask(literal("deadbeef01")), [0, 3, 4, 5]);
    assert_eq!(ask(literal(" cafe4711f ")), [1, 3, 4, 5]);
    assert_eq!(ask(Formula::regex("deadbeef01|cafe4711f")), [0, 1, 3, 4, 5]);
    assert_eq!(ask(Formula::regex("deadbeef01.*cafe4711f")), [3, 4, 5]);
    assert_eq!(ask(Formula::and([literal("nothing"), literal("deadbeef01")])), [0, 3, 4, 5]);
    assert_eq!(ask(Formula::or([literal("nothing"), literal("deadbeef01")])).len(), 6);
    assert_eq!(ask(Formula::regex("[0-9]+")).len(), 6);
}

#[test]
fn a_file_is_cut_to_its_length_and_refused_if_shorter() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("filters");
    let blocks = filters_of(["one deadbeef01", "two cafe4711f"]);
    let len = written(&path, &[&blocks[..1]]).len();
    written(&path, &[&blocks[..1], &blocks[1..]]);
    let mut again = Filters::open_to_append(path.clone(), len).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().len(), len);
    let formula = Formula::literal(b"cafe4711f");
    assert_eq!(left(&again, 2, &formula).0, BTreeSet::from([1]), "not known any more");
    again.append(2, &[(1000, &blocks[0])]).unwrap();
    assert!(left(&again, 2, &formula).0.is_empty());
    let refused = Filters::open(path.clone(), again.len() + 1).unwrap_err().to_string();
    assert!(refused.contains("filters") && refused.contains("damaged"), "{refused}");
    assert!(Filters::open_to_append(path.clone(), again.len() + 1).is_err());
    let none = Filters::open(dir.path().join("none"), 0).unwrap();
    assert_eq!(left(&none, 2, &formula).0.len(), 2, "an old slice without filters");
}

/// A small file of three groups, and who holds what.
fn small(path: &Path) -> (Vec<u8>, usize) {
    let texts: Vec<String> =
        (0..10).map(|n| format!("line {n:08x}{n:08x} of {n}{n}{n}{n}{n}{n}")).collect();
    let blocks = filters_of(texts.iter().map(String::as_str));
    written(path, &[&blocks[..1], &blocks[1..4], &blocks[4..]]);
    (std::fs::read(path).unwrap(), texts.len())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_flipped_bit_never_hides_a_block(at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("filters");
        let (mut bytes, n_blocks) = small(&path);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        std::fs::write(&path, &bytes).unwrap();
        let filters = Filters::open(path, bytes.len() as u64).unwrap();
        let mut damaged = filters.damaged_at_open();
        let mut all_left = 0;
        for n in 0..n_blocks {
            let literal = format!(" {n:08x}{n:08x} ");
            let (left, found) = left(&filters, n_blocks, &Formula::literal(literal.as_bytes()));
            prop_assert!(left.contains(&n), "{literal}");
            damaged += found;
            all_left += left.len();
        }
        // No byte is without a checksum, and each group is one page, which every question reads.
        prop_assert_eq!(damaged, 1, "counted, and once");
        prop_assert!(all_left < n_blocks * n_blocks, "the other groups go on");
    }

    #[test]
    fn any_bytes_are_a_file_of_filters_that_knows_nothing(
        bytes in proptest::collection::vec(any::<u8>(), 1..400),
        magic in any::<bool>(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("filters");
        let bytes = if magic { [b"SAWF\x01\0\0\0".to_vec(), bytes].concat() } else { bytes };
        std::fs::write(&path, &bytes).unwrap();
        let filters = Filters::open(path, bytes.len() as u64).unwrap();
        prop_assert_eq!(left(&filters, 5, &Formula::literal(b"deadbeef01")).0.len(), 5);
        prop_assert_eq!(filters.damaged_at_open(), 1);
    }
}
