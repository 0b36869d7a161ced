//! Whether one file may be a copy of another, as far as their names, births and bytes tell.

use std::io;

use crate::order::is_born_after;
use crate::tail::{Copied, Ended, TailFile};
use crate::tail_hash::{PREFIX_BYTES, PrefixHash};

/// How much of the beginning and of the end of a copy is compared.
const COMPARED_BYTES: u64 = 1024;

/// Whether a file was certainly made after another one, and yet its name says that it is older: so it is
/// with copies, and with nothing else.
pub(super) fn may_be_copy(copy: &TailFile, original: &TailFile) -> bool {
    let is_older_by_name = match (&copy.name, &original.name) {
        (Some((_, age)), Some((_, original_age))) => age > original_age,
        // A name that is gone tells nothing any more.
        _ => true,
    };
    is_older_by_name && is_born_after(&copy.key(), &original.key())
}

/// Whether an idle copy may still hold a generation: of what it is long enough for, it holds what was
/// read of that.
pub(super) fn may_still_hold(copy: &TailFile, ended: &Ended) -> io::Result<bool> {
    let size = copy.facts.size;
    if copy.gz.is_some() || !matches!(copy.copy, Copied::Idle(_)) || ended.read_to == 0 {
        return Ok(true);
    }
    if size >= ended.read_to && !copy.holds(ended.read_to, ended.tail)? {
        return Ok(false);
    }
    let is_long = size >= ended.read_to.min(PREFIX_BYTES as u64);
    let is_known = ended.prefix != PrefixHash::UNKNOWN;
    Ok(!is_long || !is_known || copy.begins_with(ended.read_to, ended.prefix)?)
}

/// Whether a file is a copy of a generation that was made before the last of it was written, which was read
/// all the same, and then was truncated away with the rest.
///
/// Files may begin alike for long. But a copy that was made when the original was longer already is none
/// of this one: so it is with the copies of all that the file held later.
pub(super) fn is_earlier_copy(copy: &TailFile, ended: &Ended) -> io::Result<bool> {
    let size = copy.facts.size;
    let Some((offset, tail)) = ended.marks.within(size) else { return Ok(false) };
    // It tells of the copy's making only while nobody has written it anew since.
    let birth_time = copy.key().birth_time;
    let is_untouched = copy.gz.is_none() && copy.truncations == 0;
    // Less is compared only if it is all there is.
    let is_enough = offset == size || offset >= COMPARED_BYTES;
    let may_be = size < ended.read_to
        && is_untouched
        && is_enough
        && ended.marks.may_be_written_after(size, birth_time);
    let is_long = offset >= PREFIX_BYTES as u64;
    Ok(may_be
        && copy.holds(offset, tail)?
        && (!is_long || copy.begins_with(offset, ended.prefix)?))
}

/// Whether all of a file is in another one, as far as its beginning and its end tell.
pub(super) fn is_copy(copy: &TailFile, original: &TailFile) -> io::Result<bool> {
    let size = copy.facts.size;
    if size > original.facts.size {
        return Ok(false);
    }
    let len = size.min(COMPARED_BYTES) as usize;
    for from in [0, size - len as u64] {
        let mut bytes = [[0; COMPARED_BYTES as usize]; 2];
        let [a, b] = &mut bytes;
        let read = (copy.read_at(&mut a[..len], from)?, original.read_at(&mut b[..len], from)?);
        if read != (len, len) || a[..len] != b[..len] {
            return Ok(false);
        }
    }
    Ok(true)
}
