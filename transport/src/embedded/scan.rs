//! Reads the records of one log file in order, and finds the next valid one behind damage.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use bytes::Bytes;

use super::log_file::FILE_HEADER_BYTES;
use super::record::{Header, RECORD_HEADER_BYTES, record_bytes};
use crate::limits::MESSAGE_BYTES_MAX;

/// Bytes read ahead of the record that is wanted.
const BUFFER_BYTES: usize = 64 * 1024;

/// The most message bytes whose CRC is computed in search of one valid record. Damage that looks
/// like many overlapping records must not cost the square of its size.
const SEARCH_BYTES_MAX: u64 = 1 << 30;

/// A record whose CRC was right.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) offset: u64,
    pub(super) stored_at: i64,
    pub(super) message: Bytes,
}

/// What stands at the scanner's place.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    Record(Record),
    /// No record that belongs here, and why. The scanner did not move.
    Bad(&'static str),
    End,
}

/// A place in a log file. Reads only below the limit it is given with each call, so that nothing is
/// buffered that the writer may still cut off.
#[derive(Debug)]
pub(super) struct Scanner {
    file: File,
    at: u64,
    buffer: Vec<u8>,
    buffer_at: u64,
}

impl Scanner {
    /// At the first record of the file.
    pub(super) fn new(file: File) -> Self {
        Self { file, at: FILE_HEADER_BYTES, buffer: Vec::new(), buffer_at: 0 }
    }

    /// The byte at which the next record begins.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// Goes to a byte at which a record begins.
    pub(super) fn seek(&mut self, at: u64) {
        self.at = at;
    }

    /// Takes the record here. Only the bytes below `limit` count, and only an offset in `offsets`
    /// belongs here.
    pub(super) fn next(&mut self, limit: u64, offsets: Range<u64>) -> io::Result<Found> {
        if self.at >= limit {
            return Ok(Found::End);
        }
        let Some(header) = self.header(self.at, limit)? else {
            return Ok(Found::Bad("the record's header is cut off"));
        };
        if let Err(reason) = plausible(&header, self.at, limit, &offsets) {
            return Ok(Found::Bad(reason));
        }
        let Some(message) = self.message(self.at, &header)? else {
            return Ok(Found::Bad("the file ends inside the record"));
        };
        if !header.fits(&message) {
            return Ok(Found::Bad("the record's checksum is wrong"));
        }
        self.at += record_bytes(message.len());
        Ok(Found::Record(Record { offset: header.offset, stored_at: header.stored_at, message }))
    }

    /// Moves to the next valid record behind the bad one here; false if there is none.
    pub(super) fn find_valid(&mut self, limit: u64, offsets: Range<u64>) -> io::Result<bool> {
        let mut budget = SEARCH_BYTES_MAX;
        // Most damage leaves the length alone: then the next record is where it should be, and the
        // damaged message is not searched for things that look like records.
        if let Some(header) = self.header(self.at, limit)?
            && self.is_valid(
                self.at + record_bytes(header.len as usize),
                limit,
                &offsets,
                &mut budget,
            )?
        {
            self.at += record_bytes(header.len as usize);
            return Ok(true);
        }
        let mut at = self.at + 1;
        while at < limit && budget > 0 {
            if self.is_valid(at, limit, &offsets, &mut budget)? {
                self.at = at;
                return Ok(true);
            }
            at += 1;
        }
        Ok(false)
    }

    fn is_valid(
        &mut self,
        at: u64,
        limit: u64,
        offsets: &Range<u64>,
        budget: &mut u64,
    ) -> io::Result<bool> {
        let Some(header) = self.header(at, limit)? else { return Ok(false) };
        if plausible(&header, at, limit, offsets).is_err() {
            return Ok(false);
        }
        *budget = budget.saturating_sub(u64::from(header.len));
        Ok(self.message(at, &header)?.is_some_and(|message| header.fits(&message)))
    }

    /// What the bytes at `at` say if they are a header; `None` if there are too few.
    fn header(&mut self, at: u64, limit: u64) -> io::Result<Option<Header>> {
        let end = at.saturating_add(RECORD_HEADER_BYTES as u64);
        if end > limit {
            return Ok(None);
        }
        if at < self.buffer_at || end > self.buffer_at + self.buffer.len() as u64 {
            self.fill(at, limit)?;
        }
        Ok(Header::parse(&self.buffer[(at - self.buffer_at) as usize..]))
    }

    fn fill(&mut self, at: u64, limit: u64) -> io::Result<()> {
        let wanted = (limit - at).min(BUFFER_BYTES as u64) as usize;
        self.buffer.resize(wanted, 0);
        self.buffer_at = at;
        let read = read_at(&self.file, &mut self.buffer, at);
        self.buffer.truncate(*read.as_ref().unwrap_or(&0));
        read.map(|_| ())
    }

