//! The file that is written, and its rotation.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, openat, unlinkat};
use rustix::io::Errno;

use super::cut::{self, Cut};
use super::rotated::Rotated;
use super::{Settings, WhenFull, Written};
use crate::identity::{facts, facts_at};
use crate::why::AcknowledgedFile;

/// How long a full disk is left alone where nothing can be removed.
const FULL_DISK_PAUSE: Duration = Duration::from_secs(1);

/// One log in a sandbox.
pub(crate) struct Log {
    directory: OwnedFd,
    name: &'static str,
    file: File,
    size: u64,
    /// Whether the file is empty or ends with a line end.
    is_line_start: bool,
    /// From which size on it is rotated: later than it should if that failed.
    rotate_at: u64,
    size_max: u64,
    when_full: WhenFull,
    mode: Mode,
    pub(crate) rotated: Rotated,
    pub(crate) written: Written,
}

impl Log {
    /// Opens the file in its directory, and goes on where it ends.
    pub(crate) fn open(settings: &Settings, directory: OwnedFd) -> io::Result<Self> {
        let (keep, bytes_max) = (settings.keep, settings.keep_bytes_max);
        let copy = directory.try_clone()?;
        let mut rotated = Rotated::find(copy, settings.name, keep, bytes_max)?;
        let mode = Mode::from_raw_mode(settings.mode);
        let file = open_or_create(&directory, settings.name, mode, &mut rotated)?;
        let size = facts(&file)?.size;
        let mut last = [b'\n'];
        file.read_at(&mut last, size.saturating_sub(1))?;
        Ok(Self {
            directory,
            name: settings.name,
            file,
            size,
            is_line_start: last == [b'\n'],
            rotate_at: settings.size_max,
            size_max: settings.size_max,
            when_full: settings.when_full,
            mode,
            rotated,
            written: Written::default(),
        })
    }

