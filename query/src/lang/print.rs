//! The tree as LogQL text, in one canonical form: what `parse` reads back as the same tree.

use std::fmt::{self, Display, Formatter};

use super::ast::{
    Aggregate, AggregateOp, Binary, BinaryOp, Expr, Grouping, LabelFilter, LineFilter, LineOp,
    LogExpr, MatchOp, Matcher, MetricExpr, RangeAgg, RangeOp, Stage, TopK,
};
use super::parse::UNITS;

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log(log) => log.fmt(f),
            Self::Metric(metric) => metric.fmt(f),
        }
    }
}

impl Display for LogExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        separated(f, ", ", &self.matchers)?;
        f.write_str("}")?;
        for stage in &self.stages {
            write!(f, " {stage}")?;
        }
        Ok(())
    }
}

impl Display for Matcher {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.name, self.op.symbol(), Quoted(&self.value))
    }
}

impl Display for Stage {
    /// [`Stage::Not`] has no LogQL text; it is written so that it cannot be taken for any.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(filter) => filter.fmt(f),
            Self::Label(filter) => write!(f, "| {filter}"),
            Self::Drop(names) => write!(f, "| drop {}", names.join(", ")),
            Self::Not(stages) => {
                f.write_str("| not (")?;
                separated(f, " ", stages)?;
                f.write_str(")")
            }
        }
    }
}

impl Display for LineFilter {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.op.symbol())?;
        separated(f, " or ", self.alternatives.iter().map(|text| Quoted(text)))
    }
}

impl Display for LabelFilter {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Match(matcher) => matcher.fmt(f),
            Self::Any(members) => separated(f, " or ", members),
            Self::All(members) => separated(f, " and ", members.iter().map(Member)),
        }
    }
}

/// A member of an `and`: an `or` needs parentheses there.
struct Member<'a>(&'a LabelFilter);

impl Display for Member<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            LabelFilter::Any(members) if members.len() > 1 => write!(f, "({})", self.0),
            other => other.fmt(f),
        }
    }
}

impl Display for MetricExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => Number(*number).fmt(f),
            Self::Vector(number) => write!(f, "vector({})", Number(*number)),
            Self::Range(range) => range.fmt(f),
            Self::Aggregate(aggregate) => aggregate.fmt(f),
            Self::TopK(topk) => topk.fmt(f),
            Self::Binary(binary) => binary.fmt(f),
        }
    }
}

impl Display for RangeAgg {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}({} [{}]", self.op.name(), self.log, Duration(self.range_ns))?;
        if self.offset_ns != 0 {
            write!(f, " offset {}", Duration(self.offset_ns))?;
        }
        f.write_str(")")
    }
}

impl Display for Aggregate {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.op.name())?;
        grouping(f, self.grouping.as_ref())?;
        write!(f, "({})", self.expr)
    }
}

impl Display for TopK {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(if self.bottom { "bottomk" } else { "topk" })?;
        grouping(f, self.grouping.as_ref())?;
        write!(f, "({}, {})", self.k, self.expr)
    }
}

fn grouping(f: &mut Formatter<'_>, grouping: Option<&Grouping>) -> fmt::Result {
    let Some(Grouping { without, labels }) = grouping else { return Ok(()) };
    let word = if *without { "without" } else { "by" };
    write!(f, " {word} ({}) ", labels.join(", "))
}

impl Display for Binary {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let right_associative = self.op.is_right_associative();
        side(f, self.op, &self.left, right_associative)?;
        write!(f, " {} ", self.op.symbol())?;
        if self.return_bool {
            f.write_str("bool ")?;
        }
        side(f, self.op, &self.right, !right_associative)
    }
}

/// One side of `op`, in parentheses if it would fall apart without; `equal` says that an operator of
/// the same precedence would.
fn side(f: &mut Formatter<'_>, op: BinaryOp, expr: &MetricExpr, equal: bool) -> fmt::Result {
    let falls_apart = match expr {
        MetricExpr::Binary(inner) => {
            let (inner, outer) = (inner.op.precedence(), op.precedence());
            inner < outer || (equal && inner == outer)
        }
        _ => false,
    };
    if falls_apart { write!(f, "({expr})") } else { expr.fmt(f) }
}

