//! The table.

use crate::process::Measured;

/// One line of the table.
pub(crate) struct Row {
    pub(crate) what: &'static str,
    pub(crate) value: f64,
    /// Reading and finding lines; zstd-1.
    pub(crate) floors: [Option<f64>; 2],
    pub(crate) baseline: Option<f64>,
}

pub(crate) fn print_head() {
    println!(
        "{:40} {:>9} | {:>9} {:>7} | {:>9} {:>7} | {:>9} {:>7}",
        "", "value", "read+find", "ratio", "zstd-1", "ratio", "per line", "ratio"
    );
}

impl Row {
    pub(crate) fn print(&self) {
        print!("{:40} {:>9}", self.what, number(self.value));
        for other in self.floors.into_iter().chain([self.baseline]) {
            match other {
                Some(other) => print!(" | {:>9} {:>7.3}", number(other), self.value / other),
                None => print!(" | {:>9} {:>7}", "–", "–"),
            }
        }
        println!();
    }
}

/// Shares with three digits behind the point, large numbers with one.
fn number(value: f64) -> String {
    if value < 10.0 { format!("{value:.3}") } else { format!("{value:.1}") }
}

/// What the baseline takes before and after a merge, and without the compression we grant it.
pub(crate) fn print_baseline(lines: &Measured, merged: &Measured, raw: f64) {
    println!(
        "  per line: {:.3} of raw in {} segments, {:.3} merged to one ({:.1} s more CPU); {:.3} as \
         stored without compression",
        lines.number("disk") / raw,
        merged.number("segments"),
        merged.number("disk") / raw,
        merged.number("cpu"),
        lines.number("uncompressed") / raw,
    );
}

/// What the aggregator did.
pub(crate) fn print_work(aggregate: &Measured) {
    let said: Vec<String> = aggregate
        .numbers()
        .map(|(name, number)| match number.fract() == 0.0 {
            true => format!("{name} {number}"),
            false => format!("{name} {number:.2} s"),
        })
        .collect();
    println!("  aggregator ({:.1} s): {}", aggregate.elapsed.as_secs_f64(), said.join(", "));
}
