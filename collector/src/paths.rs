//! Globs of plain files, matched name by name, so that every directory on the way can be watched.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use glob::{MatchOptions, Pattern};
use sawlog_transport::StreamId;

use crate::envelope::{Format, known_path};
use crate::place::{Source, labels};
use crate::rotation::{self, Age};

/// How many directories deep `**` looks.
const DEPTH_MAX: usize = 32;
/// How many directories [`matches_any`] looks into before it gives up.
const LOOKED_INTO_MAX: usize = 1000;

/// A hidden file is matched only by a pattern that begins with a dot.
const OPTIONS: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

/// A glob that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum GlobError {
    #[error("path '{glob}' is not a valid glob at '{part}': {reason}")]
    Pattern { glob: String, part: String, reason: &'static str },
    #[error("path '{glob}' names no file: end it with a file name or a pattern such as '*.log'")]
    NoFile { glob: String },
    #[error("path '{glob}' has '..' after a wildcard: write the path without it")]
    Parent { glob: String },
    #[error("path '{glob}' cannot be made absolute: {source}")]
    Relative {
        glob: String,
        #[source]
        source: std::io::Error,
    },
}

/// A compiled glob: a directory without wildcards, and the names below it.
#[derive(Debug)]
pub(crate) struct Glob {
    /// The longest directory without a wildcard.
    pub root: PathBuf,
    /// What follows; the last one matches file names.
    parts: Vec<Part>,
}

#[derive(Debug)]
enum Part {
    /// `**`: any number of directories.
    AnyDepth,
    Name(Pattern),
}

impl Glob {
    /// Compiles a glob; a relative one is taken from the working directory on.
    pub(crate) fn parse(text: &str) -> Result<Self, GlobError> {
        let glob = || text.to_owned();
        if text.is_empty() || text.ends_with('/') {
            return Err(GlobError::NoFile { glob: glob() });
        }
        let absolute = std::path::absolute(text)
            .map_err(|source| GlobError::Relative { glob: glob(), source })?;
        let absolute = absolute.to_string_lossy().into_owned();
        let mut names: Vec<&str> = absolute.split('/').filter(|name| !name.is_empty()).collect();
        if names.last() == Some(&"**") {
            names.push("*");
        }
        let (last, directories) =
            names.split_last().ok_or_else(|| GlobError::NoFile { glob: glob() })?;
        let literal = directories.iter().take_while(|name| !has_wildcard(name)).count();
        let root =
            directories[..literal].iter().fold(PathBuf::from("/"), |path, name| path.join(name));
        let mut parts = Vec::new();
        for name in directories[literal..].iter().chain([last]) {
            parts.push(Self::part(text, name)?);
        }
        Ok(Self { root, parts })
    }

    fn part(glob: &str, name: &str) -> Result<Part, GlobError> {
        match name {
            "**" => Ok(Part::AnyDepth),
            ".." => Err(GlobError::Parent { glob: glob.to_owned() }),
            _ => Pattern::new(name).map(Part::Name).map_err(|error| GlobError::Pattern {
                glob: glob.to_owned(),
                part: name.to_owned(),
                reason: error.msg,
            }),
        }
    }
}

fn has_wildcard(name: &str) -> bool {
    name.contains(['*', '?', '['])
}

/// A directory on the way of a glob.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    glob: Arc<Glob>,
    /// Which parts may match the next name; ascending.
    states: Vec<usize>,
    depth: usize,
}

impl Place {
    /// The place of the glob's root.
    pub(crate) fn root(glob: Arc<Glob>) -> Self {
        let mut place = Self { glob, states: vec![0], depth: 0 };
        place.skip_any_depth();
        place
    }

    /// `**` may also stand for no directory at all.
    fn skip_any_depth(&mut self) {
        let mut at = 0;
        while let Some(state) = self.states.get(at).copied() {
            if matches!(self.glob.parts[state], Part::AnyDepth)
                && !self.states.contains(&(state + 1))
            {
                self.states.insert(at + 1, state + 1);
            }
            at += 1;
        }
    }

    /// The place of a directory of this name; `None` if nothing below it can match.
    pub(crate) fn child(&self, name: &OsStr) -> Option<Place> {
        if self.depth >= DEPTH_MAX {
            return None;
        }
        let text = name.to_string_lossy();
        let hidden = text.starts_with('.');
        let last = self.glob.parts.len() - 1;
        let mut states = Vec::new();
        for state in &self.states {
            let next = match &self.glob.parts[*state] {
                Part::AnyDepth if !hidden => *state,
                Part::Name(pattern) if *state < last && pattern.matches_with(&text, OPTIONS) => {
                    *state + 1
                }
                _ => continue,
            };
            if !states.contains(&next) {
                states.push(next);
            }
        }
        if states.is_empty() {
            return None;
        }
        states.sort_unstable();
        let mut place = Place { glob: self.glob.clone(), states, depth: self.depth + 1 };
        place.skip_any_depth();
        Some(place)
    }

    /// The log to which a file of this name belongs: rotated siblings belong to what matches.
    pub(crate) fn log<'a>(&self, name: &'a OsStr) -> Option<(&'a OsStr, Age)> {
        let (base, age) = rotation::split(name);
        (self.matches(base) || (age > 0 && self.matches(name))).then_some((base, age))
    }

    fn matches(&self, name: &OsStr) -> bool {
        let last = self.glob.parts.len() - 1;
        let Part::Name(pattern) = &self.glob.parts[last] else { return false };
        self.states.contains(&last) && pattern.matches_with(&name.to_string_lossy(), OPTIONS)
    }
}

