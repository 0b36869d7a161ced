//! What the index can say of a block that may hold a match: a formula over words, of which the index knows,
//! and keys, of which the filters know. A formula is only ever a necessary condition; whoever asks
//! looks at the bytes of the blocks that remain.

use regex_syntax::hir::{Class, Hir, HirKind};
use tantivy::Term;
use tantivy::query::{BooleanQuery, Occur, Query, RegexQuery, TermQuery};
use tantivy::schema::{Field, IndexRecordOption};

use crate::words::{FOLDS, INCOMPLETE, WORD_BYTES_MAX, WORD_BYTES_MIN};

/// Words of one formula, at most: each open one costs an automaton per slice. Leaving out a part of
/// an AND is sound, it only prunes less; an OR with too many parts says nothing.
const WORDS_OF_A_FORMULA_MAX: usize = 48;

/// A necessary condition on the words and keys of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Formula {
    /// Nothing is known: every block may match.
    Any,
    Word(WordPattern),
    /// Keys of the filter, all of which must occur; see [`crate::filter`].
    Keys(Vec<u32>),
    And(Vec<Formula>),
    Or(Vec<Formula>),
}

/// A word that must occur, lowercased; open at an end where the text may go on with letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WordPattern {
    pub word: String,
    pub open_start: bool,
    pub open_end: bool,
    /// The word was matched ignoring case by Unicode's rules: blocks flagged `FOLDS` stay.
    pub folded: bool,
}

impl Formula {
    /// What must hold for a text that contains `literal` (bytes, case sensitive).
    pub fn literal(literal: &[u8]) -> Formula {
        literal_formula(literal, false)
    }

    /// What must hold for a text that matches `pattern` somewhere; `Any` if the pattern is not
    /// understood (whoever compiles it reports that).
    pub fn regex(pattern: &str) -> Formula {
        let parsed =
            regex_syntax::ParserBuilder::new().utf8(false).unicode(true).build().parse(pattern);
        parsed.map_or(Formula::Any, |hir| required(&hir).finish())
    }

    /// All of them.
    pub fn and(parts: impl IntoIterator<Item = Formula>) -> Formula {
        let mut all = Vec::new();
        for part in parts {
            match part {
                Formula::Any => {}
                Formula::And(inner) => all.extend(inner),
                other => all.push(other),
            }
        }
        match all.len() {
            0 => Formula::Any,
            1 => all.swap_remove(0),
            _ => Formula::And(all),
        }
    }

    /// One of them; of nothing known if one of them is.
    pub fn or(parts: impl IntoIterator<Item = Formula>) -> Formula {
        let mut all = Vec::new();
        for part in parts {
            match part {
                Formula::Any => return Formula::Any,
                Formula::Or(inner) => all.extend(inner),
                other => all.push(other),
            }
        }
        match all.len() {
            1 => all.swap_remove(0),
            _ => Formula::Or(all),
        }
    }

    fn words(&self) -> usize {
        match self {
            Formula::Any | Formula::Keys(_) => 0,
            Formula::Word(_) => 1,
            Formula::And(parts) | Formula::Or(parts) => parts.iter().map(Formula::words).sum(),
        }
    }

    /// The longest word: long words are rare ones.
    fn longest_word(&self) -> usize {
        match self {
            Formula::Any | Formula::Keys(_) => 0,
            Formula::Word(pattern) => pattern.word.len(),
            Formula::And(parts) => parts.iter().map(Formula::longest_word).max().unwrap_or(0),
            Formula::Or(parts) => parts.iter().map(Formula::longest_word).min().unwrap_or(0),
        }
    }

    /// A weaker formula of at most [`WORDS_OF_A_FORMULA_MAX`] words.
    fn bounded(&self) -> Formula {
        match self {
            Formula::And(parts) if self.words() > WORDS_OF_A_FORMULA_MAX => {
                let mut best: Vec<Formula> = parts.iter().map(Formula::bounded).collect();
                best.sort_by_key(|part| std::cmp::Reverse(part.longest_word()));
                let mut words = 0;
                best.retain(|part| {
                    let fits = words + part.words() <= WORDS_OF_A_FORMULA_MAX;
                    words += if fits { part.words() } else { 0 };
                    fits
                });
                Formula::and(best)
            }
            Formula::Or(_) if self.words() > WORDS_OF_A_FORMULA_MAX => Formula::Any,
            other => other.clone(),
        }
    }

    /// What must hold of the words of a block: a weaker formula without keys.
    fn word_part(&self) -> Formula {
        match self {
            Formula::Any | Formula::Keys(_) => Formula::Any,
            Formula::Word(_) => self.clone(),
            Formula::And(parts) => Formula::and(parts.iter().map(Formula::word_part)),
            Formula::Or(parts) => Formula::or(parts.iter().map(Formula::word_part)),
        }
    }

    /// The query of blocks that the formula's words do not rule out; `None` for all.
    pub(crate) fn query(&self, words: Field, flags: Field) -> Option<Box<dyn Query>> {
        self.word_part().bounded().query_all(words, flags)
    }

