//! The tree of a LogQL query: what the parser returns, the printer writes and the engine runs.

/// A whole query.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// Answers with lines.
    Log(LogExpr),
    /// Answers with numbers over time.
    Metric(MetricExpr),
}

/// A selector and what happens to its lines, as in `{app="web"} |= "timeout" | level="error"`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogExpr {
    /// All must hold for a stream to be read. Empty (every stream) only where the caller of the
    /// parser allowed it.
    pub matchers: Vec<Matcher>,
    /// Applied to each entry, in this order.
    pub stages: Vec<Stage>,
}

/// A test of one label's value. An absent label has the empty value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matcher {
    /// The label's name.
    pub name: String,
    /// How `value` is compared.
    pub op: MatchOp,
    /// Bytes to be equal to, or a regular expression (UTF-8) that must match the **whole** value,
    /// see [`pattern::anchored`](super::pattern::anchored).
    pub value: Vec<u8>,
}

/// How a matcher compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatchOp {
    /// `=`: equal.
    Eq,
    /// `!=`: not equal.
    Ne,
    /// `=~`: the whole value matches the expression.
    Re,
    /// `!~`: it does not.
    Nre,
}

impl MatchOp {
    /// Whether the value is a regular expression.
    pub fn is_regex(self) -> bool {
        matches!(self, Self::Re | Self::Nre)
    }
}

/// One step of a pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// `|= "text"` and its relatives: keep entries by their line.
    Line(LineFilter),
    /// `| level="error"`: keep entries by a label or by structured metadata.
    Label(LabelFilter),
    /// `| drop a, b`: take these labels away from the answer. No negative line filter comes right
    /// behind it: LogQL reads `| drop a != "b"` as a condition on `a`.
    Drop(Vec<String>),
    /// Keeps what its stages, in a row, would *not* keep. Only plain words make it
    /// ([`compile`](super::compile) with `invert`); LogQL has no text for it.
    Not(Vec<Stage>),
}

/// A test of the line's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineFilter {
    /// How the alternatives are compared.
    pub op: LineOp,
    /// At least one. A positive filter keeps a line that fits **any** of them; a negative one keeps
    /// a line that fits **none**. For [`LineOp::Matches`] and [`LineOp::NotMatches`] each is a
    /// regular expression (UTF-8) that may match anywhere, see
    /// [`pattern::unanchored`](super::pattern::unanchored).
    pub alternatives: Vec<Vec<u8>>,
}

/// How a line filter compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineOp {
    /// `|=`: the line contains these bytes.
    Contains,
    /// `!=`: it does not.
    NotContains,
    /// `|~`: the expression matches somewhere in the line.
    Matches,
    /// `!~`: it does not.
    NotMatches,
}

impl LineOp {
    /// Whether the alternatives are regular expressions.
    pub fn is_regex(self) -> bool {
        matches!(self, Self::Matches | Self::NotMatches)
    }

    /// The operator that keeps exactly the lines this one does not keep.
    #[must_use]
    pub fn negated(self) -> Self {
        match self {
            Self::Contains => Self::NotContains,
            Self::NotContains => Self::Contains,
            Self::Matches => Self::NotMatches,
            Self::NotMatches => Self::Matches,
        }
    }
}

/// Tests of labels combined. The parser returns no `All` directly inside an `All`, no `Any` directly
/// inside an `Any`, and neither with fewer than two members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LabelFilter {
    /// One test.
    Match(Matcher),
    /// Every member holds.
    All(Vec<LabelFilter>),
    /// At least one member holds.
    Any(Vec<LabelFilter>),
}

/// An expression whose answer is numbers.
#[derive(Clone, Debug, PartialEq)]
pub enum MetricExpr {
    /// A literal: a scalar.
    Number(f64),
    /// `vector(n)`: one sample without labels.
    Vector(f64),
    /// Entries counted or measured over a range, per stream.
    Range(RangeAgg),
    /// Series merged by their labels.
    Aggregate(Aggregate),
    /// The largest or smallest series of each group.
    TopK(TopK),
    /// Two expressions combined.
    Binary(Binary),
}

