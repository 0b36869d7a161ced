//! Where a newly found file stands among the files of its stream, the oldest first.

use crate::identity::InodeKey;

/// The index at which `new` goes into `known`. `listing` is the order that the names tell, if the
/// listing is sound and has the file; otherwise the birth times decide.
pub(crate) fn place(known: &[InodeKey], new: InodeKey, listing: Option<&[InodeKey]>) -> usize {
    let by_name = listing.and_then(|listing| {
        let at = listing.iter().position(|key| *key == new)?;
        Some(&listing[at + 1..])
    });
    let younger = match by_name {
        Some(younger) => known.iter().position(|key| younger.contains(key)),
        None => known.iter().position(|key| is_younger(key, &new)),
    };
    // What nothing is younger than comes last: files without a name were there before.
    younger.unwrap_or(known.len())
}

/// Whether `a` was certainly made after `b`.
fn is_younger(a: &InodeKey, b: &InodeKey) -> bool {
    a.birth_time != 0 && b.birth_time != 0 && a.birth_time > b.birth_time
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(inode: u64) -> InodeKey {
        InodeKey { device: 1, inode, birth_time: inode as i64 }
    }

    fn placed(known: &[u64], new: u64, listing: Option<&[u64]>) -> usize {
        let known: Vec<InodeKey> = known.iter().copied().map(key).collect();
        let listing: Option<Vec<InodeKey>> =
            listing.map(|keys| keys.iter().copied().map(key).collect());
        place(&known, key(new), listing.as_deref())
    }

    #[test]
    fn names_decide() {
        assert_eq!(placed(&[1, 2], 3, Some(&[1, 2, 3])), 2);
        assert_eq!(placed(&[5], 9, Some(&[9, 5])), 0);
        assert_eq!(placed(&[1, 5], 9, Some(&[1, 9, 5])), 1);
    }

    #[test]
    fn files_without_a_name_are_older_than_what_is_new() {
        assert_eq!(placed(&[1, 2], 3, Some(&[3])), 2);
    }

    #[test]
    fn without_a_name_birth_decides() {
        assert_eq!(placed(&[1, 5], 3, None), 1);
        assert_eq!(placed(&[1, 2], 3, Some(&[2])), 2);
        let unborn = InodeKey { device: 1, inode: 7, birth_time: 0 };
        assert_eq!(place(&[key(1)], unborn, None), 1);
    }
}
