//! The label set of a stream: names are text, values are bytes (Mesos ids are arbitrary file names).

use std::fmt;

use crate::limits::{LABEL_NAME_BYTES_MAX, LABEL_VALUE_BYTES_MAX, LABELS_BYTES_MAX, LABELS_MAX};

/// Labels sorted by name, each name once, none with an empty value (Loki and Prometheus treat an
/// empty value as an absent label).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Labels(Vec<(Box<str>, Box<[u8]>)>);

/// Why a label set was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LabelError {
    #[error("label '{0}' occurs twice")]
    Twice(String),
    #[error("a stream has {found} labels, at most {LABELS_MAX} are allowed")]
    TooMany { found: usize },
    #[error("label name '{0}' is not a valid name: a letter or '_', then letters, digits or '_'")]
    Name(String),
    #[error(
        "the value of label '{name}' has {found} bytes, at most {LABEL_VALUE_BYTES_MAX} are allowed"
    )]
    Value { name: String, found: usize },
    #[error("the labels have {found} bytes together, at most {LABELS_BYTES_MAX} are allowed")]
    TooLarge { found: usize },
}

impl Labels {
    /// Sorts and checks; pairs with an empty value are left out.
    ///
    /// # Errors
    /// A name that is no label name, occurs twice, or a limit that is exceeded.
    pub fn from_pairs<N: Into<Box<str>>, V: AsRef<[u8]>>(
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Self, LabelError> {
        let mut all: Vec<(Box<str>, Box<[u8]>)> = pairs
            .into_iter()
            .filter(|(_, value)| !value.as_ref().is_empty())
            .map(|(name, value)| (name.into(), Box::from(value.as_ref())))
            .collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        Self::check(&all)?;
        Ok(Self(all))
    }

    fn check(all: &[(Box<str>, Box<[u8]>)]) -> Result<(), LabelError> {
        if all.len() > LABELS_MAX {
            return Err(LabelError::TooMany { found: all.len() });
        }
        if let Some(pair) = all.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(LabelError::Twice(pair[0].0.to_string()));
        }
        let mut total = 0;
        for (name, value) in all {
            if !is_label_name(name) {
                return Err(LabelError::Name(name.to_string()));
            }
            if value.len() > LABEL_VALUE_BYTES_MAX {
                return Err(LabelError::Value { name: name.to_string(), found: value.len() });
            }
            total += name.len() + value.len();
        }
        if total > LABELS_BYTES_MAX {
            return Err(LabelError::TooLarge { found: total });
        }
        Ok(())
    }

    /// The value of a label; `None` if absent.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        let at = self.0.binary_search_by(|(known, _)| known.as_ref().cmp(name)).ok()?;
        Some(&self.0[at].1)
    }

    /// All labels in order of name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(name, value)| (name.as_ref(), value.as_ref()))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes of names and values.
    pub fn bytes(&self) -> usize {
        self.0.iter().map(|(name, value)| name.len() + value.len()).sum()
    }
}

/// Whether a text is a Prometheus label name: `[a-zA-Z_][a-zA-Z0-9_]*`.
pub fn is_label_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    bytes.len() <= LABEL_NAME_BYTES_MAX
        && bytes.first().is_some_and(|b| b.is_ascii_alphabetic() || *b == b'_')
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_')
}

impl fmt::Display for Labels {
    /// `{a="b",c="d"}` with Go-like escapes; bytes that are no UTF-8 are shown as U+FFFD.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (n, (name, value)) in self.iter().enumerate() {
            let comma = if n == 0 { "" } else { "," };
            write!(f, "{comma}{name}={:?}", String::from_utf8_lossy(value))?;
        }
        f.write_str("}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorts_drops_empty_values_and_finds() {
        let labels = Labels::from_pairs([("b", "2"), ("a", "1"), ("c", "")]).expect("valid");
        assert_eq!(labels.to_string(), r#"{a="1",b="2"}"#);
        assert_eq!(labels.get("b"), Some(&b"2"[..]));
        assert_eq!(labels.get("c"), None);
    }

    #[test]
    fn refuses_with_the_name() {
        let twice = Labels::from_pairs([("a", "1"), ("a", "2")]).unwrap_err();
        assert_eq!(twice.to_string(), "label 'a' occurs twice");
        let name = Labels::from_pairs([("a-b", "1")]).unwrap_err();
        assert_eq!(name, LabelError::Name("a-b".into()));
    }
}