impl MetricExpr {
    /// Whether the answer is a plain number and not a vector of samples.
    pub fn is_scalar(&self) -> bool {
        match self {
            Self::Number(_) => true,
            Self::Binary(binary) => binary.left.is_scalar() && binary.right.is_scalar(),
            Self::Vector(_) | Self::Range(_) | Self::Aggregate(_) | Self::TopK(_) => false,
        }
    }
}

/// `count_over_time({…} [5m] offset 1h)` and its relatives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeAgg {
    /// What is computed from the entries of one window.
    pub op: RangeOp,
    /// Where the entries come from.
    pub log: LogExpr,
    /// Length of the window in nanoseconds, above 0. At time t it is `(t - offset - range, t - offset]`.
    pub range_ns: i64,
    /// How far the window is moved into the past, in nanoseconds; negative moves it forward.
    pub offset_ns: i64,
}

/// What a range aggregation computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeOp {
    /// Entries in the window.
    CountOverTime,
    /// Entries per second.
    Rate,
    /// Bytes of their lines.
    BytesOverTime,
    /// Bytes per second.
    BytesRate,
}

/// `sum by (app) (…)` and its relatives.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    /// How the samples of a group become one.
    pub op: AggregateOp,
    /// Which labels make a group; `None` puts everything into one.
    pub grouping: Option<Grouping>,
    /// Where the series come from; never a scalar.
    pub expr: Box<MetricExpr>,
}

/// How an aggregation merges samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AggregateOp {
    /// Their sum.
    Sum,
    /// Their mean.
    Avg,
    /// The smallest.
    Min,
    /// The largest.
    Max,
    /// How many there are.
    Count,
}

/// `by (a, b)` or `without (a, b)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grouping {
    /// True: the labels that are left out. False: the labels that are kept.
    pub without: bool,
    /// May be empty.
    pub labels: Vec<String>,
}

/// `topk(k, …)` or `bottomk(k, …)`.
#[derive(Clone, Debug, PartialEq)]
pub struct TopK {
    /// True: the smallest instead of the largest.
    pub bottom: bool,
    /// How many series of each group are kept, above 0.
    pub k: u32,
    /// Which labels make a group; `None` puts everything into one.
    pub grouping: Option<Grouping>,
    /// Where the series come from; never a scalar.
    pub expr: Box<MetricExpr>,
}

/// Two expressions and what joins them.
#[derive(Clone, Debug, PartialEq)]
pub struct Binary {
    /// The operator.
    pub op: BinaryOp,
    /// Only with a comparison: answer 1 or 0 instead of keeping or dropping the sample.
    pub return_bool: bool,
    /// The expression before the operator.
    pub left: Box<MetricExpr>,
    /// The expression after it.
    pub right: Box<MetricExpr>,
}

/// A binary operator of metric expressions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Eq,
    Ne,
    Gt,
    Ge,
    Lt,
    Le,
    And,
    Or,
    Unless,
}

impl BinaryOp {
    /// `== != > >= < <=`
    pub fn is_comparison(self) -> bool {
        matches!(self, Self::Eq | Self::Ne | Self::Gt | Self::Ge | Self::Lt | Self::Le)
    }

    /// `and or unless`: these need a vector on both sides.
    pub fn is_set(self) -> bool {
        matches!(self, Self::And | Self::Or | Self::Unless)
    }

    /// How tightly it binds: a higher number binds tighter.
    pub(super) fn precedence(self) -> u8 {
        match self {
            Self::Or => 1,
            Self::And | Self::Unless => 2,
            Self::Eq | Self::Ne | Self::Gt | Self::Ge | Self::Lt | Self::Le => 3,
            Self::Add | Self::Sub => 4,
            Self::Mul | Self::Div | Self::Mod => 5,
            Self::Pow => 6,
        }
    }

    /// Whether `a op b op c` means `a op (b op c)`.
    pub(super) fn is_right_associative(self) -> bool {
        self == Self::Pow
    }
}
