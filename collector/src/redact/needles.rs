//! The literals one of which stands in every secret of a shape, and one pass that finds them all.

use aho_corasick::packed::{Config, MatchKind, Searcher};
use aho_corasick::{AhoCorasick, Span};

use super::keys::SHAPES;

/// What a literal may be a part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// A key of `SHAPES[n]`.
    Key(usize),
    Jwt,
    Authorization,
    Cookie,
    Bearer,
    Basic,
    /// A name that may say secret.
    Name,
    Pem,
    /// An escaped control sequence.
    Colour,
}

/// Literals beside the prefixes of keys. At least four bytes each, so that the pass compares four bytes
/// at once; with the cases that are written, since folding cases would take a slower pass. None is the
/// beginning of another.
const LITERALS: [(&str, Family); 58] = [
    (".eyJ", Family::Jwt),
    ("eyJh", Family::Jwt),
    ("eyJ0", Family::Jwt),
    ("eyJr", Family::Jwt),
    ("uthorization", Family::Authorization),
    ("UTHORIZATION", Family::Authorization),
    ("ookie", Family::Cookie),
    ("OOKIE", Family::Cookie),
    ("earer ", Family::Bearer),
    ("EARER ", Family::Bearer),
    ("asic ", Family::Basic),
    ("PRIVATE KEY", Family::Pem),
    ("\\u001", Family::Colour),
    ("assw", Family::Name),
    ("ASSW", Family::Name),
    ("assP", Family::Name),
    ("assphr", Family::Name),
    ("ASSPHR", Family::Name),
    ("passc", Family::Name),
    ("PASSC", Family::Name),
    ("pass=", Family::Name),
    ("PASS=", Family::Name),
    ("Pass=", Family::Name),
    ("pass:", Family::Name),
    ("PASS:", Family::Name),
    ("pass\"", Family::Name),
    ("PASS\"", Family::Name),
    ("secret", Family::Name),
    ("Secret", Family::Name),
    ("SECRET", Family::Name),
    ("token", Family::Name),
    ("Token", Family::Name),
    ("TOKEN", Family::Name),
    ("redential", Family::Name),
    ("REDENTIAL", Family::Name),
    ("pwd=", Family::Name),
    ("PWD=", Family::Name),
    ("Pwd=", Family::Name),
    ("pwd\"", Family::Name),
    ("pwd:", Family::Name),
    ("_key", Family::Name),
    ("_KEY", Family::Name),
    ("-key", Family::Name),
    ("-Key", Family::Name),
    ("pikey", Family::Name),
    ("PIKEY", Family::Name),
    ("piKey", Family::Name),
    ("ssKey", Family::Name),
    ("ntKey", Family::Name),
    ("teKey", Family::Name),
    ("sskey", Family::Name),
    ("SSKEY", Family::Name),
    ("ngKey", Family::Name),
    ("onKey", Family::Name),
    ("erKey", Family::Name),
    ("edKey", Family::Name),
    ("thKey", Family::Name),
    ("-KEY", Family::Name),
];

/// Finds the literals.
pub(super) struct Needles {
    search: Search,
    families: Vec<Family>,
    lens: Vec<usize>,
}

enum Search {
    /// Vector instructions, some gigabytes per second.
    Packed(Box<Searcher>),
    /// Machines without them.
    Automaton(Box<AhoCorasick>),
}

impl Needles {
    pub(super) fn new() -> Self {
        let keys = SHAPES.iter().enumerate().map(|(n, shape)| (shape.prefix, Family::Key(n)));
        let all: Vec<(&str, Family)> = LITERALS.into_iter().chain(keys).collect();
        let literals: Vec<&str> = all.iter().map(|(literal, _)| *literal).collect();
        let mut config = Config::new();
        config.match_kind(MatchKind::LeftmostFirst).heuristic_pattern_limits(false);
        let packed = config.builder().extend(&literals).build();
        let search =
            packed.map(Box::new).map_or_else(|| Search::automaton(&literals), Search::Packed);
        Self {
            search,
            families: all.iter().map(|(_, family)| *family).collect(),
            lens: literals.iter().map(|literal| literal.len()).collect(),
        }
    }

    /// The first literal from `from` on: what it may be a part of, where it starts and ends.
    pub(super) fn next(&self, text: &[u8], from: usize) -> Option<(Family, usize, usize)> {
        let (pattern, start) = self.search.next(text, from)?;
        Some((self.families[pattern], start, start + self.lens[pattern]))
    }
}

impl Search {
    fn automaton(literals: &[&str]) -> Self {
        let automaton = AhoCorasick::builder()
            .match_kind(aho_corasick::MatchKind::LeftmostFirst)
            .build(literals)
            .expect("a hundred short literals");
        Self::Automaton(Box::new(automaton))
    }

    fn next(&self, text: &[u8], from: usize) -> Option<(usize, usize)> {
        if from >= text.len() {
            return None;
        }
        match self {
            Self::Packed(packed) => {
                let found = packed.find_in(text, Span::from(from..text.len()))?;
                Some((found.pattern().as_usize(), found.start()))
            }
            Self::Automaton(automaton) => {
                let found = automaton.find(aho_corasick::Input::new(text).range(from..))?;
                Some((found.pattern().as_usize(), found.start()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_long_enough_and_none_hides_another() {
        let all: Vec<&str> = LITERALS
            .iter()
            .map(|(literal, _)| *literal)
            .chain(SHAPES.iter().map(|shape| shape.prefix))
            .collect();
        for (n, literal) in all.iter().enumerate() {
            assert!(literal.len() >= 4, "{literal}");
            let hides = |(m, other): (usize, &&str)| m != n && other.starts_with(literal);
            assert!(!all.iter().enumerate().any(hides), "{literal}");
        }
    }

    #[test]
    fn both_searches_find_the_same() {
        let needles = Needles::new();
        let literals: Vec<&str> = LITERALS
            .iter()
            .map(|(literal, _)| *literal)
            .chain(SHAPES.iter().map(|shape| shape.prefix))
            .collect();
        let automaton = Search::automaton(&literals);
        for literal in &literals {
            let text =
                format!("{}{literal} and so on, to a length that vectors take", ".".repeat(70));
            let found = needles.search.next(text.as_bytes(), 3);
            assert_eq!(found, automaton.next(text.as_bytes(), 3));
            assert!(found.is_some_and(|(_, at)| at >= 68), "{literal}");
        }
    }
}
