//! What stands where a secret stood: `[redacted:kind:hhhh]`, with a keyed hash that tells whether two
//! secrets of one agent are the same, and nothing else.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::kind::Kind;
use crate::durable;

const FILE: &str = "redaction-key";
const KEY_BYTES: usize = 32;
const BEGIN: &[u8] = b"[redacted:";

/// What stands for a line that could not be judged.
pub(super) const UNSCANNED: &[u8] = b"[redacted:unscanned]";

/// The key of the hashes; never leaves the data directory.
#[derive(Clone)]
pub(super) struct TagKey(Hmac<Sha256>);

impl TagKey {
    pub(super) fn new(key: &[u8]) -> Self {
        Self(Hmac::new_from_slice(key).expect("HMAC takes keys of any length"))
    }

    /// Reads the key in `data_dir`, or makes one that only this user can read. One that is damaged is
    /// replaced: equal secrets then have another hash from now on.
    ///
    /// # Errors
    /// It can be neither read nor made.
    pub(super) fn open(data_dir: &Path) -> io::Result<Self> {
        let path = data_dir.join(FILE);
        match std::fs::read(&path) {
            Ok(key) if key.len() == KEY_BYTES => return Ok(Self::new(&key)),
            Ok(_) => tracing::warn!("'{}' is damaged and made anew", path.display()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let mut key = [0; KEY_BYTES];
        File::open("/dev/urandom")?.read_exact(&mut key)?;
        write_private(&path, &key)?;
        Ok(Self::new(&key))
    }

    /// Appends what replaces `secret`.
    pub(super) fn write(&self, kind: Kind, secret: &[u8], out: &mut Vec<u8>) {
        let mut mac = self.0.clone();
        mac.update(secret);
        let hash = mac.finalize().into_bytes();
        out.extend_from_slice(BEGIN);
        out.extend_from_slice(kind.name().as_bytes());
        out.push(b':');
        for byte in &hash[..2] {
            for digit in [byte >> 4, byte & 15] {
                out.push(b"0123456789abcdef"[usize::from(digit)]);
            }
        }
        out.push(b']');
    }
}

/// Makes a file of mode 0600; a crash leaves the old one, the new one or none.
fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    match std::fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    durable::sync_directory_of(path)
}

/// The length of the tag at the start of `text`; `None` if there is none.
pub(super) fn tag_len(text: &[u8]) -> Option<usize> {
    if text.starts_with(UNSCANNED) {
        return Some(UNSCANNED.len());
    }
    let rest = text.strip_prefix(BEGIN)?;
    let name = rest.iter().take(16).position(|byte| *byte == b':')?;
    let known = Kind::ALL.iter().any(|kind| kind.name().as_bytes() == &rest[..name]);
    let hash = rest.get(name + 1..name + 5)?;
    let is_tag =
        known && hash.iter().all(u8::is_ascii_hexdigit) && rest.get(name + 5) == Some(&b']');
    is_tag.then_some(BEGIN.len() + name + 6)
}

/// Whether the kind of a tag ends here: it is no name, though a colon follows it.
pub(super) fn is_kind(text: &[u8]) -> bool {
    let start = memchr::memrchr(b'[', text);
    let kind = start.and_then(|start| text[start..].strip_prefix(BEGIN));
    kind.is_some_and(|kind| Kind::ALL.iter().any(|known| known.name().as_bytes() == kind))
}

/// Whether a value is what a secret was replaced by.
pub(super) fn is_tag(value: &[u8]) -> bool {
    tag_len(value) == Some(value.len())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn tag(key: &TagKey, secret: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        key.write(Kind::Pair, secret, &mut out);
        out
    }

    #[test]
    fn equal_secrets_have_equal_tags_also_after_a_restart_and_only_on_this_agent() {
        let dir = tempfile::tempdir().expect("temp dir");
        let key = TagKey::open(dir.path()).expect("made");
        let mode = std::fs::metadata(dir.path().join(FILE)).expect("stat").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let again = TagKey::open(dir.path()).expect("read");
        let tags: Vec<_> = (0..64u8).map(|n| tag(&key, &[n; 9])).collect();
        assert_eq!(tags, (0..64u8).map(|n| tag(&again, &[n; 9])).collect::<Vec<_>>());
        let other = tempfile::tempdir().expect("temp dir");
        let stranger = TagKey::open(other.path()).expect("made");
        assert_ne!(tags, (0..64u8).map(|n| tag(&stranger, &[n; 9])).collect::<Vec<_>>());
        assert!(is_tag(&tags[0]) && tags[0].starts_with(b"[redacted:pair:"));
    }

    #[test]
    fn a_damaged_key_is_made_anew_and_private() {
        let dir = tempfile::tempdir().expect("temp dir");
        std::fs::write(dir.path().join(FILE), "short").expect("write");
        TagKey::open(dir.path()).expect("made");
        let meta = std::fs::metadata(dir.path().join(FILE)).expect("stat");
        assert_eq!((meta.len(), meta.permissions().mode() & 0o777), (KEY_BYTES as u64, 0o600));
    }

    #[test]
    fn only_whole_tags_are_tags() {
        for text in ["[redacted:pair:12ab]", "[redacted:unscanned]"] {
            assert!(is_tag(text.as_bytes()), "{text}");
        }
        for text in [
            "[redacted:pair:12ab",
            "[redacted:pair:12ag]",
            "[redacted:mine:12ab]",
            "[redacted:pair:12ab]x",
        ] {
            assert!(!is_tag(text.as_bytes()), "{text}");
        }
    }
}