/// Whether there is anything that a glob matches now. Where that is not known, since a directory
/// cannot be read or there are too many, the answer is yes.
pub fn matches_any(glob: &str) -> bool {
    let Ok(glob) = Glob::parse(glob) else { return true };
    let mut directories = vec![(glob.root.clone(), Place::root(Arc::new(glob)))];
    for _ in 0..LOOKED_INTO_MAX {
        let Some((directory, place)) = directories.pop() else { return false };
        let entries = match std::fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(_) => return true,
        };
        for entry in entries.filter_map(Result::ok) {
            let name = entry.file_name();
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if place.log(&name).is_some() {
                    return true;
                }
            } else if let Some(child) = place.child(&name) {
                directories.push((directory.join(&name), child));
            }
        }
    }
    true
}

/// The stream of a plain file; `path` without a rotation's suffix.
pub(crate) fn source(host: &str, path: &Path) -> Source {
    let file = path.as_os_str().as_bytes();
    let stem = path.file_stem().unwrap_or(path.as_os_str()).as_bytes();
    let known = known_path(path);
    let app = known.map_or(stem, |known| known.app);
    let labels = labels([
        ("app", app),
        ("service_name", app),
        ("container", known.map_or(b"", |known| known.container)),
        ("host", host.as_bytes()),
        ("stream", b"file"),
        ("file", file),
    ]);
    let id = StreamId::of_file(host.as_bytes(), b"", b"", b"", file);
    let format = known.map_or(Format::Auto, |known| known.format);
    Source { id, labels: Arc::new(labels), text_only: true, format, times_are_true: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a glob matches a path, walking it as discovery does.
    fn log_of(glob: &str, path: &str) -> Option<String> {
        let glob = Arc::new(Glob::parse(glob).expect("valid"));
        let path = Path::new(path);
        let below = path.strip_prefix(&glob.root).ok()?;
        let mut place = Place::root(glob);
        for name in below.parent()?.iter() {
            place = place.child(name)?;
        }
        let (base, _) = place.log(path.file_name()?)?;
        Some(base.to_string_lossy().into_owned())
    }

    #[test]
    fn matches_like_a_shell() {
        for (glob, path) in [
            ("/var/log/x.log", "/var/log/x.log"),
            ("/var/log/*.log", "/var/log/x.log"),
            ("/var/log/*/x.log", "/var/log/a/x.log"),
            ("/var/log/**/x.log", "/var/log/x.log"),
            ("/var/log/**/x.log", "/var/log/a/b/x.log"),
            ("/var/**/b/*.log", "/var/b/b/x.log"),
            ("/var/log/**", "/var/log/a/x.log"),
            ("/var/log/[a-c]?.log", "/var/log/b1.log"),
        ] {
            assert_eq!(
                log_of(glob, path).as_deref(),
                Path::new(path).file_name().and_then(OsStr::to_str)
            );
        }
        for (glob, path) in [
            ("/var/log/*.log", "/var/log/a/x.log"),
            ("/var/log/*.log", "/var/log/x.txt"),
            ("/var/log/*", "/var/log/.hidden"),
            ("/var/log/**/x.log", "/var/log/.git/x.log"),
            ("/var/log/*/x.log", "/var/log/a/b/x.log"),
        ] {
            assert_eq!(log_of(glob, path), None, "{glob} {path}");
        }
    }

    #[test]
    fn rotated_siblings_belong_to_the_log() {
        assert_eq!(log_of("/l/*.log", "/l/x.log.3").as_deref(), Some("x.log"));
        assert_eq!(log_of("/l/*.log*", "/l/x.log.3").as_deref(), Some("x.log"));
        assert_eq!(log_of("/l/x.log.1", "/l/x.log.1").as_deref(), Some("x.log"));
        assert_eq!(log_of("/l/*.log", "/l/y.txt.3"), None);
    }

    #[test]
    fn the_root_is_what_has_no_wildcard() {
        assert_eq!(Glob::parse("/a/b/*/c.log").expect("valid").root, Path::new("/a/b"));
        assert_eq!(Glob::parse("/a/b/c.log").expect("valid").root, Path::new("/a/b"));
        assert_eq!(Glob::parse("/c.log").expect("valid").root, Path::new("/"));
        let here = std::env::current_dir().expect("working directory");
        assert_eq!(Glob::parse("./logs/*.log").expect("valid").root, here.join("logs"));
    }

    #[test]
    fn errors_name_the_glob() {
        for (glob, part) in [("/a/[b", "'[b'"), ("/a/**b/c", "'**b'")] {
            let message = Glob::parse(glob).unwrap_err().to_string();
            assert!(message.contains(glob) && message.contains(part), "{message}");
        }
        for glob in ["", "/", "/var/log/"] {
            assert!(matches!(Glob::parse(glob), Err(GlobError::NoFile { .. })), "{glob}");
        }
        assert!(matches!(Glob::parse("/a/*/../b"), Err(GlobError::Parent { .. })));
    }

    #[test]
    fn what_matches_nothing_yet_is_known() {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::create_dir_all(dir.path().join("a/b.log")).expect("directories");
        let any = |glob: &str| matches_any(&format!("{}/{glob}", dir.path().display()));
        assert!(!any("a/*.log") && !any("**/*.log") && !any("missing/*.log"));
        std::fs::write(dir.path().join("a/x.log.1"), "x").expect("a file");
        assert!(any("a/*.log") && any("**/*.log") && any("*/x.log"));
    }

    #[test]
    fn the_stream_is_named_by_the_path() {
        let source = source("h1", Path::new("/var/log/nginx/access.log"));
        assert_eq!(
            source.labels.to_string(),
            r#"{app="access",file="/var/log/nginx/access.log",host="h1",service_name="access",stream="file"}"#
        );
        let expected = StreamId::of_file(b"h1", b"", b"", b"", b"/var/log/nginx/access.log");
        assert_eq!(source.id, expected);
    }
}