    /// The message behind a plausible header, from the buffer as far as it is there; `None` if the
    /// file is shorter. A copy, so that a small message does not keep a large buffer alive.
    fn message(&self, at: u64, header: &Header) -> io::Result<Option<Bytes>> {
        let from = at + RECORD_HEADER_BYTES as u64;
        let len = header.len as usize;
        let skip = (from - self.buffer_at) as usize;
        let buffered = self.buffer.get(skip..).unwrap_or_default();
        if let Some(message) = buffered.get(..len) {
            return Ok(Some(Bytes::copy_from_slice(message)));
        }
        let mut message = vec![0; len];
        message[..buffered.len()].copy_from_slice(buffered);
        let rest = &mut message[buffered.len()..];
        let read = read_at(&self.file, rest, from + buffered.len() as u64)?;
        Ok((read == rest.len()).then(|| Bytes::from(message)))
    }
}

/// Whether a header may stand at `at`: checked before anything is read or allocated for it.
fn plausible(
    header: &Header,
    at: u64,
    limit: u64,
    offsets: &Range<u64>,
) -> Result<(), &'static str> {
    if header.len as usize > MESSAGE_BYTES_MAX {
        return Err("the record claims more than the largest message");
    }
    if at + record_bytes(header.len as usize) > limit {
        return Err("the record claims more than the file holds");
    }
    if !offsets.contains(&header.offset) {
        return Err("the record's offset does not follow");
    }
    Ok(())
}

/// Reads until the buffer is full or the file ends; returns how much that was.
fn read_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match file.read_at(&mut buffer[done..], at + done as u64) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;
    use crate::embedded::log_file::FILE_HEADER;

    fn file_of(bytes: &[u8]) -> (Scanner, u64) {
        let mut file = tempfile::tempfile().expect("a temporary file");
        file.write_all(&FILE_HEADER).expect("written");
        file.write_all(bytes).expect("written");
        (Scanner::new(file), FILE_HEADER_BYTES + bytes.len() as u64)
    }

    fn encode(messages: &[Vec<u8>]) -> Vec<u8> {
        let mut out = Vec::new();
        for (offset, message) in messages.iter().enumerate() {
            out.extend_from_slice(&Header::of(offset as u64, 5, message).encode());
            out.extend_from_slice(message);
        }
        out
    }

    /// Reads to the limit, passing damage; what was valid, by offset.
    fn valid(scanner: &mut Scanner, limit: u64) -> Vec<(u64, Bytes)> {
        let mut out = Vec::new();
        let mut expected = 0;
        loop {
            match scanner.next(limit, expected..u64::MAX).expect("readable") {
                Found::Record(record) => {
                    expected = record.offset + 1;
                    out.push((record.offset, record.message));
                }
                Found::Bad(_) => {
                    if !scanner.find_valid(limit, expected..u64::MAX).expect("readable") {
                        return out;
                    }
                }
                Found::End => return out,
            }
        }
    }

    #[test]
    fn messages_around_the_size_of_the_buffer_are_read() {
        let sizes = [0, 1, BUFFER_BYTES - 24, BUFFER_BYTES, 3 * BUFFER_BYTES + 7, 2];
        let messages: Vec<Vec<u8>> =
            sizes.iter().enumerate().map(|(n, size)| vec![n as u8; *size]).collect();
        let (mut scanner, limit) = file_of(&encode(&messages));
        let read: Vec<Vec<u8>> =
            valid(&mut scanner, limit).into_iter().map(|(_, message)| message.to_vec()).collect();
        assert!(read == messages);
    }

    #[test]
    fn a_length_beyond_the_largest_message_is_refused_before_it_is_allocated() {
        let mut bytes = Header::of(0, 0, b"").encode();
        bytes[..4].copy_from_slice(&u32::MAX.to_le_bytes());
        let (mut scanner, _) = file_of(&bytes);
        let found = scanner.next(u64::MAX, 0..1).expect("readable");
        assert_eq!(found, Found::Bad("the record claims more than the largest message"));
    }

    #[test]
    fn a_valid_record_that_does_not_belong_here_is_refused() {
        let bytes = encode(&[vec![1], vec![2]]);
        for offsets in [1..5, 0..0] {
            let (mut scanner, limit) = file_of(&bytes);
            let found = scanner.next(limit, offsets).expect("readable");
            assert_eq!(found, Found::Bad("the record's offset does not follow"));
            assert_eq!(scanner.at(), FILE_HEADER_BYTES);
        }
    }

    proptest! {
        #[test]
        fn foreign_bytes_are_never_a_record(bytes in prop::collection::vec(any::<u8>(), 0..4000)) {
            let (mut scanner, limit) = file_of(&bytes);
            prop_assert_eq!(valid(&mut scanner, limit), vec![]);
        }

        /// Whatever one byte is changed to, every other record is still found.
        #[test]
        fn one_bad_byte_costs_one_record(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..100), 1..10),
            at: prop::sample::Index,
            change in 1u8..,
        ) {
            let mut bytes = encode(&messages);
            let at = at.index(bytes.len());
            bytes[at] ^= change;
            let mut end = 0;
            let mut hit = usize::MAX;
            for (n, message) in messages.iter().enumerate() {
                end += 24 + message.len();
                if at < end {
                    hit = n;
                    break;
                }
            }
            let expected: Vec<(u64, Bytes)> = (0..messages.len())
                .filter(|n| *n != hit)
                .map(|n| (n as u64, Bytes::from(messages[n].clone())))
                .collect();
            let (mut scanner, limit) = file_of(&bytes);
            prop_assert_eq!(valid(&mut scanner, limit), expected);
        }
    }
}
