//! A group of filters as it is stored: blocks of one seal and one size of filter, bit by bit, so that
//! one row tells of all of them.
//!
//! ```text
//! header 32 B | addresses, 8 B a block | pages of the matrix, each with its checksum
//! ```

use super::sketch::BlockFilter;

pub(super) const MAGIC: [u8; 4] = *b"SAWF";
const VERSION: u8 = 1;
/// Bytes of a group's header.
pub(super) const HEADER_BYTES: usize = 32;
/// Bytes of a page, its checksum included; the last page of a group may be shorter.
pub(super) const PAGE_BYTES: usize = 4096;
/// Bytes of the matrix in a page.
pub(super) const PAGE_DATA_BYTES: usize = PAGE_BYTES - 4;
/// Blocks of one group, at most.
const GROUP_BLOCKS_MAX: usize = 4096;
/// Bits of one block's filter, at most.
const FILTER_BITS_MAX: u32 = 1 << 18;
/// Bytes of one group's matrix, at most: bounds what a reader allocates.
const MATRIX_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What a group's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) n_blocks: u32,
    /// Bits of each block's filter: rows of the matrix.
    pub(super) m_bits: u32,
    /// Whether the filters hold the extra keys.
    pub(super) has_extra: bool,
    /// Of the addresses.
    pub(super) crc: u32,
}

/// A filter and where its block stands in the block file.
pub(crate) type Placed<'a> = (u64, &'a BlockFilter);

impl Shape {
    /// Bytes of the matrix: bit `row * n_blocks + column` follows bit by bit, the lowest of a byte first.
    pub(super) fn matrix_bytes(self) -> usize {
        (self.n_blocks as usize * self.m_bits as usize).div_ceil(8)
    }

    pub(super) fn n_pages(self) -> usize {
        self.matrix_bytes().div_ceil(PAGE_DATA_BYTES)
    }

    pub(super) fn address_bytes(self) -> usize {
        self.n_blocks as usize * 8
    }

    /// Bytes of the pages as stored.
    pub(super) fn pages_bytes(self) -> usize {
        self.matrix_bytes() + 4 * self.n_pages()
    }

    /// Bytes of the whole group.
    pub(super) fn stored_bytes(self) -> u64 {
        (HEADER_BYTES + self.address_bytes() + self.pages_bytes()) as u64
    }

    /// Reads a header; what is wrong with it, otherwise.
    pub(super) fn read(header: &[u8; HEADER_BYTES]) -> Result<Shape, &'static str> {
        let word =
            |n: usize| u32::from_le_bytes([header[n], header[n + 1], header[n + 2], header[n + 3]]);
        if header[..4] != MAGIC || word(28) != crc32c::crc32c(&header[..28]) {
            return Err("a group's header is damaged");
        }
        if header[4] != VERSION {
            return Err("a group has another version");
        }
        let has_extra = header[5] == 1;
        let shape = Shape { n_blocks: word(8), m_bits: word(12), has_extra, crc: word(24) };
        let possible = header[5] <= 1
            && (1..=GROUP_BLOCKS_MAX as u32).contains(&shape.n_blocks)
            && (1..=FILTER_BITS_MAX).contains(&shape.m_bits)
            && shape.matrix_bytes() <= MATRIX_BYTES_MAX;
        if possible { Ok(shape) } else { Err("a group's sizes are impossible") }
    }

    fn write(self, seal: u64, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[VERSION, u8::from(self.has_extra), 0, 0]);
        out.extend_from_slice(&self.n_blocks.to_le_bytes());
        out.extend_from_slice(&self.m_bits.to_le_bytes());
        out.extend_from_slice(&seal.to_le_bytes());
        out.extend_from_slice(&self.crc.to_le_bytes());
        let crc = crc32c::crc32c(&out[start..]);
        out.extend_from_slice(&crc.to_le_bytes());
    }
}

