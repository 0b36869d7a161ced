//! What is known of all containers: filled by the thread that asks the agent, read by the one that
//! tails.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, RwLock};

use super::cache;
use super::facts::{ContainerKey, Facts, Ids};
use crate::identity::InodeKey;

/// The most containers that are remembered, about 1 KiB each; what is beyond keeps the labels that
/// its path tells.
pub(crate) const CONTAINERS_MAX: usize = 20_000;

/// One container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub ids: Ids,
    pub facts: Facts,
}

/// What is known, shared by both threads. Reading never waits for the agent.
#[derive(Debug, Default)]
pub(crate) struct Metadata {
    containers: RwLock<HashMap<ContainerKey, Arc<Known>>>,
    changed: Mutex<HashSet<ContainerKey>>,
    has_changed: AtomicBool,
    /// Whether the cache on disk is older than what is known.
    unsaved: AtomicBool,
    /// Generated files that are read and acknowledged up to these sizes, in bytes.
    drained: Mutex<HashMap<InodeKey, u64>>,
}

impl Metadata {
    /// Takes back what an earlier process knew, without what `clean` finds in it that it did not. A damaged
    /// entry costs itself.
    pub(crate) fn load(&self, data_dir: &Path, mut clean: impl FnMut(&mut Facts)) {
        let mut is_cleaned = false;
        for (ids, told) in cache::load(data_dir) {
            let mut facts = told.clone();
            clean(&mut facts);
            is_cleaned |= facts != told;
            self.learn(&ids, &facts);
        }
        self.unsaved.store(is_cleaned, Ordering::Relaxed);
    }

    /// Writes what is known, if there is something new.
    ///
    /// # Errors
    /// It cannot be written; the next call tries again.
    pub(crate) fn save(&self, data_dir: &Path) -> std::io::Result<()> {
        if !self.unsaved.swap(false, Ordering::Relaxed) {
            return Ok(());
        }
        let all: Vec<Arc<Known>> = self.containers.read().values().cloned().collect();
        let saved = cache::save(data_dir, &all);
        if saved.is_err() {
            self.unsaved.store(true, Ordering::Relaxed);
        }
        saved
    }

    /// What is known of a container.
    pub(crate) fn get(&self, key: ContainerKey) -> Option<Arc<Known>> {
        self.containers.read().get(&key).cloned()
    }

    /// Whether a container's executor is known to have ended. What is left of its output may still
    /// be on its way into its files for some seconds.
    #[allow(dead_code, reason = "for those who decide what is read first")]
    pub(crate) fn has_ended(&self, key: ContainerKey) -> bool {
        self.get(key).is_some_and(|known| known.facts.ended)
    }

    /// Takes over what was told of a container.
    pub(crate) fn learn(&self, ids: &Ids, facts: &Facts) {
        let key = ids.key();
        let before = self.get(key);
        let mut after = before.as_ref().map(|known| known.facts.clone()).unwrap_or_default();
        after.learn(facts);
        if before.as_ref().is_some_and(|known| known.facts == after) {
            return;
        }
        let same_labels = before.as_ref().is_some_and(|known| known.facts.labels_as(&after));
        let mut containers = self.containers.write();
        if before.is_none() && containers.len() >= CONTAINERS_MAX {
            return;
        }
        containers.insert(key, Arc::new(Known { ids: ids.clone(), facts: after }));
        drop(containers);
        self.unsaved.store(true, Ordering::Relaxed);
        if !same_labels {
            self.changed.lock().insert(key);
            self.has_changed.store(true, Ordering::Release);
        }
    }

    /// The containers whose labels may have changed since the last call.
    pub(crate) fn take_changes(&self) -> HashSet<ContainerKey> {
        if !self.has_changed.swap(false, Ordering::Acquire) {
            return HashSet::new();
        }
        std::mem::take(&mut *self.changed.lock())
    }

    /// How many containers are known.
    pub(crate) fn len(&self) -> usize {
        self.containers.read().len()
    }

    /// Forgets the containers whose directory is gone.
    pub(crate) fn keep_only(&self, exists: impl Fn(&Ids) -> bool) {
        let all: Vec<Arc<Known>> = self.containers.read().values().cloned().collect();
        let gone: Vec<ContainerKey> =
            all.iter().filter(|known| !exists(&known.ids)).map(|known| known.ids.key()).collect();
        if gone.is_empty() {
            return;
        }
        let mut containers = self.containers.write();
        for key in gone {
            containers.remove(&key);
        }
        self.unsaved.store(true, Ordering::Relaxed);
    }

    /// A generated file was read and acknowledged up to this size.
    pub(crate) fn drained(&self, file: InodeKey, size: u64) {
        self.drained.lock().insert(file, size);
    }

    /// Whether all of a generated file of this size is acknowledged.
    pub(crate) fn is_drained(&self, file: InodeKey, size: u64) -> bool {
        self.drained.lock().get(&file) == Some(&size)
    }

    /// Forgets which files were drained, but for these.
    pub(crate) fn keep_drained(&self, files: &HashSet<InodeKey>) {
        self.drained.lock().retain(|file, _| files.contains(file));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(container: &str) -> Ids {
        Ids {
            agent: "A".into(),
            framework: "F".into(),
            executor: "E".into(),
            container: container.into(),
        }
    }

    fn named(name: &str) -> Facts {
        Facts { framework_name: name.into(), ..Facts::default() }
    }

    #[test]
    fn only_what_changes_labels_is_told() {
        let metadata = Metadata::default();
        assert!(metadata.take_changes().is_empty());
        metadata.learn(&ids("c1"), &named("marathon"));
        assert_eq!(metadata.take_changes(), HashSet::from([ids("c1").key()]));
        metadata.learn(&ids("c1"), &named("marathon"));
        metadata.learn(&ids("c1"), &Facts { ended: true, ..Facts::default() });
        assert!(metadata.take_changes().is_empty());
        assert!(metadata.get(ids("c1").key()).expect("known").facts.ended);
    }

    #[test]
    fn a_restart_knows_what_was_saved_and_what_is_gone_leaves() {
        let dir = tempfile::tempdir().expect("temp dir");
        let metadata = Metadata::default();
        metadata.learn(&ids("c1"), &named("marathon"));
        metadata.learn(&ids("c2"), &named("marathon"));
        metadata.save(dir.path()).expect("save");
        metadata.keep_only(|ids| ids.container == "c2");
        let again = Metadata::default();
        again.load(dir.path(), |_| {});
        assert_eq!(again.len(), 2);
        metadata.save(dir.path()).expect("save");
        let again = Metadata::default();
        again.load(dir.path(), |_| {});
        assert_eq!(again.len(), 1);
        assert_eq!(again.get(ids("c2").key()), metadata.get(ids("c2").key()));
    }

    #[test]
    fn no_more_than_the_limit_are_remembered() {
        let metadata = Metadata::default();
        for n in 0..CONTAINERS_MAX + 5 {
            metadata.learn(&ids(&n.to_string()), &named("f"));
        }
        assert_eq!(metadata.len(), CONTAINERS_MAX);
        metadata.learn(&ids("7"), &named("other"));
        assert_eq!(metadata.get(ids("7").key()).expect("known").facts.framework_name, "other");
    }
}
