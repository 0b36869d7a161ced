//! How the values of something are spread, small enough to be kept for weeks and exact enough to be
//! added up: values of three significant digits, and how often each was met.

use serde_json::{Number, Value};

/// The digits that are kept of a value: it is off by at most 0.5 %.
const DIGITS: usize = 3;
/// The most different values. If there are more, all of them have a digit less.
const VALUES_MAX: usize = 31;
/// What they take at most, in bytes: lists grow by doubling, and there is one more for a moment.
pub(super) const SPREAD_BYTES_MAX: usize =
    size_of::<Spread>() + (VALUES_MAX + 1).next_power_of_two() * size_of::<(f64, u32)>();

/// Rounded values and their counts, the smallest first.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Spread {
    values: Vec<(f64, u32)>,
    digits: usize,
    /// The greatest value, not rounded.
    max: f64,
}

impl Default for Spread {
    fn default() -> Self {
        Self { values: Vec::new(), digits: DIGITS, max: 0.0 }
    }
}

impl Spread {
    /// Counts a value, which is finite and not negative.
    pub(super) fn add(&mut self, value: f64) {
        self.max = self.max.max(value);
        self.count(rounded(value, self.digits), 1);
        while self.values.len() > VALUES_MAX && self.digits > 1 {
            self.digits -= 1;
            for (value, count) in std::mem::take(&mut self.values) {
                self.count(rounded(value, self.digits), count);
            }
        }
    }

    fn count(&mut self, value: f64, count: u32) {
        match self.values.binary_search_by(|(known, _)| known.total_cmp(&value)) {
            Ok(at) => self.values[at].1 = self.values[at].1.saturating_add(count),
            Err(at) if self.digits > 1 || self.values.len() < VALUES_MAX => {
                self.values.insert(at, (value, count));
            }
            // Over so many powers of ten: it counts as the next that is greater.
            Err(at) => {
                let last = self.values.len() - 1;
                let next = &mut self.values[at.min(last)].1;
                *next = next.saturating_add(count);
            }
        }
    }

    /// The smallest value that at least so many of a hundred do not exceed; `None` without values.
    pub(super) fn percentile(&self, percent: u32) -> Option<f64> {
        let all: u64 = self.values.iter().map(|(_, count)| u64::from(*count)).sum();
        let wanted = (all * u64::from(percent)).div_ceil(100);
        let mut seen = 0;
        let found = self.values.iter().find(|(_, count)| {
            seen += u64::from(*count);
            seen >= wanted
        });
        found.map(|(value, _)| *value)
    }

    /// The greatest value; `None` without values.
    pub(super) fn max(&self) -> Option<f64> {
        (!self.values.is_empty()).then_some(self.max)
    }

    /// `[[value, count], …]`; `None` without values.
    pub(super) fn json(&self) -> Option<Value> {
        let pair = |(value, count): &(f64, u32)| {
            Value::Array(vec![Value::Number(number(*value)), (*count).into()])
        };
        let is_empty = self.values.is_empty();
        (!is_empty).then(|| Value::Array(self.values.iter().map(pair).collect()))
    }
}

/// A value with so many significant digits.
fn rounded(value: f64, digits: usize) -> f64 {
    // By its decimal digits, so that 0.18 stays 0.18 and nothing else.
    format!("{value:.*e}", digits - 1).parse().unwrap_or(value)
}

/// Whole numbers are written as such, others to the millionth.
pub(super) fn number(value: f64) -> Number {
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    let value = if value < EXACT_MAX { (value * 1e6).round() / 1e6 } else { value };
    if value.fract() == 0.0 && (0.0..=EXACT_MAX).contains(&value) {
        // Whole and small enough, as was just seen.
        return Number::from(value as u64);
    }
    Number::from_f64(value).unwrap_or_else(|| Number::from(0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(values: &[f64]) -> Spread {
        let mut spread = Spread::default();
        values.iter().for_each(|value| spread.add(*value));
        spread
    }

    #[test]
    fn values_are_counted_by_three_digits() {
        let spread = of(&[0.18, 0.18, 314_572_800.0, 0.0]);
        let json = spread.json().expect("values");
        assert_eq!(json.to_string(), "[[0,1],[0.18,2],[315000000,1]]");
        assert_eq!(spread.max(), Some(314_572_800.0));
        assert_eq!((spread.percentile(50), spread.percentile(75)), (Some(0.18), Some(0.18)));
        assert_eq!(spread.percentile(95), Some(315_000_000.0));
        assert_eq!((of(&[]).percentile(50), of(&[]).max(), of(&[]).json()), (None, None, None));
    }

    #[test]
    fn percentiles_are_those_of_the_nearest_rank() {
        let values: Vec<f64> = (1..=20).map(f64::from).collect();
        let spread = of(&values);
        assert_eq!((spread.percentile(50), spread.percentile(95)), (Some(10.0), Some(19.0)));
        assert_eq!(spread.percentile(100), Some(20.0));
    }

    #[test]
    fn numbers_are_written_without_noise() {
        let written = |value| number(value).to_string();
        assert_eq!(written(0.1 + 0.2), "0.3");
        assert_eq!(written(54.0), "54");
        assert_eq!(written(9_007_199_254_740_992.0), "9007199254740992");
        assert!(written(1e300).starts_with("1e"));
    }

    proptest! {
        #[test]
        fn no_value_is_left_out_and_none_is_far_off(
            values in prop::collection::vec(prop_oneof![0.0..10.0, 0.0..1e12, 1e-9..1e-6], 1..300),
        ) {
            let spread = of(&values);
            let counted: u32 = spread.values.iter().map(|(_, count)| *count).sum();
            prop_assert_eq!(counted as usize, values.len());
            prop_assert!(spread.values.len() <= VALUES_MAX);
            prop_assert!(spread.values.is_sorted_by(|a, b| a.0 < b.0));
            let mut sorted = values.clone();
            sorted.sort_by(f64::total_cmp);
            let exact = sorted[(sorted.len() * 95).div_ceil(100) - 1];
            let found = spread.percentile(95).expect("values");
            if spread.digits == DIGITS {
                prop_assert!((found - exact).abs() <= exact * 0.00501, "{found} for {exact}");
            }
        }
    }
}
