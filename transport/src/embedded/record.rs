//! One record of a log file: a header of 24 bytes and the message.

/// Bytes before the message: length, CRC32C, offset, time.
pub(super) const RECORD_HEADER_BYTES: usize = 24;

/// The CRC covers the header from here on, and the message.
const CHECKED_FROM: usize = 8;

/// Bytes that a message takes in a log file.
pub(super) fn record_bytes(message: usize) -> u64 {
    (RECORD_HEADER_BYTES + message) as u64
}

/// What stands before a message. As read from a file it is a claim until [`Header::fits`] holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Length of the message in bytes.
    pub(super) len: u32,
    crc: u32,
    pub(super) offset: u64,
    /// Nanoseconds since the epoch.
    pub(super) stored_at: i64,
}

impl Header {
    /// The header of a message of at most `MESSAGE_BYTES_MAX` bytes.
    pub(super) fn of(offset: u64, stored_at: i64, message: &[u8]) -> Self {
        let len = u32::try_from(message.len()).expect("send refuses messages above 8 MiB");
        let mut header = Self { len, crc: 0, offset, stored_at };
        header.crc = header.checksum(message);
        header
    }

    pub(super) fn encode(&self) -> [u8; RECORD_HEADER_BYTES] {
        let mut out = [0; RECORD_HEADER_BYTES];
        out[0..4].copy_from_slice(&self.len.to_le_bytes());
        out[4..8].copy_from_slice(&self.crc.to_le_bytes());
        out[8..16].copy_from_slice(&self.offset.to_le_bytes());
        out[16..24].copy_from_slice(&self.stored_at.to_le_bytes());
        out
    }

    /// Reads the claim from the front of `bytes`; `None` if there are fewer than 24.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let (len, rest) = bytes.split_first_chunk()?;
        let (crc, rest) = rest.split_first_chunk()?;
        let (offset, rest) = rest.split_first_chunk()?;
        let (stored_at, _) = rest.split_first_chunk()?;
        Some(Self {
            len: u32::from_le_bytes(*len),
            crc: u32::from_le_bytes(*crc),
            offset: u64::from_le_bytes(*offset),
            stored_at: i64::from_le_bytes(*stored_at),
        })
    }

    /// Whether header and message are what was written.
    pub(super) fn fits(&self, message: &[u8]) -> bool {
        self.len as usize == message.len() && self.crc == self.checksum(message)
    }

    fn checksum(&self, message: &[u8]) -> u32 {
        crc32c::crc32c_append(crc32c::crc32c(&self.encode()[CHECKED_FROM..]), message)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_bytes_are_as_specified() {
        let encoded = Header::of(0x0102, -2, b"ab").encode();
        assert_eq!(encoded[0..4], [2, 0, 0, 0]);
        assert_eq!(encoded[8..16], [2, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(encoded[16..24], [0xfe, 255, 255, 255, 255, 255, 255, 255]);
        let mut rest = encoded[8..].to_vec();
        rest.extend_from_slice(b"ab");
        assert_eq!(encoded[4..8], crc32c::crc32c(&rest).to_le_bytes());
    }

    #[test]
    fn a_page_of_zeros_is_no_record() {
        let header = Header::parse(&[0; 24]).expect("long enough");
        assert!(!header.fits(&[]));
    }

    proptest! {
        #[test]
        fn round_trips(offset: u64, stored_at: i64, message: Vec<u8>) {
            let header = Header::of(offset, stored_at, &message);
            prop_assert_eq!(Header::parse(&header.encode()), Some(header));
            prop_assert!(header.fits(&message));
        }

        #[test]
        fn one_flipped_bit_is_noticed(
            message in prop::collection::vec(any::<u8>(), 1..200),
            at: prop::sample::Index,
            bit in 0..8,
        ) {
            let mut bytes = Header::of(7, 9, &message).encode().to_vec();
            bytes.extend_from_slice(&message);
            let at = at.index(bytes.len());
            bytes[at] ^= 1u8 << bit;
            let header = Header::parse(&bytes).expect("long enough");
            prop_assert!(!header.fits(&bytes[RECORD_HEADER_BYTES..]));
        }
    }
}
