//! The files in which an operator names values that must not leave this host: one a line, read again
//! when they change.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The shortest value: what is shorter stands in lines by chance.
const SECRET_BYTES_MIN: usize = 8;
/// The longest value.
const SECRET_BYTES_MAX: usize = 4096;
/// All values of all files together: the search for them takes some hundred times that in memory.
const BYTES_MAX: u64 = 256 * 1024;

/// A file of secrets that cannot be used. Never says what is in it.
#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    #[error("cannot read the secret file '{}': let the collector read it, or remove it from secret_files", path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("line {line} of the secret file '{}' has {found} bytes: write one secret of {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} bytes a line", path.display())]
    Length { path: PathBuf, line: usize, found: usize },
    #[error("the secret files are longer than {BYTES_MAX} bytes together at '{}': name fewer secrets", path.display())]
    TooLong { path: PathBuf },
    #[error("no search can be made of the values in secret_files: name fewer secrets")]
    TooMany(#[source] aho_corasick::BuildError),
}

/// What tells that a file changed. Of times also that of the inode: who may read a file is no change of
/// its content, and the time of its content can be set.
#[derive(Clone, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    size: u64,
}

/// The files, and how they were when they were read.
pub(super) struct SecretFiles {
    paths: Vec<PathBuf>,
    /// As of the last look that could read all of them; `None` for one that was not there.
    stamps: Vec<Option<Stamp>>,
    /// What they held then.
    values: Vec<Vec<u8>>,
    /// Values that they held before, which are looked for until two looks agree that they are gone.
    older: Vec<Vec<u8>>,
    /// The last trouble that was told of.
    told: Option<String>,
}

impl SecretFiles {
    /// Reads all files.
    ///
    /// # Errors
    /// The first that cannot be used.
    pub(super) fn open(paths: Vec<PathBuf>) -> Result<(Self, Vec<Vec<u8>>), SecretFileError> {
        let stamps = paths.iter().map(|path| stamp(path)).collect();
        let values = read_all(&paths)?;
        let (older, told) = (Vec::new(), None);
        Ok((Self { paths, stamps, values: values.clone(), older, told }, values))
    }

    /// The values to look for, if they are others than after the last call. A file may be seen while it
    /// is written: values that it does not hold any more stay until the next call finds no change.
    ///
    /// # Errors
    /// The first file that cannot be used; each call tries again.
    pub(super) fn read_changed(&mut self) -> Option<Result<Vec<Vec<u8>>, SecretFileError>> {
        let stamps: Vec<Option<Stamp>> = self.paths.iter().map(|path| stamp(path)).collect();
        if stamps == self.stamps {
            self.told = None;
            let had_older = !std::mem::take(&mut self.older).is_empty();
            return had_older.then(|| Ok(self.values.clone()));
        }
        let values = match read_all(&self.paths) {
            Ok(values) => values,
            Err(error) => return Some(Err(error)),
        };
        self.stamps = stamps;
        self.told = None;
        self.take(values);
        Some(Ok([&self.values[..], &self.older].concat()))
    }

    /// These are the values from here on.
    fn take(&mut self, values: Vec<Vec<u8>>) {
        let before = std::mem::replace(&mut self.values, values);
        // Files that never stay the same must not make it ever more.
        if self.older.iter().chain(&before).map(Vec::len).sum::<usize>() as u64 > BYTES_MAX {
            self.older.clear();
        }
        self.older.extend(before);
        let held: HashSet<&Vec<u8>> = self.values.iter().collect();
        self.older.retain(|value| !held.contains(value));
        self.older.sort_unstable();
        self.older.dedup();
    }