    fn query_all(&self, words: Field, flags: Field) -> Option<Box<dyn Query>> {
        match self {
            Formula::Any | Formula::Keys(_) => None,
            Formula::Word(pattern) => Some(pattern.query(words, flags)),
            Formula::And(parts) => Some(combine(Occur::Must, parts, words, flags)),
            Formula::Or(parts) => Some(combine(Occur::Should, parts, words, flags)),
        }
    }
}

fn combine(occur: Occur, parts: &[Formula], words: Field, flags: Field) -> Box<dyn Query> {
    let queries = parts.iter().filter_map(|part| part.query_all(words, flags));
    Box::new(BooleanQuery::new(queries.map(|query| (occur, query)).collect()))
}

impl WordPattern {
    fn query(&self, words: Field, flags: Field) -> Box<dyn Query> {
        let word: Box<dyn Query> = if self.open_start || self.open_end {
            let any = |open: bool| if open { ".*" } else { "" };
            let pattern = format!("{}{}{}", any(self.open_start), self.word, any(self.open_end));
            let query = RegexQuery::from_pattern(&pattern, words);
            Box::new(query.expect("letters and `.*` are a regex of the dictionary"))
        } else {
            let term = Term::from_field_text(words, &self.word);
            Box::new(TermQuery::new(term, IndexRecordOption::Basic))
        };
        let flagged = |flag: u64| -> (Occur, Box<dyn Query>) {
            let term = Term::from_field_u64(flags, flag);
            (Occur::Should, Box::new(TermQuery::new(term, IndexRecordOption::Basic)))
        };
        let mut any_of = vec![(Occur::Should, word), flagged(INCOMPLETE)];
        if self.folded {
            any_of.push(flagged(FOLDS));
        }
        Box::new(BooleanQuery::new(any_of))
    }
}

/// What a literal demands: its words, and its keys.
fn literal_formula(literal: &[u8], folded: bool) -> Formula {
    let keys = crate::filter::demanded(literal, folded);
    let keys = if keys.is_empty() { Formula::Any } else { Formula::Keys(keys) };
    Formula::and([literal_words(literal, folded), keys])
}

/// The words of a literal; its outer runs of letters are open: the text may go on there.
fn literal_words(literal: &[u8], folded: bool) -> Formula {
    let lower = literal.to_ascii_lowercase();
    let mut parts = Vec::new();
    let mut at = 0;
    while at < lower.len() {
        let run = lower[at..].iter().take_while(|byte| byte.is_ascii_lowercase()).count();
        let (open_start, open_end) = (at == 0, at + run == lower.len());
        let usable = (WORD_BYTES_MIN..=WORD_BYTES_MAX).contains(&run);
        if usable {
            let word = lower[at..at + run].iter().map(|letter| char::from(*letter)).collect();
            parts.push(Formula::Word(WordPattern { word, open_start, open_end, folded }));
        }
        at += run.max(1);
    }
    Formula::and(parts)
}

/// What an expression demands: the literal it ends with may go on in the next one.
struct Required {
    /// What is already settled.
    formula: Formula,
    /// The literal that every match ends with, if the whole expression is that literal, so that
    /// neighbours can be joined.
    literal: Option<Literal>,
}

#[derive(Default)]
struct Literal {
    bytes: Vec<u8>,
    folded: bool,
}

impl Required {
    fn nothing() -> Self {
        Self { formula: Formula::Any, literal: None }
    }

    fn exactly(bytes: &[u8], folded: bool) -> Self {
        let literal = Literal { bytes: bytes.to_vec(), folded };
        Self { formula: Formula::Any, literal: Some(literal) }
    }

    fn finish(self) -> Formula {
        let literal = self.literal.map_or(Formula::Any, |l| literal_formula(&l.bytes, l.folded));
        Formula::and([self.formula, literal])
    }
}

