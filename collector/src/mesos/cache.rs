//! What is known of containers, on disk: a checksummed line of JSON for each, replaced as a whole.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::facts::{Facts, Ids};
use super::known::Known;
use crate::durable;

/// What is read of the file at most, in bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

#[derive(Serialize, Deserialize)]
struct Entry {
    #[serde(flatten)]
    ids: Ids,
    facts: Facts,
}

fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("metadata")
}

/// Replaces the file.
///
/// # Errors
/// It cannot be written; the old one is still there.
pub(super) fn save(data_dir: &Path, known: &[Arc<Known>]) -> io::Result<()> {
    let mut content = String::new();
    for one in known {
        let entry = Entry { ids: one.ids.clone(), facts: one.facts.clone() };
        let json = serde_json::to_string(&entry)?;
        content.push_str(&format!("{:08x} {json}\n", crc32c::crc32c(json.as_bytes())));
    }
    durable::replace(&path(data_dir), content.as_bytes())?;
    Ok(())
}

/// The entries that are whole; none without a file.
pub(super) fn load(data_dir: &Path) -> Vec<(Ids, Facts)> {
    let path = path(data_dir);
    let mut content = Vec::new();
    let read = std::fs::File::open(&path)
        .and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut content));
    match read {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            tracing::warn!(
                "cannot read '{}', names are known again when the agent tells them: {error}",
                path.display()
            );
            return Vec::new();
        }
    }
    let lines = content.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let entries: Vec<_> = lines.map(entry).collect();
    let damaged = entries.iter().filter(|entry| entry.is_none()).count();
    if damaged > 0 {
        tracing::warn!(damaged, "'{}' has damaged entries, left out", path.display());
    }
    entries.into_iter().flatten().collect()
}

fn entry(line: &[u8]) -> Option<(Ids, Facts)> {
    let (sum, json) = line.split_at_checked(8)?;
    let sum = u32::from_str_radix(std::str::from_utf8(sum).ok()?, 16).ok()?;
    let json = json.strip_prefix(b" ")?;
    if crc32c::crc32c(json) != sum {
        return None;
    }
    let Entry { ids, facts } = serde_json::from_slice(json).ok()?;
    Some((ids.checked()?, facts))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn known(container: &str) -> Arc<Known> {
        let ids = Ids {
            agent: "A".into(),
            framework: "F".into(),
            executor: "e: #7 \"".into(),
            container: container.into(),
        };
        Arc::new(Known { ids, facts: Facts { user: "root".into(), ..Facts::default() } })
    }

    #[test]
    fn a_flipped_bit_costs_one_entry() {
        let dir = tempfile::tempdir().expect("temp dir");
        save(dir.path(), &[known("c1"), known("c2"), known("c3")]).expect("save");
        assert_eq!(load(dir.path()).len(), 3);
        let mut content = std::fs::read(path(dir.path())).expect("read");
        let at = memchr::memmem::find(&content, b"c2").expect("is there");
        content[at + 1] ^= 1;
        std::fs::write(path(dir.path()), &content).expect("write");
        let left: Vec<String> =
            load(dir.path()).into_iter().map(|(ids, _)| ids.container).collect();
        assert_eq!(left, ["c1", "c3"]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(line in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(entry(&line), None);
        }
    }
}
