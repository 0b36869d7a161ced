//! Plays Mesos' logrotate container logger: moves a pipe into a sandbox file, at most a page at a
//! time, and renames the file before the page that would make it too large. So lines are cut.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::PathBuf;
use std::thread::JoinHandle;

/// The most that is moved at once.
const PAGE_BYTES: usize = 4096;
/// How many rotated files stay; the oldest is deleted.
const ROTATED_KEPT: u32 = 4;
/// What a logger thread needs: a page and little else.
const STACK_BYTES: usize = 128 * 1024;

/// Moves all of `pipe` into the file at `path` on a thread of its own, which ends with the pipe.
///
/// # Errors
/// The thread cannot be started.
pub(super) fn spawn(
    mut pipe: impl Read + Send + 'static,
    path: PathBuf,
    rotate_bytes: usize,
) -> io::Result<JoinHandle<()>> {
    let body = move || {
        let mut log = RotatingFile::new(path, rotate_bytes);
        if let Err(error) = log.take(&mut pipe) {
            // The pipe closes with us: the container ends at its next write, and is started again.
            let path = log.path.display();
            tracing::warn!("cannot write the demo's log {path}, its container ends: {error}");
        }
    };
    std::thread::Builder::new().name("demo-logger".into()).stack_size(STACK_BYTES).spawn(body)
}

/// A log that is renamed to `.1`, `.2`, … when it has grown.
struct RotatingFile {
    path: PathBuf,
    rotate_bytes: usize,
    file: Option<File>,
    written: usize,
}

impl RotatingFile {
    fn new(path: PathBuf, rotate_bytes: usize) -> Self {
        Self { path, rotate_bytes, file: None, written: 0 }
    }

    fn take(&mut self, pipe: &mut impl Read) -> io::Result<()> {
        let mut page = [0; PAGE_BYTES];
        loop {
            match pipe.read(&mut page) {
                Ok(0) => return Ok(()),
                Ok(bytes) => self.write(&page[..bytes])?,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn write(&mut self, page: &[u8]) -> io::Result<()> {
        if self.written > 0 && self.written + page.len() > self.rotate_bytes {
            self.file = None;
            self.rotate()?;
            self.written = 0;
        }
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                self.file.insert(OpenOptions::new().append(true).create(true).open(&self.path)?)
            }
        };
        file.write_all(page)?;
        self.written += page.len();
        Ok(())
    }

    /// Deletes the oldest file and renames the others, highest number first.
    fn rotate(&self) -> io::Result<()> {
        let name = |n: u32| PathBuf::from(format!("{}.{n}", self.path.display()));
        may_be_missing(std::fs::remove_file(name(ROTATED_KEPT)))?;
        for n in (1..ROTATED_KEPT).rev() {
            may_be_missing(std::fs::rename(name(n), name(n + 1)))?;
        }
        std::fs::rename(&self.path, name(1))
    }
}

fn may_be_missing(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotates_before_the_page_that_is_too_much_and_keeps_a_few() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = RotatingFile::new(dir.path().join("stdout"), 10);
        let pages: Vec<String> = (0..12).map(|n| format!("page {n:02}")).collect();
        for page in &pages {
            log.write(page.as_bytes()).unwrap();
        }
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
        assert_eq!(read("stdout"), pages[11]);
        for n in 1..=ROTATED_KEPT {
            assert_eq!(read(&format!("stdout.{n}")), pages[11 - n as usize]);
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), ROTATED_KEPT as usize + 1);
    }

    #[test]
    fn moves_all_of_a_pipe_in_pages() {
        let dir = tempfile::tempdir().unwrap();
        let text: Vec<u8> = (0..20_000u32).map(|n| b'a' + (n % 26) as u8).collect();
        let path = dir.path().join("stderr");
        spawn(io::Cursor::new(text.clone()), path.clone(), 8192).unwrap().join().unwrap();
        let mut found = Vec::new();
        for name in ["stderr.2", "stderr.1", "stderr"] {
            let part = std::fs::read(dir.path().join(name)).unwrap();
            assert!(part.len() <= 8192, "{name}");
            found.extend(part);
        }
        assert_eq!(found, text);
    }
}
