//! The stages of a query, compiled: which entries stay, and what a block must hold for one to.

use memchr::memmem::Finder;
use regex::bytes::Regex;
use sawlog_aggregator::prune::Formula;
use sawlog_transport::Labels;

use super::entry::{EntryView, value_of};
use crate::lang::pattern::{PatternError, anchored, rust_syntax, unanchored};
use crate::lang::{LabelFilter, LineFilter, LineOp, MatchOp, Matcher, Stage};

/// A label matcher, compiled.
#[derive(Clone, Debug)]
pub struct LabelMatch {
    pub name: String,
    negated: bool,
    test: ValueTest,
}

#[derive(Clone, Debug)]
enum ValueTest {
    Equal(Vec<u8>),
    Regex(Regex),
}

impl LabelMatch {
    /// # Errors
    /// The regular expression does not compile (the parser has checked it).
    pub fn new(matcher: &Matcher) -> Result<Self, PatternError> {
        let test = if matcher.op.is_regex() {
            ValueTest::Regex(anchored(&matcher.value)?)
        } else {
            ValueTest::Equal(matcher.value.clone())
        };
        let negated = matches!(matcher.op, MatchOp::Ne | MatchOp::Nre);
        Ok(Self { name: matcher.name.clone(), negated, test })
    }

    /// Whether a value passes; an absent label has the empty value.
    pub fn accepts(&self, value: &[u8]) -> bool {
        let holds = match &self.test {
            ValueTest::Equal(wanted) => wanted == value,
            ValueTest::Regex(regex) => regex.is_match(value),
        };
        holds != self.negated
    }
}

/// One compiled stage.
#[derive(Clone, Debug)]
enum Step {
    Line { negated: bool, any_of: Vec<Needle> },
    Label(LabelTest),
    Drop(Vec<String>),
    Not(Vec<Step>),
}

/// A text or an expression to be found in a line.
#[derive(Clone, Debug)]
enum Needle {
    Literal(Box<Finder<'static>>),
    Regex(Regex),
}

impl Needle {
    fn is_in(&self, line: &[u8]) -> bool {
        match self {
            Needle::Literal(finder) => finder.find(line).is_some(),
            Needle::Regex(regex) => regex.is_match(line),
        }
    }
}

#[derive(Clone, Debug)]
enum LabelTest {
    One(LabelMatch),
    All(Vec<LabelTest>),
    Any(Vec<LabelTest>),
}

impl LabelTest {
    fn new(filter: &LabelFilter) -> Result<Self, PatternError> {
        let all = |list: &[LabelFilter]| list.iter().map(Self::new).collect::<Result<_, _>>();
        Ok(match filter {
            LabelFilter::Match(matcher) => LabelTest::One(LabelMatch::new(matcher)?),
            LabelFilter::All(list) => LabelTest::All(all(list)?),
            LabelFilter::Any(list) => LabelTest::Any(all(list)?),
        })
    }

    fn accepts(&self, value: &dyn Fn(&str) -> Vec<u8>) -> bool {
        match self {
            LabelTest::One(one) => one.accepts(&value(&one.name)),
            LabelTest::All(list) => list.iter().all(|test| test.accepts(value)),
            LabelTest::Any(list) => list.iter().any(|test| test.accepts(value)),
        }
    }
}

/// The compiled stages of a log query.
#[derive(Clone, Debug)]
pub struct Pipeline {
    steps: Vec<Step>,
    /// What `drop` takes away, all stages together.
    pub dropped: Vec<String>,
    pub formula: Formula,
}

impl Pipeline {
    /// # Errors
    /// A regular expression does not compile (the parser has checked them).
    pub fn new(stages: &[Stage]) -> Result<Self, PatternError> {
        let steps = compile(stages)?;
        let dropped = stages
            .iter()
            .filter_map(|stage| match stage {
                Stage::Drop(names) => Some(names.clone()),
                _ => None,
            })
            .flatten()
            .collect();
        let formula = Formula::and(stages.iter().map(formula_of));
        Ok(Self { steps, dropped, formula })
    }

    /// Whether an entry passes all stages.
    pub fn accepts(&self, labels: &Labels, entry: &EntryView<'_>) -> bool {
        let mut dropped: Vec<&str> = Vec::new();
        passes(&self.steps, labels, entry, &mut dropped)
    }

    /// Whether the text of a line is looked at.
    pub fn reads_text(&self) -> bool {
        fn reads(steps: &[Step]) -> bool {
            steps.iter().any(|step| match step {
                Step::Line { .. } => true,
                Step::Not(inner) => reads(inner),
                Step::Label(_) | Step::Drop(_) => false,
            })
        }
        reads(&self.steps)
    }

    /// A literal that every line that passes contains, if the first line filter is one: a whole
    /// block can be searched for it at once.
    pub fn leading_literal(&self) -> Option<&Finder<'static>> {
        let first =
            self.steps.iter().find(|step| matches!(step, Step::Line { negated: false, .. }));
        match first {
            Some(Step::Line { any_of, .. }) => match any_of.as_slice() {
                [Needle::Literal(finder)] if !finder.needle().is_empty() => Some(finder),
                _ => None,
            },
            _ => None,
        }
    }
}

fn compile(stages: &[Stage]) -> Result<Vec<Step>, PatternError> {
    stages
        .iter()
        .map(|stage| {
            Ok(match stage {
                Stage::Line(filter) => line_step(filter)?,
                Stage::Label(filter) => Step::Label(LabelTest::new(filter)?),
                Stage::Drop(names) => Step::Drop(names.clone()),
                Stage::Not(inner) => Step::Not(compile(inner)?),
            })
        })
        .collect()
}

fn line_step(filter: &LineFilter) -> Result<Step, PatternError> {
    let needle = |text: &Vec<u8>| {
        Ok(if filter.op.is_regex() {
            Needle::Regex(unanchored(text)?)
        } else {
            Needle::Literal(Box::new(Finder::new(text).into_owned()))
        })
    };
    let any_of = filter.alternatives.iter().map(needle).collect::<Result<_, PatternError>>()?;
    let negated = matches!(filter.op, LineOp::NotContains | LineOp::NotMatches);
    Ok(Step::Line { negated, any_of })
}

fn passes<'s>(
    steps: &'s [Step],
    labels: &Labels,
    entry: &EntryView<'_>,
    dropped: &mut Vec<&'s str>,
) -> bool {
    steps.iter().all(|step| match step {
        Step::Line { negated, any_of } => {
            any_of.iter().any(|needle| needle.is_in(entry.line)) != *negated
        }
        Step::Label(test) => {
            let value = |name: &str| {
                let gone = dropped.contains(&name);
                if gone { Vec::new() } else { value_of(labels, entry, name) }
            };
            test.accepts(&value)
        }
        Step::Drop(names) => {
            dropped.extend(names.iter().map(String::as_str));
            true
        }
        Step::Not(inner) => !passes(inner, labels, entry, dropped),
    })
}

/// What must be in a block for a line to pass the stage. Negative filters demand nothing.
fn formula_of(stage: &Stage) -> Formula {
    let Stage::Line(filter) = stage else { return Formula::Any };
    let demanded = |text: &Vec<u8>| match filter.op {
        LineOp::Contains => Formula::literal(text),
        LineOp::Matches => std::str::from_utf8(text)
            .ok()
            .and_then(|pattern| rust_syntax(pattern).ok())
            .map_or(Formula::Any, |pattern| Formula::regex(&pattern)),
        LineOp::NotContains | LineOp::NotMatches => Formula::Any,
    };
    Formula::or(filter.alternatives.iter().map(demanded))
}