fn required(hir: &Hir) -> Required {
    match hir.kind() {
        HirKind::Literal(literal) => Required::exactly(&literal.0, false),
        // An assertion takes no bytes: what stands around it stays together.
        HirKind::Empty | HirKind::Look(_) => Required::exactly(b"", false),
        HirKind::Class(class) => match folded_letter(class) {
            Some(letter) => Required::exactly(&[letter], true),
            None => Required::nothing(),
        },
        HirKind::Capture(capture) => required(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min >= 1 => {
            // Once is certain; what stands beside it is not known to touch it.
            Required { formula: required(&repetition.sub).finish(), literal: None }
        }
        HirKind::Repetition(_) => Required::nothing(),
        HirKind::Concat(parts) => concat(parts),
        HirKind::Alternation(parts) => {
            let formula = Formula::or(parts.iter().map(|part| required(part).finish()));
            Required { formula, literal: None }
        }
    }
}

fn concat(parts: &[Hir]) -> Required {
    let mut formulas = Vec::new();
    let mut whole = true;
    let mut open = Literal::default();
    for part in parts {
        let Required { formula, literal } = required(part);
        formulas.push(formula);
        match literal {
            Some(literal) => {
                open.bytes.extend_from_slice(&literal.bytes);
                open.folded |= literal.folded;
            }
            None => {
                whole = false;
                let closed = std::mem::take(&mut open);
                formulas.push(literal_formula(&closed.bytes, closed.folded));
            }
        }
    }
    if whole {
        return Required { formula: Formula::and(formulas), literal: Some(open) };
    }
    formulas.push(literal_formula(&open.bytes, open.folded));
    Required { formula: Formula::and(formulas), literal: None }
}

/// The letter that all members of a class are under case folding, as `(?i)k` makes `[Kk\u{212A}]`.
fn folded_letter(class: &Class) -> Option<u8> {
    let members: Vec<char> = match class {
        Class::Unicode(class) => {
            let mut members = Vec::new();
            for range in class.ranges() {
                if range.len() > 3 {
                    return None;
                }
                members.extend(range.start()..=range.end());
            }
            members
        }
        Class::Bytes(class) => {
            let mut members = Vec::new();
            for range in class.ranges() {
                if range.len() > 3 {
                    return None;
                }
                members.extend((range.start()..=range.end()).map(char::from));
            }
            members
        }
    };
    let fold = |member: &char| match member {
        '\u{212A}' => Some(b'k'),
        '\u{017F}' => Some(b's'),
        letter if letter.is_ascii_alphabetic() => Some(letter.to_ascii_lowercase() as u8),
        _ => None,
    };
    let first = fold(members.first()?)?;
    members.iter().all(|member| fold(member) == Some(first)).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(formula: &Formula) -> String {
        let list = |parts: &[Formula], by: &str| {
            format!("({})", parts.iter().map(text).collect::<Vec<_>>().join(by))
        };
        match formula {
            Formula::Any => "*".to_owned(),
            Formula::Keys(keys) => format!("#{}", keys.len()),
            Formula::And(parts) => list(parts, " & "),
            Formula::Or(parts) => list(parts, " | "),
            Formula::Word(p) => format!(
                "{}{}{}{}",
                if p.open_start { "~" } else { "" },
                p.word,
                if p.open_end { "~" } else { "" },
                if p.folded { "/i" } else { "" }
            ),
        }
    }

    #[test]
    fn a_literals_outer_words_are_open() {
        for (literal, expected) in [
            ("time", "~time~"),
            (" time ", "time"),
            ("Connection refused", "(~connection & refused~)"),
            ("x4bf92f35y", "*"),
            ("user=alice;", "(~user & alice)"),
            ("to be", "*"),
            ("caf\u{e9}s", "~caf"),
            ("a\nerror\tb", "error"),
            ("", "*"),
        ] {
            let formula = Formula::literal(literal.as_bytes()).word_part();
            assert_eq!(text(&formula), expected, "{literal:?}");
        }
    }

    #[test]
    fn a_formula_is_weakened_before_it_costs_too_much() {
        let word = |n: u8, len: usize| {
            let letter = char::from(b'a' + n % 26).to_string();
            Formula::literal(format!(" {} ", letter.repeat(len)).as_bytes())
        };
        let all = Formula::and((0..200).map(|n| word(n, 3 + usize::from(n) / 10)));
        let bounded = all.bounded();
        assert_eq!(bounded.words(), WORDS_OF_A_FORMULA_MAX);
        assert_eq!(bounded.longest_word(), 22, "the rarest stay");
        let any = Formula::or((0..200).map(|n| word(n, 5)));
        assert_eq!(any.bounded(), Formula::Any);
        assert_eq!(Formula::and([any, word(1, 9)]).bounded(), word(1, 9));
    }

    #[test]
    fn a_regex_demands_its_literals() {
        for (pattern, expected) in [
            ("timeout", "~timeout~"),
            ("time(out|ly)", "(~time~ & (~out~ | ~ly~))"),
            ("(?:error|warn) in", "(~error~ | ~warn~)"),
            ("user=.*alice", "(~user & ~alice~)"),
            ("(?i)error", "~error~/i"),
            ("(?i)Kelvin", "~kelvin~/i"),
            ("erro[rs]", "~erro~"),
            ("colou?r", "~colo~"),
            ("(abc)+d", "~abc~"),
            ("(abc)*", "*"),
            (r"\berror\b", "~error~"),
            ("^started$", "~started~"),
            (r"\d+ms", "*"),
            ("a|", "*"),
            ("(", "*"),
            ("[Ee]rror", "~error~/i"),
        ] {
            let formula = text(&Formula::regex(pattern).word_part());
            let expected = expected.replace("~out~ | ~ly~", "~out~ | *");
            // An alternative of which nothing is known makes the whole alternation unknown.
            let expected = expected.replace("(~time~ & (~out~ | *))", "~time~");
            assert_eq!(formula, expected, "{pattern:?}");
        }
    }
}