    /// Writes all, rotating between lines.
    pub(crate) fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let cut = cut::next(self.size, self.is_line_start, bytes, self.rotate_at);
            let (Cut::Write(now) | Cut::Last(now)) = cut;
            self.append(&bytes[..now])?;
            bytes = &bytes[now..];
            if cut == Cut::Last(now) {
                self.rotate();
            }
        }
        Ok(())
    }

    /// Adds to the file, however large it is. While the disk is full, this waits,
    /// unless it is to fail.
    ///
    /// # Errors
    /// The file cannot be written; a part of the bytes may be in it.
    pub(crate) fn append(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        if let Some(last) = bytes.last() {
            self.is_line_start = *last == b'\n';
        }
        while !bytes.is_empty() {
            match self.file.write(bytes) {
                Ok(written) => {
                    bytes = &bytes[written..];
                    self.size += written as u64;
                    self.written.bytes += written as u64;
                }
                Err(error) if super::is_passing(&error) => {}
                Err(error) if is_disk_full(&error) => self.make_room(error)?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Where nothing can be removed, the container waits until somebody else makes room.
    fn make_room(&mut self, error: io::Error) -> io::Result<()> {
        match self.rotated.make_room(self.when_full != WhenFull::Block) {
            Some((true, _)) => {}
            Some((false, size)) => self.dropped(size, "the disk is full"),
            None if self.when_full == WhenFull::DropOldestOrFail => return Err(error),
            None => {
                tracing::warn!("cannot write, the container waits: {error}");
                std::thread::sleep(FULL_DISK_PAUSE);
            }
        }
        Ok(())
    }

    fn dropped(&mut self, bytes: u64, why: &str) {
        self.written.dropped_bytes += bytes;
        let log = self.name;
        tracing::warn!(log, bytes, "rotated files were removed unacknowledged, {why}");
    }

    /// A file that cannot be rotated is written on, and tried again when it has grown once more.
    pub(crate) fn rotate(&mut self) {
        match self.try_rotate() {
            Ok(()) => {
                self.rotate_at = self.size_max;
                self.written.rotations += 1;
            }
            Err(error) => {
                self.rotate_at = self.size.saturating_add(self.size_max);
                tracing::warn!(log = self.name, "cannot rotate, it goes on growing: {error}");
            }
        }
        if self.when_full != WhenFull::Block {
            let bytes = self.rotated.drop_oldest();
            if bytes > 0 {
                self.dropped(bytes, "they took more than --keep-bytes-max");
            }
        }
    }

    fn try_rotate(&mut self) -> io::Result<()> {
        let found = facts(&self.file)?;
        let is_ours = facts_at(&self.directory, self.name.as_ref());
        if is_ours.is_ok_and(|named| named.key == found.key) {
            self.rotated.push(&found)?;
            match create(&self.directory, self.name, self.mode) {
                Ok(file) => self.file = file,
                Err(error) => {
                    self.rotated.pop()?;
                    return Err(error);
                }
            }
        } else {
            // The name is gone or another file's: whoever did that wanted to have it so.
            self.file = open_or_create(&self.directory, self.name, self.mode, &mut self.rotated)?;
        }
        self.size = facts(&self.file)?.size;
        self.is_line_start = true;
        Ok(())
    }

    /// Bytes in the current file.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// The current file's.
    pub(crate) fn inode(&self) -> io::Result<u64> {
        Ok(facts(&self.file)?.key.inode)
    }

    /// Makes what is in the current file durable.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Takes in how far files are acknowledged.
    pub(crate) fn acknowledged(&mut self, files: &[AcknowledgedFile]) {
        self.rotated.acknowledged(files);
    }
}

fn is_disk_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn create(directory: &OwnedFd, name: &str, mode: Mode) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    Ok(openat(directory, name, flags | OFlags::NOFOLLOW, mode)?.into())
}

/// Opens the file to append to it. What is no file (a symlink, a FIFO) is removed, and a file that is
/// not ours to write is rotated away.
fn open_or_create(
    directory: &OwnedFd,
    name: &str,
    mode: Mode,
    rotated: &mut Rotated,
) -> io::Result<File> {
    let Ok(found) = facts_at(directory, name.as_ref()) else {
        return create(directory, name, mode);
    };
    match found.kind {
        FileType::RegularFile => {}
        FileType::Directory => return Err(Errno::ISDIR.into()),
        _ => {
            unlinkat(directory, name, AtFlags::empty())?;
            return create(directory, name, mode);
        }
    }
    let flags = OFlags::RDWR | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    match openat(directory, name, flags | OFlags::CLOEXEC, Mode::empty()) {
        Ok(file) => Ok(file.into()),
        Err(Errno::ACCESS | Errno::PERM) => {
            rotated.push(&found)?;
            create(directory, name, mode)
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::*;

    fn settings(dir: &Path, when_full: WhenFull) -> Settings {
        Settings {
            sandbox: dir.to_owned(),
            name: "stdout",
            size_max: 10,
            keep: 1,
            keep_bytes_max: 20,
            when_full,
            mode: 0o640,
            collectors: Vec::new(),
        }
    }

    fn open(settings: &Settings) -> Log {
        let directory = crate::directory::open_root(&settings.sandbox).expect("directory");
        Log::open(settings, directory).expect("opened")
    }

    fn read(dir: &Path, name: &str) -> Option<String> {
        std::fs::read_to_string(dir.join(name)).ok()
    }

    fn acknowledge(log: &mut Log, dir: &Path, name: &str, size: u64) {
        let key = facts_at(rustix::fs::CWD, dir.join(name).as_os_str()).expect("stat").key;
        let (device, inode, birth_time) = (key.device, key.inode, key.birth_time);
        log.acknowledged(&[AcknowledgedFile { device, inode, birth_time, acknowledged: size }]);
    }

    #[test]
    fn rotated_files_stay_until_they_are_acknowledged() {
        let temp = tempfile::tempdir().expect("temp dir");
        let dir = temp.path();
        let mut log = open(&settings(dir, WhenFull::Block));
        for line in ["one\n", "two\n", "three\n", "fourth\n"] {
            log.write(line.as_bytes()).expect("written");
        }
        let found = |name: &str| read(dir, name);
        assert_eq!(found("stdout").as_deref(), Some("fourth\n"));
        assert_eq!(found("stdout.1").as_deref(), Some("three\n"));
        assert_eq!(found("stdout.2").as_deref(), Some("one\ntwo\n"));
        // Not far enough, then far enough: one acknowledged file is kept.
        acknowledge(&mut log, dir, "stdout.2", 7);
        assert!(log.rotated.is_anything_awaited() && found("stdout.2").is_some());
        acknowledge(&mut log, dir, "stdout.2", 8);
        assert!(found("stdout.2").is_some());
        acknowledge(&mut log, dir, "stdout.1", 99);
        assert!(found("stdout.2").is_none() && found("stdout.1").is_some());
        assert!(!log.rotated.is_anything_awaited());
    }

    #[test]
    fn the_oldest_go_when_it_is_too_much_or_the_container_waits() {
        for when_full in [WhenFull::DropOldest, WhenFull::DropOldestOrFail, WhenFull::Block] {
            let temp = tempfile::tempdir().expect("temp dir");
            let mut log = open(&settings(temp.path(), when_full));
            for n in 0..6 {
                log.write(format!("line {n:03}\n").as_bytes()).expect("written");
            }
            let oldest = read(temp.path(), "stdout.5");
            match when_full {
                WhenFull::DropOldest | WhenFull::DropOldestOrFail => {
                    assert_eq!((oldest, log.written.dropped_bytes), (None, 27));
                    assert_eq!(read(temp.path(), "stdout.2").as_deref(), Some("line 003\n"));
                }
                WhenFull::Block => {
                    assert!(log.rotated.is_full() && log.written.dropped_bytes == 0);
                    assert_eq!(oldest.as_deref(), Some("line 000\n"));
                }
            }
        }
    }

    #[test]
    fn a_full_disk_is_an_error_for_who_cannot_wait_once_nothing_can_be_removed() {
        let temp = tempfile::tempdir().expect("temp dir");
        let mut log = open(&settings(temp.path(), WhenFull::DropOldestOrFail));
        log.write(b"line 001\nline 002\n").expect("written");
        log.file = File::options().write(true).open("/dev/full").expect("opened");
        let error = log.append(b"more\n").expect_err("full");
        assert!(is_disk_full(&error), "{error}");
        assert_eq!((read(temp.path(), "stdout.1"), log.written.dropped_bytes), (None, 9));
    }

    #[test]
    fn new_files_have_the_mode_that_was_asked_for() {
        use std::os::unix::fs::PermissionsExt;
        let temp = tempfile::tempdir().expect("temp dir");
        let mut log = open(&Settings { mode: 0o600, ..settings(temp.path(), WhenFull::Block) });
        log.write(b"line 001\nline 002\n").expect("written");
        for name in ["stdout", "stdout.1"] {
            let mode = temp.path().join(name).metadata().expect("stat").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }

    #[test]
    fn what_was_there_is_gone_on_with() {
        let temp = tempfile::tempdir().expect("temp dir");
        let dir = temp.path();
        for (name, text) in [("stdout", "begun"), ("stdout.1", "b\n"), ("stdout.7", "a\n")] {
            std::fs::write(dir.join(name), text).expect("write");
        }
        let mut log = open(&settings(dir, WhenFull::Block));
        log.write(b" and ended\nnext\n").expect("written");
        assert_eq!(read(dir, "stdout").as_deref(), Some("next\n"));
        assert_eq!(read(dir, "stdout.1").as_deref(), Some("begun and ended\n"));
        assert_eq!(read(dir, "stdout.2").as_deref(), Some("b\n"));
        assert_eq!(read(dir, "stdout.7").as_deref(), Some("a\n"));
    }

    #[test]
    fn nothing_is_written_through_a_symlink_nor_over_somebody_elses_file() {
        let temp = tempfile::tempdir().expect("temp dir");
        let dir = temp.path().join("sandbox");
        std::fs::create_dir(&dir).expect("mkdir");
        let outside = temp.path().join("outside");
        std::fs::write(&outside, "mine\n").expect("write");
        symlink(&outside, dir.join("stdout")).expect("symlink");
        let mut log = open(&settings(&dir, WhenFull::Block));
        log.write(b"first\n").expect("written");
        symlink(&outside, dir.join("stdout.1")).expect("symlink");
        std::fs::write(dir.join("stdout.2"), "foreign\n").expect("write");
        log.write(b"second\n").expect("written");
        assert_eq!(std::fs::read_to_string(&outside).expect("read"), "mine\n");
        assert_eq!(read(&dir, "stdout").as_deref(), Some("second\n"));
        assert_eq!(read(&dir, "stdout.1").as_deref(), Some("first\n"));
        assert_eq!(read(&dir, "stdout.3").as_deref(), Some("foreign\n"));
        std::fs::create_dir(dir.join("stderr")).expect("mkdir");
        let settings = Settings { name: "stderr", ..settings(&dir, WhenFull::Block) };
        let directory = crate::directory::open_root(&dir).expect("directory");
        assert!(Log::open(&settings, directory).is_err());
    }

    #[test]
    fn a_log_whose_name_was_taken_away_begins_again() {
        let temp = tempfile::tempdir().expect("temp dir");
        let dir = temp.path();
        let mut log = open(&settings(dir, WhenFull::Block));
        log.write(b"12345678\n").expect("written");
        std::fs::remove_file(dir.join("stdout")).expect("remove");
        log.write(b"12345678\n").expect("written");
        assert_eq!(read(dir, "stdout").as_deref(), Some("12345678\n"));
        assert_eq!(read(dir, "stdout.1"), None);
    }
}
