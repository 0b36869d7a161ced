//! Where the lines of a journal's entry belong: the file that the container's sandbox would have.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::export::Entry;

/// The longest id, as of a file name.
const ID_BYTES_MAX: usize = 255;
/// Where an entry does not say which agent logged it.
const NO_AGENT: &[u8] = b"journal";
/// The user of the agent's logger.
const ROOT: &[u8] = b"0";
/// Mesos nests containers at most this deep.
const NESTING_MAX: usize = 32;

/// The directory below the journal's own, and the file in it; `None` if the entry is none of a
/// container's. Only what root has sent is taken: the logger runs as the agent does, and any task could
/// send the other fields in the name of another. Ids are somebody else's words: what could lead out of the directory is refused.
pub(super) fn of(entry: &Entry) -> Option<(PathBuf, &'static str)> {
    if entry.uid != ROOT {
        return None;
    }
    let name = match &entry.stream[..] {
        b"STDOUT" => "stdout",
        b"STDERR" => "stderr",
        _ => return None,
    };
    let agent = if entry.agent.is_empty() { NO_AGENT } else { &entry.agent };
    let mut path = PathBuf::new();
    for (layer, id) in
        [("slaves", agent), ("frameworks", &entry.framework), ("executors", &entry.executor)]
    {
        path.push(layer);
        path.push(id_name(id)?);
    }
    for (depth, id) in entry.container.split(|byte| *byte == b'.').enumerate() {
        if depth >= NESTING_MAX {
            return None;
        }
        path.push(if depth == 0 { "runs" } else { "containers" });
        path.push(id_name(id)?);
    }
    Some((path, name))
}

fn id_name(id: &[u8]) -> Option<&OsStr> {
    let is_name = !id.is_empty()
        && id.len() <= ID_BYTES_MAX
        && id != b"."
        && id != b".."
        && !id.iter().any(|byte| matches!(byte, b'/' | 0));
    is_name.then(|| OsStr::from_bytes(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(container: &str) -> Entry {
        Entry {
            uid: b"0".into(),
            agent: b"S1".into(),
            framework: b"F".into(),
            executor: b"E".into(),
            container: container.into(),
            stream: b"STDERR".into(),
            ..Entry::default()
        }
    }

    #[test]
    fn containers_have_the_place_of_their_sandbox() {
        let path = |container| {
            of(&entry(container)).map(|(path, name)| (path.display().to_string(), name))
        };
        let run = "slaves/S1/frameworks/F/executors/E/runs/c1";
        assert_eq!(path("c1"), Some((run.to_owned(), "stderr")));
        assert_eq!(path("c1.n"), Some((format!("{run}/containers/n"), "stderr")));
    }

    #[test]
    fn nothing_leads_out() {
        for container in ["", "..", "a...b", "a/../../b", "c1.", "a\0"] {
            assert_eq!(of(&entry(container)), None, "{container:?}");
        }
        let dots = Entry { executor: b"..".into(), ..entry("c1") };
        let other = Entry { stream: b"stdout".into(), ..entry("c1") };
        for uid in [&b"1000"[..], b"", b"00"] {
            assert!(of(&Entry { uid: uid.into(), ..entry("c1") }).is_none());
        }
        assert!(of(&dots).is_none() && of(&other).is_none());
        assert!(of(&entry(&["n"; 33].join("."))).is_none());
    }
}
