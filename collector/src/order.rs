//! Where a newly found file stands among the files of its stream, the oldest first.

use crate::identity::InodeKey;

/// The index at which `new` goes into `known`, given the order that the files' names told. If they
/// did not stay the same while they were read (`sound`), the birth times count first.
pub(crate) fn place(known: &[InodeKey], new: InodeKey, listing: &[InodeKey], sound: bool) -> usize {
    let at = listing.iter().position(|key| *key == new);
    let younger_by_name = at.map(|at| &listing[at + 1..]).unwrap_or_default();
    let is_younger = |key: &InodeKey| {
        if sound && at.is_some() {
            return younger_by_name.contains(key);
        }
        is_born_after(key, &new) || (younger_by_name.contains(key) && !is_born_after(&new, key))
    };
    // What nothing is younger than comes last: files without a name were there before.
    known.iter().position(is_younger).unwrap_or(known.len())
}

/// Whether `a` was certainly made after `b`.
pub(crate) fn is_born_after(a: &InodeKey, b: &InodeKey) -> bool {
    a.birth_time != 0 && b.birth_time != 0 && a.birth_time > b.birth_time
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(inode: u64) -> InodeKey {
        InodeKey { device: 1, inode, birth_time: inode as i64 }
    }

    fn placed(known: &[u64], new: u64, listing: &[u64], sound: bool) -> usize {
        let keys = |inodes: &[u64]| -> Vec<InodeKey> { inodes.iter().copied().map(key).collect() };
        place(&keys(known), key(new), &keys(listing), sound)
    }

    #[test]
    fn sound_names_decide() {
        assert_eq!(placed(&[1, 2], 3, &[1, 2, 3], true), 2);
        assert_eq!(placed(&[5], 9, &[9, 5], true), 0);
        assert_eq!(placed(&[1, 5], 9, &[1, 9, 5], true), 1);
    }

    #[test]
    fn files_without_a_name_are_older_than_what_is_new() {
        assert_eq!(placed(&[1, 2], 3, &[3], true), 2);
    }

    #[test]
    fn without_sound_names_birth_decides() {
        assert_eq!(placed(&[1, 5], 3, &[], false), 1);
        assert_eq!(placed(&[1, 5], 3, &[3, 1, 5], false), 1);
        assert_eq!(placed(&[1, 2], 3, &[2], true), 2);
    }

    #[test]
    fn names_decide_between_files_that_may_have_been_born_together() {
        let twin = |inode| InodeKey { device: 1, inode, birth_time: 7 };
        assert_eq!(place(&[twin(1), twin(2)], twin(3), &[twin(3), twin(2)], false), 1);
        let unborn = InodeKey { device: 1, inode: 7, birth_time: 0 };
        assert_eq!(place(&[key(1)], unborn, &[], false), 1);
        assert_eq!(place(&[key(1)], unborn, &[unborn, key(1)], false), 0);
    }
}
