//! One line of statistics, read as the numbers that windows are made of.

use std::fmt;

use chrono::DateTime;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

use super::json::Scalar;

/// What only grows while a container runs.
pub(super) const COUNTERS: [&str; 13] = [
    "cpus_user_time_secs",
    "cpus_system_time_secs",
    "cpus_nr_periods",
    "cpus_nr_throttled",
    "cpus_throttled_time_secs",
    "net_rx_bytes",
    "net_rx_packets",
    "net_rx_dropped",
    "net_rx_errors",
    "net_tx_bytes",
    "net_tx_packets",
    "net_tx_dropped",
    "net_tx_errors",
];
/// Where the processors' time is among them.
pub(super) const USER_TIME: usize = 0;
pub(super) const SYSTEM_TIME: usize = 1;

/// What goes up and down, and of which the greatest counts.
pub(super) const PEAKS: [&str; 4] = ["mem_total_bytes", "disk_used_bytes", "processes", "threads"];

/// What goes up and down, and of which all values count.
pub(super) const MEMORY: &str = "mem_rss_bytes";

/// What is set for a container or an agent, and seldom changes: the last one counts.
pub(super) const SETTINGS: [&str; 17] = [
    "cpus_limit",
    "cpus_soft_limit",
    "mem_limit_bytes",
    "mem_soft_limit_bytes",
    "disk_limit_bytes",
    "allocated_cpus",
    "allocated_mem_mib",
    "allocated_disk_mib",
    "allocated_gpus",
    "agent_cpus",
    "agent_mem_mib",
    "agent_disk_mib",
    "agent_gpus",
    "agent_allocated_cpus",
    "agent_allocated_mem_mib",
    "agent_allocated_disk_mib",
    "agent_allocated_gpus",
];

/// A container at one moment; `None` is unknown.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Sample {
    /// Nanoseconds since the epoch.
    pub time: i64,
    /// Whether the agent measured nothing.
    pub is_unmeasured: bool,
    pub counters: [Option<f64>; COUNTERS.len()],
    pub peaks: [Option<f64>; PEAKS.len()],
    pub memory: Option<f64>,
    pub settings: [Option<f64>; SETTINGS.len()],
}

impl Sample {
    /// Reads a line of ours; `None` if it is none, as when a crash cut it.
    pub(super) fn parse(line: &[u8]) -> Option<Self> {
        let Line { sample, time } = serde_json::from_slice(line).ok()?;
        Some(Self { time: parse_time(&time?)?, ..sample })
    }

    fn put(&mut self, name: &str, amount: f64) {
        let place = |names: &[&str]| names.iter().position(|known| *known == name);
        if let Some(at) = place(&COUNTERS) {
            self.counters[at] = Some(amount);
        } else if let Some(at) = place(&PEAKS) {
            self.peaks[at] = Some(amount);
        } else if let Some(at) = place(&SETTINGS) {
            self.settings[at] = Some(amount);
        } else if name == MEMORY {
            self.memory = Some(amount);
        }
    }
}

/// A time as lines have it, in nanoseconds since the epoch.
pub(super) fn parse_time(text: &str) -> Option<i64> {
    DateTime::parse_from_rfc3339(text).ok()?.timestamp_nanos_opt()
}

struct Line {
    sample: Sample,
    time: Option<String>,
}

impl<'de> Deserialize<'de> for Line {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(LineVisitor)
    }
}

struct LineVisitor;

impl<'de> Visitor<'de> for LineVisitor {
    type Value = Line;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a line of statistics")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Line, A::Error> {
        let mut line = Line { sample: Sample::default(), time: None };
        while let Some((name, value)) = object.next_entry::<String, Scalar>()? {
            match value {
                Scalar::Text(text) if name == "time" => line.time = Some(text),
                Scalar::Text(_) if name == "statistics" => line.sample.is_unmeasured = true,
                // Nothing that is counted or measured here can be less than nothing.
                Scalar::Number(number) => {
                    let amount = number.as_f64().filter(|amount| *amount >= 0.0);
                    amount.into_iter().for_each(|amount| line.sample.put(&name, amount));
                }
                _ => {}
            }
        }
        Ok(line)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LINE: &str = r#"{"time":"2026-08-20T10:00:00.500000Z","level":"info","event":"statistics",
        "agent_cpus":8.0,"allocated_cpus":1.1,"cpus_user_time_secs":100.25,"cpus_limit":1,
        "mem_rss_bytes":314572800,"disk_used_bytes":7,"net_rx_bytes":18446744073709551615,
        "processes":-3,"other":5}"#;

    #[test]
    fn the_numbers_that_are_needed_are_read_and_the_others_are_not() {
        let sample = Sample::parse(LINE.as_bytes()).expect("a line");
        assert_eq!(sample.time, 1_787_220_000_500_000_000);
        assert!(!sample.is_unmeasured);
        assert_eq!(
            (sample.counters[USER_TIME], sample.counters[SYSTEM_TIME]),
            (Some(100.25), None)
        );
        assert_eq!(sample.memory, Some(314_572_800.0));
        assert_eq!(sample.peaks, [None, Some(7.0), None, None]);
        let settings = sample.settings.iter().flatten().count();
        assert_eq!((settings, sample.settings[5]), (3, Some(1.1)));
    }

    #[test]
    fn what_was_not_measured_is_told() {
        let line = r#"{"time":"2026-08-20T10:00:00Z","statistics":"unknown","allocated_cpus":1}"#;
        let sample = Sample::parse(line.as_bytes()).expect("a line");
        assert!(sample.is_unmeasured && sample.settings[5] == Some(1.0));
        for torn in ["", "{}", "[]", r#"{"time":"today"}"#, &LINE[..100]] {
            assert_eq!(Sample::parse(torn.as_bytes()), None, "{torn}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(at in 0..LINE.len(), byte in any::<u8>(), cut in 0..LINE.len()) {
            let mut line = LINE.as_bytes().to_vec();
            line[at] = byte;
            for sample in [Sample::parse(&line), Sample::parse(&line[..cut])].into_iter().flatten() {
                let amounts = sample.counters.into_iter().chain(sample.settings).flatten();
                prop_assert!(amounts.chain(sample.memory).all(|amount| amount >= 0.0));
            }
        }
    }
}
