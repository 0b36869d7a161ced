//! What somebody asks about: a path, or a name that stands in the labels of a stream.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use sawlog_transport::{Labels, StreamId};

/// Labels by whose values streams are asked for.
const LABELS: [&str; 8] =
    ["container", "task", "task_name", "executor", "app", "service_name", "framework", "agent"];
/// The shortest beginning of a container's id that stands for it.
const ID_PREFIX_MIN: usize = 8;

/// What is asked about.
pub(super) enum Wanted {
    Path(PathBuf),
    Name(String),
}

impl Wanted {
    pub(super) fn new(query: &str) -> Self {
        if query.starts_with('/') && Path::new(query).components().count() > 1 {
            // Also an app of Marathon looks like this: whoever asks tries both.
            return Wanted::Path(Path::new(query).components().collect());
        }
        Wanted::Name(query.to_owned())
    }

    /// Whether it is the name of a stream.
    pub(super) fn names(&self, stream: StreamId, labels: &Labels) -> bool {
        let text = match self {
            Wanted::Path(path) => path.as_os_str().as_encoded_bytes(),
            Wanted::Name(name) => name.as_bytes(),
        };
        LABELS.iter().filter_map(|name| Some((*name, labels.get(name)?))).any(|(name, value)| {
            value == text || (name == "container" && is_container(value, text)) || {
                // The last name of an app in folders, as `sawlog search app:…` takes it.
                matches!(name, "app" | "service_name")
                    && value.strip_suffix(text).is_some_and(|folders| folders.ends_with(b"/"))
            }
        }) || stream.to_string().as_bytes() == text
    }

    /// Whether files of this directory are asked for by their path.
    pub(super) fn is_around(&self, directory: &Path) -> bool {
        match self {
            Wanted::Path(path) => {
                directory.starts_with(path) || path.parent().is_some_and(|of| of == directory)
            }
            Wanted::Name(_) => false,
        }
    }

    /// Whether a file of that log is asked for by its path: by its own name, by that of its log, or
    /// by a directory above it.
    pub(super) fn is_file(&self, directory: &Path, name: &OsStr, log: &OsStr) -> bool {
        match self {
            Wanted::Path(path) => {
                directory.starts_with(path)
                    || *path == directory.join(name)
                    || *path == directory.join(log)
            }
            Wanted::Name(_) => false,
        }
    }
}

/// The container itself, one nested in it, or the beginning of its id.
fn is_container(value: &[u8], text: &[u8]) -> bool {
    let is_long = text.len() >= ID_PREFIX_MIN;
    value.split(|byte| *byte == b'.').any(|part| part == text)
        || value.strip_prefix(text).is_some_and(|rest| rest.starts_with(b".") || is_long)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::labels;

    #[test]
    fn names_are_values_of_labels_paths_are_files_or_what_is_above() {
        let labels = labels([
            ("app", &b"/shop/checkout"[..]),
            ("container", b"5d1c1c0e-a3b4.n1"),
            ("task", b"t.1"),
        ]);
        let names = |query: &str| Wanted::new(query).names(StreamId(7), &labels);
        let stream = StreamId(7).to_string();
        for query in
            ["/shop/checkout", "checkout", "t.1", "n1", "5d1c1c0e-a3b4", "5d1c1c0e", &stream]
        {
            assert!(names(query), "{query}");
        }
        for query in ["shop", "5d1c", "t", "/shop", "out"] {
            assert!(!names(query), "{query}");
        }
        let dir = Path::new("/w/runs/c1");
        let is = |query: &str, name: &str| {
            let wanted = Wanted::new(query);
            wanted.is_around(dir) && wanted.is_file(dir, name.as_ref(), "stdout".as_ref())
        };
        assert!(is("/w", "stdout.1") && is("/w/runs/c1/", "stdout"));
        assert!(is("/w/runs/c1/stdout", "stdout.1") && is("/w/runs/c1/stdout.1", "stdout.1"));
        assert!(!is("/w/runs/c1/stdout.1", "stdout") && !is("/w/run", "stdout"));
    }
}
