//! The files in which an operator names values that must not leave this host: one a line, read again
//! when they change.

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

/// What tells that a file changed.
type Stamp = Option<(u64, u64, i64, i64, u64)>;

/// The files, and how they were when they were read.
pub(super) struct SecretFiles {
    paths: Vec<PathBuf>,
    stamps: Vec<Stamp>,
}

impl SecretFiles {
    /// Reads all files.
    ///
    /// # Errors
    /// The first that cannot be used.
    pub(super) fn open(paths: Vec<PathBuf>) -> Result<(Self, Vec<Vec<u8>>), SecretFileError> {
        let stamps = paths.iter().map(|path| stamp(path)).collect();
        let secrets = read_all(&paths)?;
        Ok((Self { paths, stamps }, secrets))
    }

    /// The values, if a file has changed since the last call.
    ///
    /// # Errors
    /// The first file that cannot be used; it is read again when it changes once more.
    pub(super) fn read_changed(&mut self) -> Option<Result<Vec<Vec<u8>>, SecretFileError>> {
        let stamps: Vec<Stamp> = self.paths.iter().map(|path| stamp(path)).collect();
        if stamps == self.stamps {
            return None;
        }
        self.stamps = stamps;
        Some(read_all(&self.paths))
    }
}

fn stamp(path: &Path) -> Stamp {
    let facts = std::fs::metadata(path).ok()?;
    Some((facts.dev(), facts.ino(), facts.mtime(), facts.mtime_nsec(), facts.len()))
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
        assert_eq!(changed, [b"third-secret".to_vec()]);
        std::fs::remove_file(&path).expect("remove");
        assert!(files.read_changed().expect("changed").is_err());
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
