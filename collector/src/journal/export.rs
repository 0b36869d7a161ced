//! journald's export format, as it comes: fields of an entry, one a line or with their length before
//! them, and an empty line behind each entry.

/// The longest value; what is longer keeps its beginning.
const VALUE_BYTES_MAX: usize = 1 << 20;
/// The longest name with its value on one line, and what may wait for its rest.
const LINE_BYTES_MAX: usize = VALUE_BYTES_MAX + 256;
const LENGTH_BYTES: usize = 8;

/// The fields of one entry that are of interest. Of these a sender may make up all but the cursor and
/// the user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    pub cursor: Vec<u8>,
    /// Who sent it, as journald itself found out.
    pub uid: Vec<u8>,
    pub message: Option<Vec<u8>>,
    pub agent: Vec<u8>,
    pub framework: Vec<u8>,
    pub executor: Vec<u8>,
    pub container: Vec<u8>,
    pub stream: Vec<u8>,
}

impl Entry {
    fn set(&mut self, name: &[u8], value: &[u8]) {
        let value = value[..value.len().min(VALUE_BYTES_MAX)].to_vec();
        match name {
            b"__CURSOR" => self.cursor = value,
            b"_UID" => self.uid = value,
            b"MESSAGE" => self.message = Some(value),
            b"AGENT_ID" => self.agent = value,
            b"FRAMEWORK_ID" => self.framework = value,
            b"EXECUTOR_ID" => self.executor = value,
            b"CONTAINER_ID" => self.container = value,
            b"STREAM" => self.stream = value,
            _ => {}
        }
    }
}

/// Where the next byte belongs.
#[derive(Debug, Default)]
enum At {
    #[default]
    Line,
    /// The value of a field whose length comes first.
    Length(Vec<u8>),
    /// Of so many bytes with the line end behind.
    Value(Vec<u8>, u64),
    /// The rest of a value that is too long: so many bytes.
    Beyond(u64),
    /// The rest of a line that is too long.
    BeyondLine,
}

/// Takes bytes in pieces of any size.
#[derive(Debug, Default)]
pub(super) struct Parser {
    at: At,
    /// What is not complete yet: at most a line or a value, and a piece.
    waiting: Vec<u8>,
    entry: Entry,
}

