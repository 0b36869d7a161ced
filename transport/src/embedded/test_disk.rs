//! A disk for tests: it fails when told to, can die as in a power cut, and knows how much of each
//! file was synced. Nothing is really synced, which makes thousands of reopenings quick.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, IoSlice};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};

use super::disk::{Disk, SystemDisk};
use super::{EmbeddedConfig, EmbeddedConsumer, EmbeddedLog};
use crate::consumer::{Consumer, Event};
use crate::producer::{Ack, Producer};

/// How many of the next calls of each kind fail.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Failures {
    pub(super) creates: u32,
    /// Half of the bytes go in first, as when a disk fills up.
    pub(super) appends: u32,
    pub(super) truncates: u32,
    pub(super) syncs: u32,
    pub(super) removes: u32,
}

#[derive(Default)]
struct State {
    is_dead: bool,
    failures: Failures,
    panics: bool,
    /// An append was cut short; the next call tells why.
    is_cut_short: bool,
    /// Inode to bytes.
    synced: HashMap<u64, u64>,
}

#[derive(Default)]
pub(super) struct TestDisk {
    state: Mutex<State>,
    /// Held to make appends wait.
    gate: Mutex<()>,
}

impl TestDisk {
    pub(super) fn fail(&self, failures: Failures) {
        self.state.lock().failures = failures;
    }

    /// From now on nothing reaches the disk, until it is revived.
    pub(super) fn kill(&self) {
        self.state.lock().is_dead = true;
    }

    pub(super) fn revive(&self) {
        self.state.lock().is_dead = false;
    }

    pub(super) fn panic_at_next_append(&self) {
        self.state.lock().panics = true;
    }

    /// Makes appends wait while the guard lives.
    pub(super) fn hold_appends(&self) -> MutexGuard<'_, ()> {
        self.gate.lock()
    }

    pub(super) fn synced_bytes(&self, path: &Path) -> u64 {
        let inode = path.metadata().expect("a file").ino();
        self.state.lock().synced.get(&inode).copied().unwrap_or(0)
    }

    fn check(&self, left: impl Fn(&mut Failures) -> &mut u32) -> io::Result<()> {
        let mut state = self.state.lock();
        if state.is_dead {
            return Err(io::Error::other("the power is off"));
        }
        let left = left(&mut state.failures);
        if *left > 0 {
            *left -= 1;
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }
}

impl Disk for TestDisk {
    fn create(&self, path: &Path) -> io::Result<File> {
        self.check(|failures| &mut failures.creates)?;
        let file = SystemDisk.create(path)?;
        self.state.lock().synced.insert(file.metadata()?.ino(), 0);
        Ok(file)
    }

    fn append(&self, file: &File, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        drop(self.gate.lock());
        assert!(!self.state.lock().panics, "a panic was asked for");
        if std::mem::take(&mut self.state.lock().is_cut_short) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        match self.check(|failures| &mut failures.appends) {
            Ok(()) => SystemDisk.append(file, parts),
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                let all: Vec<u8> = parts.iter().flat_map(|part| part.to_vec()).collect();
                self.state.lock().is_cut_short = true;
                SystemDisk.append(file, &[IoSlice::new(&all[..all.len() / 2])])
            }
            Err(error) => Err(error),
        }
    }

    fn truncate(&self, file: &File, bytes: u64) -> io::Result<()> {
        self.check(|failures| &mut failures.truncates)?;
        SystemDisk.truncate(file, bytes)
    }

    fn sync_data(&self, file: &File) -> io::Result<()> {
        self.check(|failures| &mut failures.syncs)?;
        let metadata = file.metadata()?;
        self.state.lock().synced.insert(metadata.ino(), metadata.len());
        Ok(())
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        self.check(|failures| &mut failures.creates)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.check(|failures| &mut failures.removes)?;
        SystemDisk.remove(path)
    }
}

/// A log on a test disk, with one channel for all acks.
pub(super) struct Fixture {
    pub(super) disk: Arc<TestDisk>,
    pub(super) config: EmbeddedConfig,
    log: Option<EmbeddedLog>,
    acks: (Sender<Ack>, Receiver<Ack>),
    next_tag: u64,
}

impl Fixture {
    pub(super) fn open(config: EmbeddedConfig) -> Self {
        let disk = Arc::new(TestDisk::default());
        let log = EmbeddedLog::open_on(config.clone(), disk.clone()).expect("opens");
        Self { disk, config, log: Some(log), acks: channel(), next_tag: 0 }
    }

    pub(super) fn log(&self) -> &EmbeddedLog {
        self.log.as_ref().expect("open")
    }

    /// Shuts the log down, if it is open.
    pub(super) fn close(&mut self) {
        self.log = None;
    }

    pub(super) fn reopen(&mut self) {
        self.close();
        self.log =
            Some(EmbeddedLog::open_on(self.config.clone(), self.disk.clone()).expect("opens"));
    }

    /// Sends; returns the message's tag.
    pub(super) fn send(&mut self, partition: u32, message: impl Into<Bytes>) -> u64 {
        let tag = self.next_tag;
        self.next_tag += 1;
        let sent = self.log().producer().send(partition, message.into(), tag, &self.acks.0);
        sent.expect("taken");
        tag
    }

    /// The next ack; asks for a sync so that it comes.
    pub(super) fn ack(&self) -> Ack {
        self.log().flush();
        self.acks.1.recv().expect("an ack")
    }

    /// The acks that came until now.
    pub(super) fn take_acks(&self) -> Vec<Ack> {
        self.acks.1.try_iter().collect()
    }

    /// Sends and waits; returns the offset.
    pub(super) fn store(&mut self, partition: u32, message: impl Into<Bytes>) -> u64 {
        let tag = self.send(partition, message);
        let ack = self.ack();
        assert_eq!(ack.tag, tag);
        ack.result.expect("stored").offset
    }

    /// Everything that a partition holds, from `from` on.
    pub(super) fn read(&self, partition: u32, from: u64) -> Vec<Seen> {
        let mut consumer = self.log().consumer();
        consumer.assign(partition, from).expect("within the bounds");
        read_all(&mut consumer)
    }
}

/// An event without its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Message(u64, Bytes),
    Missing(u64, u64),
}

/// Reads what can be read without waiting.
pub(super) fn read_all(consumer: &mut EmbeddedConsumer) -> Vec<Seen> {
    let mut seen = Vec::new();
    while let Some(event) = consumer.poll(std::time::Duration::ZERO).expect("readable") {
        seen.push(match event {
            Event::Message { offset, message, .. } => Seen::Message(offset, message),
            Event::Missing { from, to, .. } => Seen::Missing(from, to),
            other => panic!("an embedded log does not say {other:?}"),
        });
    }
    seen
}

/// Messages of one partition that must be there.
pub(super) fn messages(range: std::ops::Range<u64>, of: impl Fn(u64) -> Bytes) -> Vec<Seen> {
    range.map(|offset| Seen::Message(offset, of(offset))).collect()
}
