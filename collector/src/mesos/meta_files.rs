//! The files that an agent checkpoints below `meta/`: each message behind its length. They may be
//! empty or torn, since the agent may have died while it wrote.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::fd::OwnedFd;

use prost::Message;
use rustix::fs::FileType;

use crate::directory;

/// The longest file of one message, in bytes.
const INFO_BYTES_MAX: u64 = 1024 * 1024;
/// How much is read of a file of status updates, in bytes, from its start.
const UPDATES_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The one message of a file; `None` without the file, or without a whole message in it.
pub(super) fn message<M: Message + Default>(directory: &OwnedFd, name: &str) -> Option<M> {
    let content = read(directory, name, INFO_BYTES_MAX).ok()?;
    let (message, _) = split(&content)?;
    M::decode(message).ok()
}

/// The whole messages of a file, up to the first that is none; of more than `most` the last ones. An
/// empty one takes four bytes on disk and some hundred here, so that all would be too many.
pub(super) fn messages<M: Message + Default>(
    directory: &OwnedFd,
    name: &str,
    most: usize,
) -> VecDeque<M> {
    let content = read(directory, name, UPDATES_BYTES_MAX).unwrap_or_default();
    let mut rest = &content[..];
    let mut last = VecDeque::new();
    while let Some((message, after)) = split(rest)
        && let Ok(message) = M::decode(message)
    {
        rest = after;
        if last.len() >= most {
            last.pop_front();
        }
        last.push_back(message);
    }
    last
}

/// A length in the host's own order, then so many bytes.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_ne_bytes(*length)).ok()?)
}

fn read(directory: &OwnedFd, name: &str, bytes_max: u64) -> io::Result<Vec<u8>> {
    let file = directory::open_file(directory, OsStr::new(name))?;
    if !file.metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut content = Vec::new();
    file.take(bytes_max).read_to_end(&mut content)?;
    Ok(content)
}

/// A directory below another, links not followed.
pub(super) fn descend(directory: &OwnedFd, names: &[&str]) -> io::Result<OwnedFd> {
    directory::open_beneath(directory.try_clone()?, names.iter().map(OsStr::new))
}

/// The directories in a directory whose names are text, in order; empty if it cannot be listed.
pub(super) fn subdirectories(directory: &OwnedFd) -> Vec<String> {
    let entries = directory::list(directory, |_| true).unwrap_or_default();
    let mut names: Vec<String> = entries
        .into_iter()
        .filter(|entry| matches!(entry.kind, FileType::Directory | FileType::Unknown))
        .filter_map(|entry| entry.name.into_string().ok())
        .collect();
    names.sort_unstable();
    names
}

/// Where a link points by its last name, without following it: the agent may see the directory
/// elsewhere.
pub(super) fn link_name(directory: &OwnedFd, name: &str) -> Option<String> {
    let target = rustix::fs::readlinkat(directory, name, Vec::new()).ok()?;
    let target = target.into_string().ok()?;
    target.rsplit('/').find(|part| !part.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::super::wire::{Id, StatusUpdateRecord};
    use super::*;
    use crate::tests::allocator;

    fn framed(message: &[u8]) -> Vec<u8> {
        [&(message.len() as u32).to_ne_bytes()[..], message].concat()
    }

    #[test]
    fn of_many_messages_the_last_are_kept() {
        let dir = tempfile::tempdir().expect("temp dir");
        let root = directory::open_root(dir.path()).expect("root");
        let ids = ["a", "b", "c"].map(|id| Id { value: id.into() });
        let content = ids.iter().flat_map(|id| framed(&id.encode_to_vec()));
        std::fs::write(dir.path().join("f"), content.collect::<Vec<u8>>()).expect("write");
        assert_eq!(messages::<Id>(&root, "f", 2), &ids[1..]);
        std::fs::write(dir.path().join("f"), vec![0; UPDATES_BYTES_MAX as usize]).expect("write");
        let asked = allocator::largest(|| {
            assert_eq!(messages::<StatusUpdateRecord>(&root, "f", 1000).len(), 1000);
        });
        assert!(asked as u64 <= 2 * UPDATES_BYTES_MAX, "{asked} bytes at once");
    }

    #[test]
    fn torn_and_lying_files_give_what_is_whole() {
        let dir = tempfile::tempdir().expect("temp dir");
        let root = directory::open_root(dir.path()).expect("root");
        let one = framed(&Id { value: b"a".to_vec() }.encode_to_vec());
        let write = |content: &[u8]| std::fs::write(dir.path().join("f"), content).expect("write");
        let count = || messages::<Id>(&root, "f", 10).len();
        write(&[&one[..], &one].concat());
        assert_eq!(count(), 2);
        write(&[&one[..], &one[..one.len() - 1]].concat());
        assert_eq!(count(), 1);
        write(&[&one[..], &u32::MAX.to_ne_bytes(), b"x"].concat());
        assert_eq!(count(), 1);
        write(&[&one[..], &framed(b"\xff\xff\xff")].concat());
        assert_eq!(count(), 1);
        write(b"");
        assert_eq!((count(), message::<Id>(&root, "f")), (0, None));
        assert_eq!(message::<Id>(&root, "missing"), None);
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("l")).expect("symlink");
        assert_eq!(message::<Id>(&root, "l"), None);
        assert_eq!(link_name(&root, "l").as_deref(), Some("passwd"));
        assert_eq!(link_name(&root, "f"), None);
    }
}
