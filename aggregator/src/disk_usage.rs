//! How many bytes the files of a store take on disk, by what they are for.

use std::io;
use std::path::Path;

use crate::store::ASIDE_DIR;

/// Bytes of a slice's files, or of all slices and the catalog.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskUsage {
    /// The block files.
    pub blocks: u64,
    /// The filters of the blocks.
    pub filters: u64,
    /// The indexes, and whatever else lies in a slice's folder.
    pub index: u64,
    /// Streams table and ledger.
    pub catalog: u64,
    /// What was moved aside after damage to the manifest. Nothing reads it and nothing removes it but
    /// people; retention by bytes does not count it, so that it costs no lines.
    pub aside: u64,
}

impl DiskUsage {
    pub fn total(&self) -> u64 {
        self.blocks + self.filters + self.index + self.catalog + self.aside
    }

    pub(crate) fn add(&mut self, other: &DiskUsage) {
        self.blocks += other.blocks;
        self.filters += other.filters;
        self.index += other.index;
        self.catalog += other.catalog;
        self.aside += other.aside;
    }

    /// What the folder of a slice takes.
    ///
    /// # Errors
    /// A folder cannot be listed. What vanishes meanwhile (a merge of the index removes files, a
    /// slice may be dropped) counts as nothing.
    pub(crate) fn of_slice(dir: &Path) -> io::Result<Self> {
        let mut usage = Self::default();
        for_each_file(dir, &mut |name, is_top, len| match name {
            "blocks" if is_top => usage.blocks += len,
            "filters" if is_top => usage.filters += len,
            _ => usage.index += len,
        })?;
        Ok(usage)
    }

    /// What the catalog of the store in `dir` takes, also one that is about to be removed.
    ///
    /// # Errors
    /// The folder cannot be listed.
    pub(crate) fn of_catalog(dir: &Path) -> io::Result<Self> {
        let mut usage = Self::default();
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with("catalog-") {
                usage.catalog += present(entry.metadata())?.map_or(0, |metadata| metadata.len());
            }
        }
        Ok(usage)
    }
}

impl DiskUsage {
    /// What lies aside in the store in `dir`.
    ///
    /// # Errors
    /// A folder cannot be listed.
    pub(crate) fn of_aside(dir: &Path) -> io::Result<Self> {
        let mut usage = Self::default();
        for_each_file(&dir.join(ASIDE_DIR), &mut |_, _, len| usage.aside += len)?;
        Ok(usage)
    }
}

/// Calls `take` with name, whether it lies in `dir` itself, and length of each file of a folder
/// and of those below.
fn for_each_file(dir: &Path, take: &mut impl FnMut(&str, bool, u64)) -> io::Result<()> {
    let mut folders = vec![(dir.to_owned(), true)];
    while let Some((folder, is_top)) = folders.pop() {
        let Some(entries) = present(std::fs::read_dir(&folder))? else { continue };
        for entry in entries {
            let entry = entry?;
            let Some(metadata) = present(entry.metadata())? else { continue };
            if metadata.is_file() {
                take(&entry.file_name().to_string_lossy(), is_top, metadata.len());
            } else if metadata.is_dir() {
                folders.push((entry.path(), false));
            }
        }
    }
    Ok(())
}

/// `None` for what is not there (any more).
fn present<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(err) => Err(err),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_count_by_what_they_are_for() {
        let dir = tempfile::tempdir().unwrap();
        let slice = dir.path().join("slice");
        std::fs::create_dir_all(slice.join("index")).unwrap();
        for (name, len) in
            [("blocks", 1), ("filters", 20), ("index/a", 300), ("index/blocks", 4000), ("x", 50000)]
        {
            std::fs::write(slice.join(name), vec![0; len]).unwrap();
        }
        std::fs::write(dir.path().join("catalog-7"), [0; 9]).unwrap();
        std::fs::write(dir.path().join("manifest"), [0; 9]).unwrap();
        let mut usage = DiskUsage::of_slice(&slice).unwrap();
        assert_eq!(usage, DiskUsage { blocks: 1, filters: 20, index: 54300, catalog: 0, aside: 0 });
        usage.add(&DiskUsage::of_catalog(dir.path()).unwrap());
        assert_eq!((usage.catalog, usage.total()), (9, 54330));
        assert_eq!(DiskUsage::of_aside(dir.path()).unwrap(), DiskUsage::default());
        std::fs::create_dir_all(dir.path().join("aside/7.1/index")).unwrap();
        for (name, len) in [("catalog-9.1", 1), ("7.1/blocks", 20), ("7.1/index/a", 300)] {
            std::fs::write(dir.path().join("aside").join(name), vec![0; len]).unwrap();
        }
        usage.add(&DiskUsage::of_aside(dir.path()).unwrap());
        assert_eq!((usage.aside, usage.total()), (321, 54651));
        assert_eq!(DiskUsage::of_slice(&dir.path().join("gone")).unwrap(), DiskUsage::default());
    }
}
