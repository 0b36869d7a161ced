//! Values as an agent's JSON has them, taken as they come: what is of another type than expected is
//! unknown, and no reason to lose the rest.

use std::fmt;

use serde::Deserialize;
use serde::de::{
    DeserializeOwned, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

/// The most objects and lists of an answer. One takes two bytes there and some hundred here, so that its
/// length alone bounds too little.
const OBJECTS_MAX: usize = 1 << 20;

/// An answer as text, and then as what it tells. Bytes that are no UTF-8 are replaced: names are cut at
/// bytes, not at characters.
///
/// # Errors
/// It is no JSON of this form, or has more objects and lists than anyone keeps.
pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, serde_json::Error> {
    let objects = memchr::memchr2_iter(b'{', b'[', body).count();
    if objects > OBJECTS_MAX {
        return Err(serde_json::Error::custom(format_args!(
            "{objects} objects and lists, of at most {OBJECTS_MAX}"
        )));
    }
    serde_json::from_str(&String::from_utf8_lossy(body))
}

/// A value that is neither list nor object; those are passed over without being kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Scalar {
    #[default]
    Unknown,
    Bool(bool),
    Number(serde_json::Number),
    Text(String),
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Scalar, E> {
        Ok(Scalar::Unknown)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Scalar, E> {
        Ok(Scalar::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Scalar, E> {
        Ok(Scalar::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Scalar, E> {
        Ok(Scalar::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Scalar, E> {
        Ok(serde_json::Number::from_f64(value).map_or(Scalar::Unknown, Scalar::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Scalar, E> {
        Ok(Scalar::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Scalar, E> {
        Ok(Scalar::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Scalar, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::Unknown)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Scalar, A::Error> {
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Unknown)
    }
}

/// A text; empty if there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "Scalar")]
pub(super) struct Text(pub(super) String);

impl From<Scalar> for Text {
    fn from(value: Scalar) -> Self {
        match value {
            Scalar::Text(text) => Self(text),
            Scalar::Number(number) => Self(number.to_string()),
            Scalar::Bool(_) | Scalar::Unknown => Self::default(),
        }
    }
}

/// A finite number; `None` for all else, also for `"Infinity"`, which is how agents write a limit
/// that is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(from = "Scalar")]
pub(super) struct Number(pub(super) Option<f64>);

impl From<Scalar> for Number {
    fn from(value: Scalar) -> Self {
        match value {
            Scalar::Number(number) => Self(number.as_f64().filter(|number| number.is_finite())),
            _ => Self(None),
        }
    }
}

/// Yes or no; `None` for all else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "Scalar")]
pub(super) struct Flag(pub(super) Option<bool>);

impl From<Scalar> for Flag {
    fn from(value: Scalar) -> Self {
        match value {
            Scalar::Bool(is_set) => Self(Some(is_set)),
            _ => Self(None),
        }
    }
}

/// A list; `null` is an empty one.
#[derive(Clone, Debug)]
pub(super) struct List<T>(pub(super) Vec<T>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let list = Option::<Vec<T>>::deserialize(deserializer)?;
        Ok(Self(list.unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_too_many_objects_is_refused() {
        #[derive(Deserialize, Default)]
        #[serde(default)]
        struct One {
            _id: Text,
        }
        let of = |objects: usize| format!("[{}{{}}]", "{},".repeat(objects - 2)).into_bytes();
        let list: List<One> = read(&of(OBJECTS_MAX)).expect("as many as may be");
        assert_eq!(list.0.len(), OBJECTS_MAX - 1);
        let error = read::<List<One>>(&of(OBJECTS_MAX + 1)).map(|list| list.0.len());
        assert!(error.expect_err("too many").to_string().contains("1048577"));
    }

    #[test]
    fn what_is_of_another_type_is_unknown() {
        #[derive(Deserialize, Default, Debug)]
        #[serde(default)]
        struct Task {
            id: Text,
            cpus: Number,
            healthy: Flag,
            tasks: List<Text>,
        }
        let text = r#"{"tasks":[
            {"id":"a","cpus":1.5,"tasks":["x",3]},
            {"id":null,"cpus":"Infinity","extra":[{}],"healthy":true},
            {"id":{"a":[1]},"cpus":[[{"b":2}],3],"healthy":{"c":4},"tasks":null}]}"#;
        #[derive(Deserialize)]
        struct State {
            tasks: List<Task>,
        }
        let state: State = serde_json::from_str(text).expect("JSON");
        let found: Vec<_> = state.tasks.0.iter().map(|t| (t.id.0.as_str(), t.cpus.0)).collect();
        assert_eq!(found, [("a", Some(1.5)), ("", None), ("", None)]);
        let healthy: Vec<_> = state.tasks.0.iter().map(|t| t.healthy.0).collect();
        assert_eq!(healthy, [None, Some(true), None]);
        assert_eq!(state.tasks.0[0].tasks.0, [Text("x".into()), Text("3".into())]);
    }
}
