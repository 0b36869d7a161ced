//! Values as an agent's JSON has them, taken as they come: what is of another type than expected is
//! unknown, and no reason to lose the rest.

use serde::Deserialize;
use serde_json::Value;

/// A text; empty if there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "Value")]
pub(super) struct Text(pub(super) String);

impl From<Value> for Text {
    fn from(value: Value) -> Self {
        match value {
            Value::String(text) => Self(text),
            Value::Number(number) => Self(number.to_string()),
            _ => Self::default(),
        }
    }
}

/// A finite number; `None` for all else, also for `"Infinity"`, which is how agents write a limit
/// that is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(from = "Value")]
pub(super) struct Number(pub(super) Option<f64>);

impl From<Value> for Number {
    fn from(value: Value) -> Self {
        Self(value.as_f64().filter(|number| number.is_finite()))
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
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let list = Option::<Vec<T>>::deserialize(deserializer)?;
        Ok(Self(list.unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_of_another_type_is_unknown() {
        #[derive(Deserialize, Default, Debug)]
        #[serde(default)]
        struct Task {
            id: Text,
            cpus: Number,
            tasks: List<Text>,
        }
        let text = r#"{"tasks":[
            {"id":"a","cpus":1.5,"tasks":["x",3]},
            {"id":null,"cpus":"Infinity","extra":[{}]},
            {"id":{},"cpus":null,"tasks":null}]}"#;
        #[derive(Deserialize)]
        struct State {
            tasks: List<Task>,
        }
        let state: State = serde_json::from_str(text).expect("JSON");
        let found: Vec<_> = state.tasks.0.iter().map(|t| (t.id.0.as_str(), t.cpus.0)).collect();
        assert_eq!(found, [("a", Some(1.5)), ("", None), ("", None)]);
        assert_eq!(state.tasks.0[0].tasks.0, [Text("x".into()), Text("3".into())]);
    }
}
