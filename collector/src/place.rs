//! A directory that may hold logs, whoever laid it out: a Mesos agent or the operator's globs.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;

use sawlog_transport::limits::LABEL_VALUE_BYTES_MAX;
use sawlog_transport::{Labels, StreamId};

use crate::envelope::Format;
use crate::rotation::Age;
use crate::{paths, sandbox};

/// What a directory is to us.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    Mesos(sandbox::Place),
    Glob(paths::Place),
}

/// The stream that a log's lines belong to.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub id: StreamId,
    pub labels: Arc<Labels>,
    /// Whether files that are not text are to be left out.
    pub text_only: bool,
    /// In what form its files hold their lines.
    pub format: Format,
    /// Whether its lines' own times are believed however old they are: we wrote them ourselves.
    pub times_are_true: bool,
}

impl Place {
    /// What a directory of this name is; `None` if no logs are below it.
    pub(crate) fn child(&self, name: &OsStr) -> Option<Place> {
        match self {
            Place::Mesos(place) => place.child(name).map(Place::Mesos),
            Place::Glob(place) => place.child(name).map(Place::Glob),
        }
    }

    /// Whether a task makes what is below, which therefore is limited.
    pub(crate) fn is_sandbox(&self) -> bool {
        matches!(self, Place::Mesos(place) if place.is_sandbox())
    }

    /// The log (its own name) to which a file of this name belongs, and how old the file is.
    pub(crate) fn log<'a>(&self, name: &'a OsStr) -> Option<(&'a OsStr, Age)> {
        match self {
            Place::Mesos(place) => place.log(name),
            Place::Glob(place) => place.log(name),
        }
    }

    /// The stream of a log in this directory.
    pub(crate) fn source(&self, host: &str, directory: &Path, base: &OsStr) -> Source {
        match self {
            Place::Mesos(place) => place.source(host, base),
            Place::Glob(_) => paths::source(host, &directory.join(base)),
        }
    }
}

/// Labels whose names we chose and whose values are file names: only a value's length can be wrong
/// (ids of containers nested very deep), and then its beginning must do.
pub(crate) fn labels<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Labels {
    let fitting = pairs
        .into_iter()
        .map(|(name, value)| (name, &value[..value.len().min(LABEL_VALUE_BYTES_MAX)]));
    Labels::from_pairs(fitting).expect("names are valid and few, values are cut to fit")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_is_too_long_is_cut() {
        let long = vec![b'x'; LABEL_VALUE_BYTES_MAX + 1];
        let labels = labels([("container", &long[..])]);
        assert_eq!(labels.get("container"), Some(&long[1..]));
    }
}
