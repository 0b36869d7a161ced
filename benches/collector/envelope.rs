//! The same lines as they stand in files: plain, as Docker's json-file wraps them, and as CRI does.

use std::io::Write;

/// How lines are wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Envelope {
    Plain,
    /// `{"log":"…\n","stream":"stdout","time":"…"}`
    Docker,
    /// `2025-03-03T06:00:00.000000001Z stdout F …`
    Cri,
}

impl Envelope {
    pub(crate) const ALL: [(Envelope, &str); 3] =
        [(Envelope::Plain, "plain"), (Envelope::Docker, "docker json"), (Envelope::Cri, "cri")];

    /// Appends whole lines, wrapped. `number` counts the lines of the stream.
    pub(crate) fn wrap(self, text: &[u8], number: &mut u64, out: &mut Vec<u8>) {
        if self == Self::Plain {
            out.extend_from_slice(text);
            return;
        }
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            *number += 1;
            let (minute, second, nanos) =
                (*number / 60_000 % 60, *number / 1000 % 60, *number % 1000 * 1_000_001);
            if self == Self::Cri {
                write!(out, "2025-03-03T06:{minute:02}:{second:02}.{nanos:09}Z stdout F ")
                    .expect("a Vec takes all bytes");
                out.extend_from_slice(line);
                continue;
            }
            out.extend_from_slice(br#"{"log":""#);
            escape(line, out);
            writeln!(
                out,
                r#"","stream":"stdout","time":"2025-03-03T06:{minute:02}:{second:02}.{nanos:09}Z"}}"#
            )
            .expect("a Vec takes all bytes");
        }
    }
}

/// As Docker escapes text.
fn escape(line: &[u8], out: &mut Vec<u8>) {
    for byte in line {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'<' | b'>' | b'&' | ..0x20 => {
                write!(out, "\\u{byte:04x}").expect("a Vec takes all bytes");
            }
            byte => out.push(*byte),
        }
    }
}