/// Splits the filters of a seal into groups: by size and kind, and below the limits of one.
pub(super) fn grouped<'a>(filters: &[Placed<'a>]) -> Vec<Vec<Placed<'a>>> {
    let mut by_size = std::collections::BTreeMap::<(u32, bool), Vec<Placed<'a>>>::new();
    for (at, filter) in filters {
        by_size.entry((filter.m_bits, filter.has_extra)).or_default().push((*at, filter));
    }
    let mut groups = Vec::new();
    for ((m_bits, _), mut same) in by_size {
        same.sort_by_key(|(at, _)| *at);
        let fitting = (MATRIX_BYTES_MAX * 8 / m_bits as usize).min(GROUP_BLOCKS_MAX);
        groups.extend(same.chunks(fitting).map(<[_]>::to_vec));
    }
    groups
}

/// Appends a group as it is stored; gives its shape.
pub(super) fn write(seal: u64, group: &[Placed<'_>], out: &mut Vec<u8>) -> Shape {
    let addresses: Vec<u8> = group.iter().flat_map(|(at, _)| at.to_le_bytes()).collect();
    let n_blocks = group.len() as u32;
    let BlockFilter { m_bits, has_extra, .. } = *group[0].1;
    let shape = Shape { n_blocks, m_bits, has_extra, crc: crc32c::crc32c(&addresses) };
    shape.write(seal, out);
    out.extend_from_slice(&addresses);
    for page in matrix(shape, group).chunks(PAGE_DATA_BYTES) {
        out.extend_from_slice(page);
        out.extend_from_slice(&crc32c::crc32c(page).to_le_bytes());
    }
    shape
}

fn matrix(shape: Shape, group: &[Placed<'_>]) -> Vec<u8> {
    let mut matrix = vec![0; shape.matrix_bytes()];
    for (column, (_, filter)) in group.iter().enumerate() {
        for (n, word) in filter.words.iter().enumerate() {
            let mut rest = *word;
            while rest != 0 {
                let row = n * 64 + rest.trailing_zeros() as usize;
                let bit = row * group.len() + column;
                matrix[bit >> 3] |= 1 << (bit & 7);
                rest &= rest - 1;
            }
        }
    }
    matrix
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_as_written_and_lies_are_refused() {
        let shape = Shape { n_blocks: 3, m_bits: 278, has_extra: true, crc: 7 };
        let header = |shape: Shape| -> [u8; HEADER_BYTES] {
            let mut out = Vec::new();
            shape.write(9, &mut out);
            out.try_into().unwrap()
        };
        assert_eq!(Shape::read(&header(shape)), Ok(shape));
        for lie in [
            Shape { n_blocks: 0, ..shape },
            Shape { n_blocks: u32::MAX, ..shape },
            Shape { m_bits: 0, ..shape },
            Shape { m_bits: u32::MAX, ..shape },
            Shape { n_blocks: 4096, m_bits: 1 << 18, ..shape },
        ] {
            assert_eq!(Shape::read(&header(lie)), Err("a group's sizes are impossible"));
        }
    }

    #[test]
    fn groups_have_one_size_and_stay_below_the_limits() {
        let filter = |m_bits: u32| {
            let words = vec![0; m_bits.div_ceil(64) as usize];
            BlockFilter { m_bits, has_extra: m_bits > 1000, words }
        };
        let (large, small) = (filter(30_000), filter(278));
        let mut all: Vec<Placed<'_>> = (0..3000).map(|at| (at, &large)).collect();
        all.extend((3000..8000).map(|at| (at, &small)));
        let groups = grouped(&all);
        let shapes: Vec<_> = groups.iter().map(|g| (g.len(), g[0].1.m_bits)).collect();
        assert_eq!(
            shapes,
            [(4096, 278), (904, 278), (1118, 30_000), (1118, 30_000), (764, 30_000)]
        );
        for group in &groups {
            let mut out = Vec::new();
            let shape = write(1, group, &mut out);
            assert_eq!(out.len() as u64, shape.stored_bytes());
            assert_eq!(Shape::read(out.first_chunk().unwrap()), Ok(shape));
        }
    }
}
