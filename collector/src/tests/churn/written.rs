//! What one stream's files were made to hold, token by token, and what nobody can know of it.

use std::collections::HashSet;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::time::Duration;

use super::super::fixture::{Fixture, RUN};
use crate::sys::{self, Writers};

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Token {
    pub ends_line: bool,
    pub seen: bool,
    pub destroyed: bool,
    /// Nobody can know of it.
    pub unknowable: bool,
    /// It was stored and no checkpoint told when the collector was killed.
    pub unrecorded: bool,
    /// Nobody knows it again in its copy, which is a file like any other then: it may come once more,
    /// and stand elsewhere.
    pub may_repeat: bool,
}

impl Token {
    pub(super) fn bytes(self) -> usize {
        TOKEN_BYTES + usize::from(self.ends_line)
    }
}

/// How often a closed file is asked about, a millisecond apart.
const CLOSED_TRIES: u32 = 10_000;
/// `<0000>`.
const TOKEN_BYTES: usize = 6;

/// One stream as it was written.
#[derive(Default)]
pub(super) struct Written {
    pub name: &'static str,
    pub tokens: Vec<Token>,
    pub writer: Option<File>,
    /// Something was stored that is in no checkpoint: if the file is truncated before the collector
    /// looks again, its new bytes are taken for those.
    pub fragile: bool,
    /// It was truncated since the collector looked.
    pub is_emptied: bool,
    /// What the files hold, the one that is written first.
    pub files: Vec<Option<OneFile>>,
}

#[derive(Clone, Default)]
pub(super) struct OneFile {
    pub tokens: Vec<usize>,
    pub gz: bool,
    /// It was copied from the file that is written, and is younger.
    pub is_copy: bool,
    /// Its tokens were written to another file, of which it is no compressed form.
    pub is_foreign: bool,
}

impl Written {
    pub(super) fn new(name: &'static str) -> Self {
        Self { name, files: vec![None], ..Self::default() }
    }

    pub(super) fn path(&self, age: usize) -> String {
        let gz = self.files[age].as_ref().is_some_and(|file| file.gz);
        let suffix = if age == 0 { String::new() } else { format!(".{age}") };
        format!("{RUN}/{}{suffix}{}", self.name, if gz { ".gz" } else { "" })
    }

    pub(super) fn append(&mut self, f: &Fixture, ends: &[bool]) {
        let path = self.path(0);
        let writer = self.writer.get_or_insert_with(|| f.writer(&path));
        let file = self.files[0].get_or_insert_default();
        let mut bytes = String::new();
        for ends_line in ends {
            let number = self.tokens.len();
            bytes += &format!("<{number:04}>{}", if *ends_line { "\n" } else { "" });
            self.tokens.push(Token { ends_line: *ends_line, ..Token::default() });
            file.tokens.push(number);
        }
        writer.write_all(bytes.as_bytes()).expect("write");
    }

    /// Closes the file that is written. A child that another test forks has it too until it executes its
    /// program: so long is waited, as the collector's hours pass within milliseconds.
    pub(super) fn close(&mut self) {
        let Some(writer) = self.writer.take() else { return };
        let reader = File::open(format!("/proc/self/fd/{}", writer.as_raw_fd())).expect("open");
        drop(writer);
        let closed = (0..CLOSED_TRIES).find(|_| {
            let is_closed = sys::writers(&reader) != Writers::Some;
            if !is_closed {
                std::thread::sleep(Duration::from_millis(1));
            }
            is_closed
        });
        assert!(closed.is_some(), "somebody else keeps the file open");
    }

    /// Makes room for a new file of age 1.
    fn shift(&mut self, f: &Fixture) {
        for age in (1..self.files.len()).rev().filter(|age| self.files[*age].is_some()) {
            let from = self.path(age);
            let to = from.replace(&format!(".{age}"), &format!(".{}", age + 1));
            f.rename(&from, &to);
        }
        self.files.insert(1, None);
    }

