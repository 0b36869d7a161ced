//! Where a file ends and the next one begins: between two lines.

use memchr::{memchr, memrchr};

/// What to do with the beginning of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// So many bytes go into the file.
    Write(usize),
    /// So many bytes go into the file, and what follows into the next one.
    Last(usize),
}

/// Where bytes go that follow `size` bytes in a file of at most `max`, or of at most twice that if a
/// line has no end before. `is_line_start`: a line ends before them, or the file is empty.
pub(super) fn next(size: u64, is_line_start: bool, bytes: &[u8], max: u64) -> Cut {
    let fitting = |limit: u64| {
        usize::try_from(limit.saturating_sub(size)).unwrap_or(usize::MAX).min(bytes.len())
    };
    let room = fitting(max);
    if room == bytes.len() {
        return Cut::Write(room);
    }
    if let Some(end) = memrchr(b'\n', &bytes[..room]) {
        return Cut::Last(end + 1);
    }
    if is_line_start && size > 0 {
        return Cut::Last(0);
    }
    // A line that does not fit: up to its end, unless that is too far away.
    let room = fitting(max.saturating_mul(2));
    match memchr(b'\n', &bytes[..room]) {
        Some(end) => Cut::Last(end + 1),
        None if room < bytes.len() => Cut::Last(room),
        None => Cut::Write(room),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn files_end_between_lines() {
        assert_eq!(next(0, true, b"ab\ncd\n", 10), Cut::Write(6));
        assert_eq!(next(4, true, b"ab\ncd\n", 10), Cut::Write(6));
        assert_eq!(next(5, true, b"ab\ncd\n", 10), Cut::Last(3));
        assert_eq!(next(8, true, b"ab\ncd\n", 10), Cut::Last(0));
        assert_eq!(next(8, false, b"ab\ncd\n", 10), Cut::Last(3));
        assert_eq!(next(0, true, b"a long line\nb\n", 4), Cut::Last(8));
        assert_eq!(next(0, true, b"a lon\n", 4), Cut::Last(6));
        assert_eq!(next(0, true, b"a lon", 4), Cut::Write(5));
        assert_eq!(next(5, false, b"g line\n", 4), Cut::Last(3));
        assert_eq!(next(8, false, b"g", 4), Cut::Last(0));
    }

    proptest! {
        /// Whatever comes in pieces of any size: no byte is lost, no file is too large, and one that
        /// ends inside a line is as large as a file may get.
        #[test]
        fn every_byte_goes_somewhere(
            pieces in prop::collection::vec(prop::collection::vec(prop_oneof![3 => Just(b'x'), 1 => Just(b'\n')], 1..40), 0..20),
            max in 1u64..20,
        ) {
            let mut files: Vec<Vec<u8>> = vec![Vec::new()];
            for piece in &pieces {
                let mut rest = &piece[..];
                while !rest.is_empty() {
                    let file = files.last_mut().expect("one");
                    let is_line_start = file.last().is_none_or(|byte| *byte == b'\n');
                    let (n, ends) = match next(file.len() as u64, is_line_start, rest, max) {
                        Cut::Write(n) => (n, false),
                        Cut::Last(n) => (n, true),
                    };
                    file.extend_from_slice(&rest[..n]);
                    rest = &rest[n..];
                    prop_assert!(n > 0 || !file.is_empty(), "it goes on");
                    if ends {
                        files.push(Vec::new());
                    }
                }
            }
            prop_assert_eq!(files.concat(), pieces.concat());
            let (_, ended) = files.split_last().expect("one");
            for file in ended {
                prop_assert!(file.len() as u64 <= 2 * max);
                prop_assert!(file.ends_with(b"\n") || file.len() as u64 == 2 * max);
            }
        }
    }
}