fn separated<T: Display>(
    f: &mut Formatter<'_>,
    separator: &str,
    items: impl IntoIterator<Item = T>,
) -> fmt::Result {
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            f.write_str(separator)?;
        }
        item.fmt(f)?;
    }
    Ok(())
}

/// A number that is short and reads back as the same float.
struct Number(f64);

impl Display for Number {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let magnitude = self.0.abs();
        if magnitude == 0.0 || (1e-5..1e16).contains(&magnitude) {
            write!(f, "{}", self.0)
        } else {
            write!(f, "{:e}", self.0)
        }
    }
}

/// Nanoseconds, in the largest units that hold them exactly: `1h30m`.
struct Duration(i64);

impl Display for Duration {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        if self.0 < 0 {
            f.write_str("-")?;
        }
        let mut rest = self.0.unsigned_abs();
        for (name, nanoseconds) in UNITS {
            let count = rest / nanoseconds.unsigned_abs();
            rest %= nanoseconds.unsigned_abs();
            if count > 0 {
                write!(f, "{count}{name}")?;
            }
        }
        Ok(())
    }
}

/// Bytes in double quotes, with the escapes that the parser resolves.
struct Quoted<'a>(&'a [u8]);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for chunk in self.0.utf8_chunks() {
            for character in chunk.valid().chars() {
                quoted_character(f, character)?;
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        f.write_str("\"")
    }
}

fn quoted_character(f: &mut Formatter<'_>, character: char) -> fmt::Result {
    match character {
        '"' => f.write_str("\\\""),
        '\\' => f.write_str("\\\\"),
        '\n' => f.write_str("\\n"),
        '\r' => f.write_str("\\r"),
        '\t' => f.write_str("\\t"),
        control if control.is_control() => write!(f, "\\u{:04x}", u32::from(control)),
        plain => write!(f, "{plain}"),
    }
}

impl MatchOp {
    /// The operator as it is written.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Eq => "=",
            Self::Ne => "!=",
            Self::Re => "=~",
            Self::Nre => "!~",
        }
    }
}

impl LineOp {
    /// The operator as it is written.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Contains => "|=",
            Self::NotContains => "!=",
            Self::Matches => "|~",
            Self::NotMatches => "!~",
        }
    }
}

impl RangeOp {
    pub(super) const ALL: [Self; 4] =
        [Self::CountOverTime, Self::Rate, Self::BytesOverTime, Self::BytesRate];

    /// The function's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::CountOverTime => "count_over_time",
            Self::Rate => "rate",
            Self::BytesOverTime => "bytes_over_time",
            Self::BytesRate => "bytes_rate",
        }
    }
}

impl AggregateOp {
    pub(super) const ALL: [Self; 5] = [Self::Sum, Self::Avg, Self::Min, Self::Max, Self::Count];

    /// The function's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Avg => "avg",
            Self::Min => "min",
            Self::Max => "max",
            Self::Count => "count",
        }
    }
}

impl BinaryOp {
    pub(super) const ALL: [Self; 15] = [
        Self::Add,
        Self::Sub,
        Self::Mul,
        Self::Div,
        Self::Mod,
        Self::Pow,
        Self::Eq,
        Self::Ne,
        Self::Gt,
        Self::Ge,
        Self::Lt,
        Self::Le,
        Self::And,
        Self::Or,
        Self::Unless,
    ];

    /// The operator as it is written.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
            Self::Mod => "%",
            Self::Pow => "^",
            Self::Eq => "==",
            Self::Ne => "!=",
            Self::Gt => ">",
            Self::Ge => ">=",
            Self::Lt => "<",
            Self::Le => "<=",
            Self::And => "and",
            Self::Or => "or",
            Self::Unless => "unless",
        }
    }
}