    /// Whether this trouble is another one than that of the call before, so that somebody should be told.
    pub(super) fn is_news(&mut self, error: &SecretFileError) -> bool {
        // With its cause, which the message leaves out.
        let trouble = Some(format!("{error:?}"));
        std::mem::replace(&mut self.told, trouble.clone()) != trouble
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let facts = std::fs::metadata(path).ok()?;
    Some(Stamp {
        device: facts.dev(),
        inode: facts.ino(),
        modified: (facts.mtime(), facts.mtime_nsec()),
        changed: (facts.ctime(), facts.ctime_nsec()),
        size: facts.len(),
    })
}

fn read_all(paths: &[PathBuf]) -> Result<Vec<Vec<u8>>, SecretFileError> {
    let mut left = BYTES_MAX;
    let mut secrets = Vec::new();
    for path in paths {
        let mut bytes = Vec::new();
        let read = File::open(path).and_then(|file| file.take(left + 1).read_to_end(&mut bytes));
        read.map_err(|source| SecretFileError::Io { path: path.clone(), source })?;
        left = left
            .checked_sub(bytes.len() as u64)
            .ok_or_else(|| SecretFileError::TooLong { path: path.clone() })?;
        for (n, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            match line.len() {
                0 => {}
                SECRET_BYTES_MIN..=SECRET_BYTES_MAX => secrets.push(line.to_vec()),
                found => {
                    return Err(SecretFileError::Length { path: path.clone(), line: n + 1, found });
                }
            }
        }
    }
    Ok(secrets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_again_when_a_file_changes() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("s");
        std::fs::write(&path, "first-secret\r\n\nsecond-secret").expect("write");
        let (mut files, secrets) = SecretFiles::open(vec![path.clone()]).expect("read");
        assert_eq!(secrets, [b"first-secret".to_vec(), b"second-secret".to_vec()]);
        assert!(files.read_changed().is_none());
        std::fs::write(&path, "third-secret\n").expect("write");
        let changed = files.read_changed().expect("changed").expect("read");
        assert_eq!(changed[0], b"third-secret".to_vec());
    }

    /// Puts other bytes of the same length into a file, and its old time.
    fn exchange(path: &Path, bytes: &[u8]) {
        let before = std::fs::metadata(path).expect("stat");
        assert_eq!(before.len(), bytes.len() as u64);
        let change = || {
            std::fs::write(path, bytes).expect("write");
            let file = File::options().write(true).open(path).expect("open");
            file.set_modified(before.modified().expect("a time")).expect("set");
            let after = std::fs::metadata(path).expect("stat");
            (after.ctime(), after.ctime_nsec()) != (before.ctime(), before.ctime_nsec())
        };
        while !change() {
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_tried_again_until_it_can() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("s");
        std::fs::write(&path, "first-secret\n").expect("write");
        let (mut files, _) = SecretFiles::open(vec![path.clone()]).expect("read");
        std::fs::write(&path, "other-secret\nshort!!\n").expect("write");
        let mut told = 0;
        for _ in 0..3 {
            let error = files.read_changed().expect("still wrong").expect_err("wrong");
            told += usize::from(files.is_news(&error));
        }
        assert_eq!(told, 1);
        exchange(&path, b"other-secret\n-longer\n");
        std::fs::write(&path, "other-secret\n").expect("write");
        let read = files.read_changed().expect("changed").expect("read");
        assert!(read.contains(&b"other-secret".to_vec()), "{read:?}");
        std::fs::remove_file(&path).expect("remove");
        for _ in 0..3 {
            assert!(files.read_changed().expect("gone").is_err());
        }
    }

    #[test]
    fn a_change_that_keeps_length_and_time_is_seen() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("s");
        std::fs::write(&path, "first-secret\n").expect("write");
        let (mut files, _) = SecretFiles::open(vec![path.clone()]).expect("read");
        exchange(&path, b"other-secret\n");
        let read = files.read_changed().expect("changed").expect("read");
        assert!(read.contains(&b"other-secret".to_vec()), "{read:?}");
    }

    /// Whoever empties a file and then writes it may be watched in between.
    #[test]
    fn a_value_leaves_only_when_two_looks_agree() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("s");
        std::fs::write(&path, "first-secret\nsecond-secret\n").expect("write");
        let (mut files, before) = SecretFiles::open(vec![path.clone()]).expect("read");
        for partly in [&b""[..], b"first-secret\n"] {
            std::fs::write(&path, partly).expect("write");
            let values = files.read_changed().expect("changed").expect("read");
            assert!(before.iter().all(|value| values.contains(value)), "{values:?}");
        }
        std::fs::write(&path, "first-secret\nthird-secret\n").expect("write");
        let values = files.read_changed().expect("changed").expect("read");
        assert_eq!(values.len(), 3);
        let values = files.read_changed().expect("confirmed").expect("read");
        assert_eq!(values, [b"first-secret".to_vec(), b"third-secret".to_vec()]);
        assert!(files.read_changed().is_none());
        // One is added, and none taken: there is nothing to confirm.
        std::fs::write(&path, "first-secret\nthird-secret\nfourth-secret\n").expect("write");
        assert_eq!(files.read_changed().expect("changed").expect("read").len(), 3);
        assert!(files.read_changed().is_none());
        std::fs::write(&path, "").expect("write");
        assert_eq!(files.read_changed().expect("changed").expect("read").len(), 3);
        assert_eq!(files.read_changed().expect("confirmed").expect("read").len(), 0);
        assert!(files.read_changed().is_none());
    }

    #[test]
    fn errors_name_the_place_and_never_the_value() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("s");
        let message = |content: &[u8]| {
            std::fs::write(&path, content).expect("write");
            SecretFiles::open(vec![path.clone()]).err().expect("refused").to_string()
        };
        let short = message(b"long-enough\nshorty\n");
        assert!(short.starts_with("line 2 of") && !short.contains("shorty"), "{short}");
        assert!(message(&[b'x'; 5000]).contains("5000 bytes"));
        assert!(message(&[&[b'x'; 100][..], b"\n"].concat().repeat(3000)).contains("name fewer"));
    }
}
