//! Values as people write them: `10m`, `30d`, `50GiB`.

use std::time::Duration;

/// The factors of a size's units.
const UNITS: [(&str, u64); 9] = [
    ("B", 1),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// A duration such as `2s`, `500ms`, `10m` or `30d`.
///
/// # Errors
/// The text is no duration, or one of nothing; says how to write one.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    match sawlog_query::duration(text) {
        Some(nanos) if nanos > 0 => Ok(Duration::from_nanos(nanos.unsigned_abs())),
        _ => Err(format!("'{text}' is no duration: write 500ms, 2s, 10m or 30d")),
    }
}

/// A number of bytes such as `100GB`, `50GiB`, `1.5TB` or `1000000`.
///
/// # Errors
/// The text is no size, one of nothing, or too large for 64 bits; says how to write one.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("'{text}' is no size: write 100GB, 50GiB or a number of bytes");
    let trimmed = text.trim();
    let end = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
    let (number, unit) = (&trimmed[..end], trimmed[end..].trim_start());
    let same = |name: &str| name.eq_ignore_ascii_case(unit);
    let factor = match UNITS.into_iter().find(|(name, _)| same(name)) {
        Some((_, factor)) => factor,
        None if unit.is_empty() => 1,
        None => return Err(wrong()),
    };
    let bytes = match number.parse::<u64>() {
        Ok(number) => number.checked_mul(factor),
        // A fraction: f64 is exact far beyond what anybody means by one.
        Err(_) => number.parse::<f64>().ok().map(|number| number * factor as f64).and_then(whole),
    };
    bytes.filter(|bytes| *bytes > 0).ok_or_else(wrong)
}

fn whole(bytes: f64) -> Option<u64> {
    (bytes >= 0.0 && bytes < u64::MAX as f64).then_some(bytes as u64)
}

/// A duration as [`duration`] reads it.
pub(super) fn show_duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    let units: [(&str, u128); 6] = [
        ("d", 86_400_000_000_000),
        ("h", 3_600_000_000_000),
        ("m", 60_000_000_000),
        ("s", 1_000_000_000),
        ("ms", 1_000_000),
        ("us", 1_000),
    ];
    let whole = units.into_iter().find(|(_, unit)| nanos.is_multiple_of(*unit));
    whole.map_or_else(|| format!("{nanos}ns"), |(name, unit)| format!("{}{name}", nanos / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_with_units_of_both_kinds() {
        for (text, bytes) in [
            ("100GB", 100_000_000_000),
            ("50GiB", 50 << 30),
            ("50 gib", 50 << 30),
            ("1.5KiB", 1536),
            ("7", 7),
            ("7B", 7),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "0", "0GB", "GB", "-1", "1.2.3GB", "5 apples", "99999999TB", "NaN", "1e3"]
        {
            let message = size(text).unwrap_err();
            assert!(
                message.contains(&format!("'{text}'")) && message.contains("100GB"),
                "{message}"
            );
        }
    }

    #[test]
    fn durations_are_shown_as_they_are_read() {
        for text in ["1ms", "600s", "10m", "30d", "90m", "1500ms", "7ns", "36h"] {
            let value = duration(text).unwrap();
            assert_eq!(duration(&show_duration(value)), Ok(value), "{text}");
        }
        assert_eq!(show_duration(Duration::from_secs(600)), "10m");
        for text in ["0s", "", "soon", "-1s", "5"] {
            assert!(duration(text).unwrap_err().contains("10m"), "{text}");
        }
    }
}
