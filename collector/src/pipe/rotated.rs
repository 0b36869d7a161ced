//! The rotated files of one log: `.1` is the newest, greater numbers are older.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, FileType, RenameFlags, renameat, renameat_with, unlinkat};
use rustix::io::Errno;

use crate::identity::{Facts, InodeKey, facts_at};
use crate::why::AcknowledgedFile;
use crate::{directory, rotation};

/// How often a number is looked for again because somebody else makes files of such names.
const TRIES_MAX: usize = 1000;

/// A rotated file. Nobody writes to it any more.
#[derive(Clone, Copy, Debug)]
struct File {
    key: InodeKey,
    size: u64,
    acknowledged: bool,
}

/// All of one log, by their numbers.
pub(crate) struct Rotated {
    directory: OwnedFd,
    name: &'static str,
    files: BTreeMap<u32, File>,
    keep: usize,
    bytes_max: u64,
}

impl Rotated {
    /// Finds those that are there.
    pub(crate) fn find(
        directory: OwnedFd,
        name: &'static str,
        keep: usize,
        bytes_max: u64,
    ) -> io::Result<Self> {
        let mut this = Self { directory, name, files: BTreeMap::new(), keep, bytes_max };
        let is_ours = |found: &OsStr| number_of(name, found).is_some();
        for entry in directory::list(&this.directory, is_ours)? {
            if let Some(number) = number_of(name, &entry.name) {
                this.adopt(number);
            }
        }
        Ok(this)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Whether the collector's word on any file would make a difference.
    pub(crate) fn is_anything_awaited(&self) -> bool {
        self.files.values().any(|file| !file.acknowledged)
    }

    /// Whether files that are not acknowledged take more than they may.
    pub(crate) fn is_full(&self) -> bool {
        self.unacknowledged_bytes() > self.bytes_max
    }

    fn unacknowledged_bytes(&self) -> u64 {
        self.files.values().filter(|file| !file.acknowledged).map(|file| file.size).sum()
    }

    fn path(&self, number: u32) -> OsString {
        format!("{}.{number}", self.name).into()
    }

    /// Takes in what is there under a number, whoever made it.
    fn adopt(&mut self, number: u32) {
        if let Ok(Facts { key, size, kind: FileType::RegularFile, .. }) =
            facts_at(&self.directory, &self.path(number))
        {
            self.files.insert(number, File { key, size, acknowledged: false });
        }
    }

    /// Makes the log's current file the newest rotated one; older ones move up.
    ///
    /// # Errors
    /// The file cannot be renamed; older ones may have moved up, in their order.
    pub(crate) fn push(&mut self, current: &Facts) -> io::Result<()> {
        let mut tries = 0;
        loop {
            match self.make_free() {
                Ok(()) => break,
                Err(error) if error == Errno::EXIST && tries < TRIES_MAX => tries += 1,
                Err(error) => return Err(error.into()),
            }
        }
        self.rename(OsStr::new(self.name), &self.path(1))?;
        let Facts { key, size, .. } = *current;
        self.files.insert(1, File { key, size, acknowledged: false });
        Ok(())
    }

    /// Moves files up so that number 1 is free.
    fn make_free(&mut self) -> Result<(), Errno> {
        let free = (1..).find(|number| !self.files.contains_key(number)).unwrap_or(u32::MAX);
        for number in (1..free).rev() {
            match self.rename(&self.path(number), &self.path(number + 1)) {
                Ok(()) => {}
                // Somebody else removed it.
                Err(Errno::NOENT) => {
                    self.files.remove(&number);
                    continue;
                }
                Err(Errno::EXIST) => {
                    self.occupied(number + 1);
                    return Err(Errno::EXIST);
                }
                Err(error) => return Err(error),
            }
            if let Some(file) = self.files.remove(&number) {
                self.files.insert(number + 1, file);
            }
        }
        if free == 1 && facts_at(&self.directory, &self.path(1)).is_ok() {
            self.occupied(1);
            return Err(Errno::EXIST);
        }
        Ok(())
    }

    /// Somebody else's file stands where one of ours should: it is taken in, and what is no regular
    /// file keeps its number as if it were an empty one.
    fn occupied(&mut self, number: u32) {
        self.adopt(number);
        self.files.entry(number).or_insert_with(|| File {
            key: InodeKey { device: 0, inode: 0, birth_time: 0 },
            size: 0,
            acknowledged: true,
        });
    }

    fn rename(&self, from: &OsStr, to: &OsStr) -> Result<(), Errno> {
        let dir = &self.directory;
        match renameat_with(dir, from, dir, to, RenameFlags::NOREPLACE) {
            // The file system does not know how not to replace.
            Err(Errno::INVAL | Errno::NOSYS) => renameat(dir, from, dir, to),
            other => other,
        }
    }

    /// Forgets the files that somebody else has removed.
    pub(crate) fn forget_removed(&mut self) {
        let gone: Vec<u32> = self.files.keys().copied().filter(|n| !self.is_there(*n)).collect();
        for number in gone {
            self.files.remove(&number);
        }
    }

    fn is_there(&self, number: u32) -> bool {
        facts_at(&self.directory, &self.path(number)).is_ok()
    }

    /// Undoes a [`Self::push`].
    pub(crate) fn pop(&mut self) -> io::Result<()> {
        self.rename(&self.path(1), OsStr::new(self.name))?;
        self.files.remove(&1);
        Ok(())
    }

    /// Takes in how far files are acknowledged; those beyond the ones to keep are removed.
    pub(crate) fn acknowledged(&mut self, known: &[AcknowledgedFile]) {
        for file in self.files.values_mut() {
            file.acknowledged |= known.iter().any(|known| {
                let key = (known.device, known.inode, known.birth_time);
                key == (file.key.device, file.key.inode, file.key.birth_time)
                    && known.acknowledged >= file.size
            });
        }
        let done = self.files.iter().filter(|(_, file)| file.acknowledged);
        let done: Vec<u32> = done.map(|(number, _)| *number).skip(self.keep).collect();
        for number in done {
            self.remove(number);
        }
    }

    /// Removes the oldest files until those that are not acknowledged fit; gives their bytes.
    pub(crate) fn drop_oldest(&mut self) -> u64 {
        let mut dropped = 0;
        while self.is_full() {
            let oldest = self.files.iter().rev().find(|(_, file)| !file.acknowledged);
            let Some((number, size)) = oldest.map(|(number, file)| (*number, file.size)) else {
                break;
            };
            self.remove(number);
            dropped += size;
        }
        dropped
    }

    /// Removes one file because the disk is full, an acknowledged one if there is any, any other
    /// only if `lossy`; gives whether it was acknowledged, and its bytes.
    pub(crate) fn make_room(&mut self, lossy: bool) -> Option<(bool, u64)> {
        let oldest = |acknowledged: bool| {
            let mut of_kind =
                self.files.iter().rev().filter(|(_, file)| file.acknowledged == acknowledged);
            of_kind.next().map(|(number, file)| (*number, acknowledged, file.size))
        };
        let (number, acknowledged, size) =
            oldest(true).or_else(|| if lossy { oldest(false) } else { None })?;
        self.remove(number);
        Some((acknowledged, size))
    }

    /// Removes a file, if it still is the one that is known by that name.
    fn remove(&mut self, number: u32) {
        let Some(file) = self.files.remove(&number) else { return };
        let path = self.path(number);
        if facts_at(&self.directory, &path).is_ok_and(|found| found.key == file.key)
            && let Err(error) = unlinkat(&self.directory, &path, AtFlags::empty())
        {
            tracing::warn!("cannot remove '{}', it stays: {error}", path.display());
        }
    }
}

/// The number of a rotated file of that log.
fn number_of(log: &str, name: &OsStr) -> Option<u32> {
    let (base, age) = rotation::split(name);
    let number = u32::try_from(age.checked_sub(1)?).ok().filter(|number| *number > 0)?;
    // Not `stdout.01`, which is another name.
    (base == log && name == OsStr::new(&format!("{log}.{number}"))).then_some(number)
}
