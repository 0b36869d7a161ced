//! Values as people write them: `10m`, `30d`, `50GiB`.

use std::net::SocketAddr;
use std::time::Duration;

/// The shortest retention: anything less is a slip of the pen.
const RETENTION_MIN: Duration = Duration::from_secs(60);
/// The smallest retention by bytes, for the same reason.
const RETENTION_BYTES_MIN: u64 = 64 << 20;

/// The shortest retention of a topic: an aggregator that is upgraded must find what it has not read.
pub(crate) const TOPIC_RETENTION_MIN: Duration = Duration::from_secs(3600);
/// More partitions than this slow Kafka down and serve nobody.
const PARTITIONS_MAX: u32 = 10_000;
/// More replicas than this are a slip of the pen.
const REPLICATION_MAX: u16 = 100;
/// The longest name of a group: bytes.
const NAME_BYTES_MAX: usize = 249;

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
        None if is_duration_of_other_numbers(text) => {
            Err(format!("'{text}' is too long: write at most 100000d"))
        }
        _ => Err(format!("'{text}' is no duration: write 500ms, 2s, 10m or 30d")),
    }
}

/// Whether only the numbers keep a text from being a duration.
fn is_duration_of_other_numbers(text: &str) -> bool {
    let mut other = String::new();
    for c in text.chars() {
        match c {
            '0'..='9' if other.ends_with('1') => {}
            '0'..='9' => other.push('1'),
            c => other.push(c),
        }
    }
    sawlog_query::duration(&other).is_some()
}

/// An address to listen on.
///
/// # Errors
/// The text is none; says how to write one.
pub(crate) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!("'{text}' is no address: write IP:PORT, such as 127.0.0.1:7411 or [::1]:7411")
    })
}

/// Some brokers: `host:port`, several separated by commas.
///
/// # Errors
/// The text is none; says how to write one.
pub(crate) fn brokers(text: &str) -> Result<String, String> {
    check_kafka(text, "sawlog").map(|()| text.to_owned())
}

/// The name of a topic.
///
/// # Errors
/// Kafka takes no such name; says which it takes.
pub(crate) fn topic(text: &str) -> Result<String, String> {
    check_kafka("kafka:9092", text).map(|()| text.to_owned())
}

#[cfg(feature = "kafka")]
fn check_kafka(brokers: &str, topic: &str) -> Result<(), String> {
    let config = sawlog_transport::kafka::KafkaConfig {
        brokers: brokers.to_owned(),
        topic: topic.to_owned(),
        client_id: String::new(),
        tls_ca: None,
    };
    config.validate().map_err(|error| error.to_string())
}

/// What is built without Kafka takes its settings, so that one file serves all.
#[cfg(not(feature = "kafka"))]
fn check_kafka(_brokers: &str, _topic: &str) -> Result<(), String> {
    Ok(())
}

/// The name of a consumer group.
///
/// # Errors
/// The text is empty or too long.
pub(crate) fn group(text: &str) -> Result<String, String> {
    match text.len() {
        1..=NAME_BYTES_MAX => Ok(text.to_owned()),
        _ => Err(format!("'{text}' is no group: write a name of 1 to {NAME_BYTES_MAX} bytes")),
    }
}

/// A number of partitions.
///
/// # Errors
/// The text is no number, or one that no topic should have.
pub(crate) fn partitions(text: &str) -> Result<u32, String> {
    let number = text.trim().parse().ok().filter(|number| (1..=PARTITIONS_MAX).contains(number));
    number
        .ok_or_else(|| format!("'{text}' is no number of partitions: write 1 to {PARTITIONS_MAX}"))
}

/// A number of replicas.
///
/// # Errors
/// The text is no number, or one that no topic can have.
pub(crate) fn replication(text: &str) -> Result<u16, String> {
    let number = text.trim().parse().ok().filter(|number| (1..=REPLICATION_MAX).contains(number));
    number.ok_or_else(|| format!("'{text}' is no number of replicas: write 1 to {REPLICATION_MAX}"))
}

/// How long a topic keeps batches.
///
/// # Errors
/// The text is no duration, or so short that a restart of the aggregator could lose lines.
pub(crate) fn topic_retention(text: &str) -> Result<Duration, String> {
    let retention = duration(text)?;
    if retention >= TOPIC_RETENTION_MIN {
        return Ok(retention);
    }
    Err(format!(
        "'{text}' is how long all aggregators may be down before lines are lost: write a longer one, \
         such as 1d (at least {})",
        show_duration(TOPIC_RETENTION_MIN),
    ))
}

/// A retention that keeps something.
///
/// # Errors
/// It is so short that it must be a mistake; says how to write one.
pub(super) fn sane_retention(retention: Duration) -> Result<Duration, String> {
    if retention >= RETENTION_MIN {
        return Ok(retention);
    }
    Err(format!(
        "{} would drop nearly everything: write a longer one, such as 30d (at least {})",
        show_duration(retention),
        show_duration(RETENTION_MIN),
    ))
}

/// A retention by bytes that keeps something.
///
/// # Errors
/// It is so small that it must be a mistake; says how to write one.
pub(super) fn sane_retention_bytes(bytes: u64) -> Result<u64, String> {
    if bytes >= RETENTION_BYTES_MIN {
        return Ok(bytes);
    }
    let least = RETENTION_BYTES_MIN >> 20;
    Err(format!(
        "{bytes} bytes would drop nearly everything: write a unit, such as 100GB (at least \
         {least}MiB)"
    ))
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
        for text in ["99999999d", "1d99999999999999999999h"] {
            assert!(duration(text).unwrap_err().contains("is too long"), "{text}");
        }
        assert!(duration("100000d").is_ok());
    }

    #[test]
    fn retentions_that_keep_nothing_are_refused() {
        assert!(sane_retention(RETENTION_MIN).is_ok());
        let short = sane_retention(Duration::from_millis(59_999)).unwrap_err();
        assert!(short.starts_with("59999ms") && short.contains("at least 1m"), "{short}");
        assert!(sane_retention_bytes(64 << 20).is_ok());
        let small = sane_retention_bytes((64 << 20) - 1).unwrap_err();
        assert!(small.contains("67108863 bytes") && small.contains("at least 64MiB"), "{small}");
    }
}
