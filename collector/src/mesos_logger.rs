//! Where the Mesos logrotate logger cuts files, as the configuration that it leaves beside them says.
//!
//! It moves what a container writes in pieces of at most a page, wherever lines end, and rotates before a
//! piece that would make the file too large. It closes the file before it opens the next one, so the line
//! at the end of a file of that size goes on in the next one, whoever else may have files open.

use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::fd::AsFd;

use crate::directory;
use crate::stream::Stream;

/// What follows a log's name in that of its configuration.
const SUFFIX: &str = ".logrotate.conf";
/// Options may be pasted into it, but a page of them is plenty.
const CONF_BYTES_MAX: u64 = 16 * 1024;
/// The logger's page: the most bytes that it moves at once.
const PIECE_BYTES_MAX: u64 = 4096;

/// The logger that rotates a stream's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MesosLogger {
    /// What logrotate is to take for large enough, in bytes: a page less than a file may have.
    rotates_above: u64,
}

impl MesosLogger {
    /// Reads what the logger wrote for logrotate: its own `size`, which is the last one, counts.
    fn parse(conf: &[u8]) -> Option<Self> {
        let conf = std::str::from_utf8(conf).ok()?;
        let size =
            |line: &str| line.trim().strip_prefix("size ").map(|size| size.trim().to_owned());
        let size = conf.lines().rev().find_map(size)?;
        Some(Self { rotates_above: size.parse().ok()? })
    }

    /// Whether a file of so many bytes is one that the logger rotates: the next piece did not fit.
    pub(crate) fn is_full(self, bytes: u64) -> bool {
        let most = self.rotates_above.saturating_add(PIECE_BYTES_MAX);
        bytes > self.rotates_above && bytes <= most
    }
}

/// Looks for the logger's configuration beside a log of which more than one file is open, unless it is
/// known. Whoever owns the sandbox may write it: that can join lines of its own only.
pub(crate) fn look_beside(stream: &mut Stream, directory: impl AsFd, log: &OsStr) {
    if stream.files.len() < 2 || stream.logger.is_some() {
        return;
    }
    let name: OsString = [log, OsStr::new(SUFFIX)].into_iter().collect();
    let Ok(file) = directory::open_file(directory, &name) else { return };
    let mut conf = Vec::new();
    if file.take(CONF_BYTES_MAX).read_to_end(&mut conf).is_ok() {
        stream.logger = MesosLogger::parse(&conf);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_loggers_own_size_is_the_last_one() {
        let conf = "\"/s/stdout\" {\n  rotate 9\n  size 10k\n  size 2093056\n}\n";
        let logger = MesosLogger::parse(conf.as_bytes()).expect("it has a size");
        assert_eq!(logger.rotates_above, 2_093_056);
        // 2 MiB at most; what is smaller has room for one more piece.
        assert!([2_093_057, 2_097_152].into_iter().all(|bytes| logger.is_full(bytes)));
        assert!([0, 2_093_056, 2_097_153].into_iter().all(|bytes| !logger.is_full(bytes)));
    }

    #[test]
    fn what_is_not_the_loggers_says_nothing() {
        for conf in
            ["", "size", "size 10M\n", "maxsize 4096\n", "size -1", "size 99999999999999999999"]
        {
            assert_eq!(MesosLogger::parse(conf.as_bytes()), None, "{conf:?}");
        }
        assert_eq!(MesosLogger::parse(b"\xff\nsize 1"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_never_panic(conf in proptest::collection::vec(any::<u8>(), 0..200), size: u64) {
            if let Some(logger) = MesosLogger::parse(&conf) {
                logger.is_full(size);
            }
            MesosLogger { rotates_above: size }.is_full(size);
        }
    }
}
