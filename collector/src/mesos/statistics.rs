//! What an agent measured of one container, as `GET /containers` tells it: numbers, within a limit.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::json::Scalar;

/// The most numbers of one container; Mesos has about 60.
const NUMBERS_MAX: usize = 128;
/// The longest name of a number, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// The first numbers of a container's statistics, and their time in seconds since the epoch. What is
/// nested (disks, devices) is not taken.
#[derive(Default)]
pub(super) struct Statistics {
    pub(super) timestamp: Option<f64>,
    /// As they came: counters of bytes do not fit a double.
    pub(super) measured: BTreeMap<String, serde_json::Number>,
}

impl Statistics {
    fn take(&mut self, name: String, number: serde_json::Number) {
        if name == "timestamp" {
            self.timestamp = number.as_f64();
            return;
        }
        let is_name = name.len() <= NAME_BYTES_MAX
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if is_name && self.measured.len() < NUMBERS_MAX {
            self.measured.insert(name, number);
        }
    }
}

impl<'de> Deserialize<'de> for Statistics {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StatisticsVisitor)
    }
}

/// What is no object is no statistics.
struct StatisticsVisitor;

impl<'de> Visitor<'de> for StatisticsVisitor {
    type Value = Statistics;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("statistics")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Statistics, A::Error> {
        let mut found = Statistics::default();
        while let Some((name, value)) = object.next_entry::<String, Scalar>()? {
            if let Scalar::Number(number) = value {
                found.take(name, number);
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Statistics, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Statistics::default())
    }

    fn visit_unit<E>(self) -> Result<Statistics, E> {
        Ok(Statistics::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Statistics, E> {
        Ok(Statistics::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Statistics, E> {
        Ok(Statistics::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Statistics, E> {
        Ok(Statistics::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Statistics, E> {
        Ok(Statistics::default())
    }

    fn visit_str<E>(self, _: &str) -> Result<Statistics, E> {
        Ok(Statistics::default())
    }
}
