//! Tells files that people read from those they do not, by their first bytes.

/// How much of a file's beginning is looked at.
const LOOKED_AT: usize = 8 * 1024;

const COMPRESSED: [(&[u8], &str); 6] = [
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"PK\x03\x04", "zip"),
];

/// Why the beginning of a file is not text; `None` if it may be.
pub(crate) fn not_text(start: &[u8]) -> Option<&'static str> {
    let start = &start[..start.len().min(LOOKED_AT)];
    if let Some((_, name)) = COMPRESSED.iter().find(|(magic, _)| start.starts_with(magic)) {
        return Some(name);
    }
    memchr::memchr(0, start).map(|_| "binary")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_passes_in_any_encoding_without_zeros() {
        for text in
            [&b""[..], b"plain\n", "\u{fc}n\u{ef}\u{63}ode\n".as_bytes(), b"\xff\xfelatin\n"]
        {
            assert_eq!(not_text(text), None);
        }
        let late = [&[b'x'; LOOKED_AT][..], b"\0"].concat();
        assert_eq!(not_text(&late), None);
    }

    #[test]
    fn zeros_and_compressed_files_do_not() {
        assert_eq!(not_text(b"abc\0def"), Some("binary"));
        assert_eq!(not_text(b"\x1f\x8b\x08\0"), Some("gzip"));
        assert_eq!(not_text(b"\x28\xb5\x2f\xfd\x04"), Some("zstd"));
    }
}
