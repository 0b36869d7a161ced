//! The literals one of which stands in every secret of a shape, and the passes that find them in a line.

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
    /// A byte and `SG.`.
    SendGrid,
    /// What signs a URL, behind the literal.
    Signature,
    /// A URL inside of another, percent-encoded.
    EncodedUrl,
    Curl,
    Sshpass,
}

/// Literals beside the prefixes of keys. At least four bytes each, so that the pass compares four bytes
/// at once; with the cases that are written, since folding cases would take a slower pass. None is the
/// beginning of another.
const LITERALS: [(&str, Family); 69] = [
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
    (" SG.", Family::SendGrid),
    ("\"SG.", Family::SendGrid),
    ("'SG.", Family::SendGrid),
    ("=SG.", Family::SendGrid),
    (":SG.", Family::SendGrid),
    ("sig=", Family::Signature),
    ("ignature=", Family::Signature),
    ("%3A%2F%2F", Family::EncodedUrl),
    ("%3a%2f%2f", Family::EncodedUrl),
    ("curl ", Family::Curl),
    ("shpass -p", Family::Sshpass),
];

/// Literals that one pass looks for. Vectors tell few literals apart at several times the speed of
/// many: three passes over a block take half of the time of one.
const PASS_LITERALS: usize = 32;

/// Finds the literals, some of them in each pass.
pub(super) struct Needles {
    passes: Vec<Pass>,
}

/// Finds a part of the literals.
pub(super) struct Pass {
    search: Search,
    literals: Vec<(usize, Family)>,
}

/// A search for several literals at once.
pub(super) enum Search {
    /// Vector instructions, some gigabytes per second.
    Packed(Box<Searcher>),
    /// Machines without them.
    Automaton(Box<AhoCorasick>),
}

/// All literals, and what each may be a part of.
pub(super) fn literals() -> impl Iterator<Item = (&'static str, Family)> {
    let keys = SHAPES.iter().enumerate().map(|(n, shape)| (shape.prefix, Family::Key(n)));
    LITERALS.into_iter().chain(keys)
}

impl Needles {
    pub(super) fn new() -> Self {
        let all: Vec<(&str, Family)> = literals().collect();
        Self { passes: all.chunks(PASS_LITERALS).map(Pass::new).collect() }
    }

    pub(super) fn passes(&self) -> &[Pass] {
        &self.passes
    }
}

impl Pass {
    fn new(literals: &[(&str, Family)]) -> Self {
        let texts: Vec<&str> = literals.iter().map(|(literal, _)| *literal).collect();
        Self {
            search: Search::new(&texts),
            literals: literals.iter().map(|(text, family)| (text.len(), *family)).collect(),
        }
    }

    /// The first literal from `from` on: what it may be a part of, where it starts and ends.
    pub(super) fn next(&self, text: &[u8], from: usize) -> Option<(Family, usize, usize)> {
        let (pattern, start) = self.search.next(text, from)?;
        let (len, family) = self.literals[pattern];
        Some((family, start, start + len))
    }
}

impl Search {
    pub(super) fn new(literals: &[&str]) -> Self {
        let mut config = Config::new();
        config.match_kind(MatchKind::LeftmostFirst).heuristic_pattern_limits(false);
        let packed = config.builder().extend(literals).build();
        packed.map(Box::new).map_or_else(|| Self::automaton(literals), Self::Packed)
    }

    fn automaton(literals: &[&str]) -> Self {
        let automaton = AhoCorasick::builder()
            .match_kind(aho_corasick::MatchKind::LeftmostFirst)
            .build(literals)
            .expect("a hundred short literals");
        Self::Automaton(Box::new(automaton))
    }

    /// The first literal from `from` on: which one, and where it starts.
    pub(super) fn next(&self, text: &[u8], from: usize) -> Option<(usize, usize)> {
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
        let all: Vec<&str> = literals().map(|(literal, _)| literal).collect();
        for (n, literal) in all.iter().enumerate() {
            assert!(literal.len() >= 4, "{literal}");
            let hides = |(m, other): (usize, &&str)| m != n && other.starts_with(literal);
            assert!(!all.iter().enumerate().any(hides), "{literal}");
        }
    }

    #[test]
    fn both_searches_find_the_same() {
        let needles = Needles::new();
        assert_eq!(needles.passes.len(), literals().count().div_ceil(PASS_LITERALS));
        let all: Vec<(&str, Family)> = literals().collect();
        for (pass, literals) in needles.passes.iter().zip(all.chunks(PASS_LITERALS)) {
            let texts: Vec<&str> = literals.iter().map(|(text, _)| *text).collect();
            let automaton = Search::automaton(&texts);
            for (literal, family) in literals {
                let text = format!("{}{literal} and so on, as long as vectors are", ".".repeat(70));
                let found = pass.next(text.as_bytes(), 3).expect("it is there");
                assert_eq!(automaton.next(text.as_bytes(), 3).map(|(_, at)| at), Some(found.1));
                assert!(found.1 >= 69 && found.0 == *family, "{literal}");
            }
        }
    }
}