impl Parser {
    /// Takes bytes in; gives the entries that they complete.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Vec<Entry> {
        self.waiting.extend_from_slice(bytes);
        let waiting = std::mem::take(&mut self.waiting);
        let mut rest = &waiting[..];
        let mut entries = Vec::new();
        while let Some(used) = self.next(rest, &mut entries) {
            rest = &rest[used..];
        }
        self.waiting = rest.to_vec();
        entries
    }

    /// Takes the next part; how many bytes it was, or `None` if it is not complete.
    fn next(&mut self, rest: &[u8], entries: &mut Vec<Entry>) -> Option<usize> {
        match std::mem::take(&mut self.at) {
            At::Line => self.line(rest, entries),
            At::Length(name) => {
                let Some(bytes) = rest.first_chunk::<LENGTH_BYTES>() else {
                    self.at = At::Length(name);
                    return None;
                };
                self.at = At::Value(name, u64::from_le_bytes(*bytes).saturating_add(1));
                Some(LENGTH_BYTES)
            }
            At::Value(name, length) => self.value(name, length, rest),
            At::Beyond(0) => Some(0),
            At::Beyond(length) => {
                let used = usize::try_from(length).unwrap_or(usize::MAX).min(rest.len());
                self.at = At::Beyond(length - used as u64);
                (used > 0).then_some(used)
            }
            At::BeyondLine => match memchr::memchr(b'\n', rest) {
                Some(end) => Some(end + 1),
                None => {
                    self.at = At::BeyondLine;
                    (!rest.is_empty()).then_some(rest.len())
                }
            },
        }
    }

    fn line(&mut self, rest: &[u8], entries: &mut Vec<Entry>) -> Option<usize> {
        let end = memchr::memchr(b'\n', rest);
        let line = &rest[..end.unwrap_or(rest.len())];
        if end.is_none() && line.len() <= LINE_BYTES_MAX {
            return None;
        }
        match memchr::memchr(b'=', line) {
            Some(equals) => self.entry.set(&line[..equals], &line[equals + 1..]),
            None if line.is_empty() => entries.push(std::mem::take(&mut self.entry)),
            // However much has come at once: what is too long is no name.
            None if line.len() <= LINE_BYTES_MAX => self.at = At::Length(line.to_vec()),
            None => {}
        }
        if end.is_none() {
            self.at = At::BeyondLine;
        }
        Some(end.map_or(line.len(), |end| end + 1))
    }

    fn value(&mut self, name: Vec<u8>, length: u64, rest: &[u8]) -> Option<usize> {
        let whole = usize::try_from(length).unwrap_or(usize::MAX);
        if rest.len() >= whole {
            self.entry.set(&name, &rest[..whole - 1]);
            return Some(whole);
        }
        if rest.len() < VALUE_BYTES_MAX {
            self.at = At::Value(name, length);
            return None;
        }
        self.entry.set(&name, rest);
        self.at = At::Beyond(length - rest.len() as u64);
        Some(rest.len())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An entry as journald exports it.
    pub(crate) fn exported(fields: &[(&str, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        for (name, value) in fields {
            out.extend_from_slice(name.as_bytes());
            if value.iter().all(|byte| (0x20..0x7f).contains(byte)) {
                out.push(b'=');
            } else {
                out.push(b'\n');
                out.extend_from_slice(&(value.len() as u64).to_le_bytes());
            }
            out.extend_from_slice(value);
            out.push(b'\n');
        }
        out.push(b'\n');
        out
    }

    #[test]
    fn a_value_that_is_too_long_keeps_its_beginning_and_the_next_entry_is_whole() {
        for byte in [b'x', b'\n'] {
            let long = vec![byte; 3 << 20];
            let mut bytes = exported(&[("MESSAGE", &long), ("STREAM", b"STDOUT")]);
            bytes.extend(exported(&[("MESSAGE", b"short")]));
            let mut parser = Parser::default();
            let entries: Vec<Entry> =
                bytes.chunks(100_000).flat_map(|piece| parser.feed(piece)).collect();
            assert_eq!(entries.len(), 2);
            let kept = entries[0].message.as_ref().expect("a message");
            assert!(kept.len() == VALUE_BYTES_MAX && long.starts_with(kept));
            assert_eq!(entries[0].stream, b"STDOUT");
            assert_eq!(entries[1].message.as_deref(), Some(&b"short"[..]));
        }
    }

    #[test]
    fn what_is_too_long_for_a_name_is_none_however_it_comes() {
        let mut bytes = vec![b'x'; LINE_BYTES_MAX + 10];
        bytes.push(b'\n');
        bytes.extend(exported(&[("MESSAGE", b"short")]));
        for size in [1000, bytes.len()] {
            let mut parser = Parser::default();
            let entries: Vec<Entry> =
                bytes.chunks(size).flat_map(|piece| parser.feed(piece)).collect();
            let messages: Vec<_> = entries.iter().map(|entry| entry.message.as_deref()).collect();
            assert_eq!(messages, [Some(&b"short"[..])], "in pieces of {size}");
        }
    }

    proptest! {
        #[test]
        fn entries_are_the_same_in_pieces_of_any_size(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..8),
            size in 1usize..60,
        ) {
            let bytes: Vec<u8> = messages.iter().flat_map(|message| {
                exported(&[("__CURSOR", b"s=1;i=2"), ("MESSAGE", message), ("OTHER", b"\n\n=")])
            }).collect();
            let mut parser = Parser::default();
            let entries: Vec<Entry> = bytes.chunks(size).flat_map(|piece| parser.feed(piece)).collect();
            let found: Vec<Vec<u8>> = entries.into_iter().filter_map(|entry| entry.message).collect();
            prop_assert_eq!(found, messages);
        }

        #[test]
        fn any_bytes_are_taken(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..20)) {
            let mut parser = Parser::default();
            for piece in &pieces {
                parser.feed(piece);
                prop_assert!(parser.waiting.len() <= LINE_BYTES_MAX + 200);
            }
        }
    }
}