    pub(super) fn rotate(&mut self, f: &Fixture) {
        self.close();
        if self.files[0].is_none() {
            return;
        }
        self.shift(f);
        f.rename(&self.path(0), &self.path(1));
        self.files.swap(0, 1);
    }

    pub(super) fn copy(&mut self, f: &Fixture) {
        self.shift(f);
        f.copy(&self.path(0), &self.path(1));
        self.copied();
    }

    fn copied(&mut self) {
        let original = self.files[0].clone().unwrap_or_default();
        self.files[1] = Some(OneFile { is_copy: true, is_foreign: true, ..original });
        self.leave_unrecorded(1);
    }

    /// Copies over the copy before; `false` if there is none.
    pub(super) fn copy_over(&mut self, f: &Fixture, is_up: bool) -> bool {
        let one = self.files.get(1).and_then(Option::as_ref);
        if !one.is_some_and(|file| file.is_copy && !file.gz) {
            return false;
        }
        f.copy(&self.path(0), &self.path(1));
        self.destroy(1, is_up);
        self.copied();
        true
    }

    pub(super) fn truncate(&mut self, f: &Fixture, is_up: bool) {
        f.truncate(&self.path(0));
        self.is_emptied = true;
        self.destroy(0, is_up);
        self.files[0] = Some(OneFile::default());
    }

    /// What no other file holds is gone.
    pub(super) fn destroy(&mut self, age: usize, is_up: bool) {
        let Some(gone) = self.files[age].take() else { return };
        let rest: HashSet<usize> =
            self.files.iter().flatten().flat_map(|file| file.tokens.iter().copied()).collect();
        for number in gone.tokens.into_iter().filter(|number| !rest.contains(number)) {
            let token = &mut self.tokens[number];
            token.destroyed = true;
            token.unknowable |= !token.seen || !is_up;
        }
    }

    /// The original may go before the collector looks: a copy is known beside its original only.
    pub(super) fn leave_copies(&mut self, age: usize) {
        for number in self.files.iter().skip(age + 1).flatten().flat_map(|file| &file.tokens) {
            self.tokens[*number].may_repeat = true;
        }
    }

    /// Compresses a file, if there is one.
    pub(super) fn gzip(&mut self, f: &Fixture, age: usize) -> bool {
        let from = self.path(age);
        if self.is_emptied {
            self.leave_copies(age);
        }
        let Some(file) = self.files[age].as_mut().filter(|file| !file.gz) else {
            return false;
        };
        file.gz = true;
        let content = std::fs::read(f.path(&from)).expect("read");
        let to = File::create(f.path(&self.path(age))).expect("create");
        let mut encoder = flate2::write::GzEncoder::new(to, flate2::Compression::fast());
        encoder.write_all(&content).expect("write");
        encoder.finish().expect("finish");
        f.remove(&from);
        true
    }

    /// What is in no checkpoint is not known again in a copy.
    fn leave_unrecorded(&mut self, age: usize) {
        for number in self.files[age].iter().flat_map(|file| &file.tokens) {
            let token = &mut self.tokens[*number];
            token.may_repeat |= token.unrecorded;
        }
    }

    /// These were stored and no checkpoint tells.
    pub(super) fn mark_unrecorded(&mut self, stored: impl Iterator<Item = usize>) {
        for number in stored {
            self.tokens[number].unrecorded = true;
            self.fragile = true;
        }
        for age in 0..self.files.len() {
            if self.files[age].as_ref().is_some_and(|file| file.is_foreign) {
                self.leave_unrecorded(age);
            }
        }
    }

    /// The collector was killed that could tell new bytes from those in no checkpoint.
    pub(super) fn killed(&mut self) {
        self.fragile |= self.tokens.iter().any(|token| token.unrecorded);
    }

    /// The checkpoints tell of all that was stored.
    pub(super) fn recorded(&mut self) {
        self.tokens.iter_mut().for_each(|token| token.unrecorded = false);
    }

    pub(super) fn look(&mut self) {
        (self.fragile, self.is_emptied) = (false, false);
        for number in self.files.iter().flatten().flat_map(|file| &file.tokens) {
            self.tokens[*number].seen = true;
        }
    }
}
