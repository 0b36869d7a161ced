//! A compressed rotated file, read as if it were not: any part of what it inflates to, in memory of a
//! fixed size.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use flate2::read::MultiGzDecoder;

use crate::checkpoint::{GenerationRef, History, Progress};
use crate::tail_hash::{PREFIX_BYTES, PrefixHash, TAIL_BYTES, TailHash};

/// How much is kept of what was inflated last: reading goes back by less than this.
const WINDOW_BYTES: usize = 512 * 1024;
/// How much is inflated at once.
const CHUNK_BYTES: usize = 64 * 1024;
/// No compressed byte stands for more than this many.
const RATIO_MAX: u64 = 1032;
/// The most places that are compared with what inflates (some 10 MiB); the first ones count.
const PLACES_MAX: usize = 64 * 1024;

/// Bytes of a file that were acknowledged or read, of which a compressed file may be a copy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub of: GenerationRef,
    pub offset: u64,
    pub tail: TailHash,
    pub prefix: PrefixHash,
    pub inside_cut: bool,
    /// Whether all up to the offset is acknowledged or was given by another file, and not only known to
    /// have been sent.
    pub is_given: bool,
    matches: bool,
}

impl Place {
    /// Where a file stands that may have been a copy itself: then it gave the bytes of its original.
    pub(crate) fn of_progress(progress: &Progress, history: &History) -> Self {
        let own = GenerationRef { file: progress.file, truncations: progress.truncations };
        let of = history.held_in(&own);
        let Progress { offset, tail, prefix, inside_cut, .. } = *progress;
        Self { of, offset, tail, prefix, inside_cut, is_given: true, matches: false }
    }

    /// What was sent of a file, and maybe stored, and not acknowledged.
    pub(crate) fn begun(progress: &Progress, history: &History) -> Self {
        Self { is_given: false, ..Self::of_progress(progress, history) }
    }

    pub(crate) fn new(of: GenerationRef, offset: u64, tail: TailHash, prefix: PrefixHash) -> Self {
        Self { of, offset, tail, prefix, inside_cut: false, is_given: true, matches: false }
    }
}

/// What is known of a compressed file.
#[derive(Debug)]
pub(crate) struct Gz {
    /// Size and modification time of the compressed file.
    pub on_disk: (u64, i64),
    /// Whether it was inflated once to its end, so that its size is known.
    pub is_ready: bool,
    inflater: Option<Inflater>,
    places: Vec<Place>,
    /// The first bytes.
    pub first: Vec<u8>,
}

/// The end of the first pass.
#[derive(Debug)]
pub(crate) struct Inflated {
    /// Bytes.
    pub size: u64,
    /// The last bytes.
    pub last: Vec<u8>,
    /// What went wrong there, and how long the file says that it is.
    pub damage: Option<(io::Error, Option<u64>)>,
}

impl Gz {
    pub(crate) fn new(on_disk: (u64, i64)) -> Self {
        Self { on_disk, is_ready: false, inflater: None, places: Vec::new(), first: Vec::new() }
    }

    /// Whether the first pass has begun.
    pub(crate) fn is_begun(&self) -> bool {
        self.inflater.is_some()
    }

    /// Begins the first pass, which looks for these places. `slot` is held meanwhile.
    pub(crate) fn begin(
        &mut self,
        file: &File,
        mut places: Vec<Place>,
        slot: Arc<()>,
    ) -> io::Result<()> {
        places.retain(|place| place.offset > 0 && place.prefix != PrefixHash::UNKNOWN);
        places.truncate(PLACES_MAX);
        self.places = places;
        self.inflater = Some(Inflater::new(file, Some(slot))?);
        Ok(())
    }

    /// Goes on with the first pass, over about so many bytes.
    pub(crate) fn pass(&mut self, file: &File, bytes: usize) -> io::Result<Option<Inflated>> {
        let Some(inflater) = &mut self.inflater else { return Ok(None) };
        let mut left = bytes;
        while left > 0 {
            let before = inflater.end();
            let more = inflater.more();
            let end = inflater.end();
            if self.first.len() < PREFIX_BYTES {
                let window = &inflater.window[(before - inflater.start) as usize..];
                let wanted = PREFIX_BYTES - self.first.len();
                self.first.extend_from_slice(&window[..window.len().min(wanted)]);
            }
            for place in
                self.places.iter_mut().filter(|place| (before + 1..=end).contains(&place.offset))
            {
                let upto = (place.offset - inflater.start) as usize;
                let start = &self.first[..self.first.len().min(place.offset as usize)];
                place.matches = TailHash::of(&inflater.window[..upto]) == place.tail
                    && PrefixHash::of(start) == place.prefix;
            }
            match more {
                Ok(true) => left = left.saturating_sub((end - before) as usize),
                Ok(false) => return Ok(Some(inflater.ended(None))),
                Err(error) => {
                    let promised = promised(file, &error, end);
                    return Ok(Some(inflater.ended(Some((error, promised)))));
                }
            }
        }
        Ok(None)
    }

    /// The places that the file holds.
    pub(crate) fn matches(&self) -> impl Iterator<Item = &Place> {
        self.places.iter().filter(|place| place.matches)
    }

    /// Nobody asks for matches any more.
    pub(crate) fn forget_places(&mut self) {
        self.places = Vec::new();
    }

    /// Gives the memory back.
    pub(crate) fn rest(&mut self) {
        self.inflater = None;
    }

    /// Reads what lies at an offset of the inflated bytes, which end at `size`.
    pub(crate) fn read_at(
        &mut self,
        file: &File,
        buffer: &mut [u8],
        from: u64,
        size: u64,
    ) -> io::Result<usize> {
        let to = size.min(from + buffer.len() as u64);
        if to <= from {
            return Ok(0);
        }
        if self.inflater.as_ref().is_none_or(|inflater| inflater.start > from) {
            let slot = self.inflater.take().and_then(|inflater| inflater.slot);
            self.inflater = Some(Inflater::new(file, slot)?);
        }
        let Some(inflater) = &mut self.inflater else { return Ok(0) };
        inflater.read(buffer, from, to)
    }
}

/// How long a damaged file says that it is. One that just ends has lost the place that tells.
fn promised(file: &File, error: &io::Error, inflated: u64) -> Option<u64> {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return None;
    }
    let compressed = file.metadata().ok()?.len();
    let mut trailer = [0; 4];
    file.read_exact_at(&mut trailer, compressed.checked_sub(4)?).ok()?;
    let promised = u64::from(u32::from_le_bytes(trailer));
    (promised > inflated && promised <= compressed * RATIO_MAX).then_some(promised)
}

/// Inflates forwards, and keeps the last bytes.
struct Inflater {
    decoder: MultiGzDecoder<Source>,
    /// The offset of the window's first byte.
    start: u64,
    window: Vec<u8>,
    slot: Option<Arc<()>>,
}

impl std::fmt::Debug for Inflater {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inflater").field("start", &self.start).finish_non_exhaustive()
    }
}

impl Inflater {
    fn new(file: &File, slot: Option<Arc<()>>) -> io::Result<Self> {
        let source = Source { file: file.try_clone()?, at: 0 };
        let decoder = MultiGzDecoder::new(source);
        Ok(Self { decoder, start: 0, window: Vec::new(), slot })
    }

    fn end(&self) -> u64 {
        self.start + self.window.len() as u64
    }

    /// Inflates some more; `false` at the end.
    fn more(&mut self) -> io::Result<bool> {
        if self.window.len() > 2 * WINDOW_BYTES {
            let surplus = self.window.len() - WINDOW_BYTES;
            self.window.drain(..surplus);
            self.start += surplus as u64;
        }
        let before = self.window.len();
        self.window.resize(before + CHUNK_BYTES, 0);
        let read = loop {
            match self.decoder.read(&mut self.window[before..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        self.window.truncate(before + *read.as_ref().unwrap_or(&0));
        Ok(read? > 0)
    }

    fn read(&mut self, buffer: &mut [u8], from: u64, to: u64) -> io::Result<usize> {
        while self.end() < to {
            if self.end() > from {
                // The window is made smaller before it is made larger: take what it holds.
                let have = self.copy(buffer, from, self.end());
                let more = self.read_rest(&mut buffer[have..], from + have as u64, to)?;
                return Ok(have + more);
            }
            if !self.more()? {
                return Ok(0);
            }
        }
        Ok(self.copy(buffer, from, to))
    }

    fn read_rest(&mut self, buffer: &mut [u8], from: u64, to: u64) -> io::Result<usize> {
        let mut filled = 0;
        while from + (filled as u64) < to && self.more()? {
            let upto = self.end().min(to);
            filled += self.copy(&mut buffer[filled..], from + filled as u64, upto);
        }
        Ok(filled)
    }

    fn copy(&self, buffer: &mut [u8], from: u64, to: u64) -> usize {
        let range = (from - self.start) as usize..(to - self.start) as usize;
        let len = range.len();
        buffer[..len].copy_from_slice(&self.window[range]);
        len
    }

    fn ended(&self, damage: Option<(io::Error, Option<u64>)>) -> Inflated {
        let last = self.window[self.window.len().saturating_sub(TAIL_BYTES)..].to_vec();
        Inflated { size: self.end(), last, damage }
    }
}

/// Reads a file from its start, whatever others do with the same descriptor.
struct Source {
    file: File,
    at: u64,
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    fn compressed(dir: &std::path::Path, parts: &[&[u8]]) -> File {
        let path = dir.join("f.gz");
        let mut bytes = Vec::new();
        for part in parts {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(part).expect("write");
            bytes.extend(encoder.finish().expect("finish"));
        }
        std::fs::write(&path, bytes).expect("write");
        File::open(&path).expect("open")
    }

    fn pass(gz: &mut Gz, file: &File) -> Inflated {
        gz.begin(file, Vec::new(), Arc::new(())).expect("begin");
        loop {
            if let Some(inflated) = gz.pass(file, CHUNK_BYTES).expect("pass") {
                return inflated;
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]
        #[test]
        fn any_part_is_read(seed: u64, reads in proptest::collection::vec((0..2_000_000u64, 0..300_000usize), 1..6)) {
            let dir = tempfile::tempdir().expect("temp dir");
            let mut state = seed;
            let mut next = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 60) as u8
            };
            let page: Vec<u8> = (0..15_000).map(|_| next()).collect();
            let content = page.repeat(100);
            let file = compressed(dir.path(), &[&content[..700_000], b"", &content[700_000..]]);
            let mut gz = Gz::new((0, 0));
            let inflated = pass(&mut gz, &file);
            prop_assert_eq!(inflated.size, content.len() as u64);
            prop_assert!(inflated.damage.is_none());
            prop_assert_eq!(&inflated.last[..], &content[content.len() - TAIL_BYTES..]);
            for (from, len) in reads {
                let mut buffer = vec![0; len];
                let read = gz.read_at(&file, &mut buffer, from, inflated.size).expect("read");
                let from = (from as usize).min(content.len());
                let expected = &content[from..(from + len).min(content.len())];
                prop_assert!(buffer[..read] == *expected);
            }
        }
    }

    #[test]
    fn damage_ends_what_is_read_and_the_trailer_tells_the_rest() {
        let dir = tempfile::tempdir().expect("temp dir");
        let content: Vec<u8> = (0..200_000u32).flat_map(|n| n.to_le_bytes()).collect();
        let file = compressed(dir.path(), &[&content]);
        let path = dir.path().join("f.gz");
        let mut bytes = std::fs::read(&path).expect("read");
        drop(file);
        let whole = bytes.clone();
        let middle = bytes.len() / 2;
        for byte in &mut bytes[middle..middle + 64] {
            *byte = 0xff;
        }
        for (bytes, promised) in [(&bytes[..], Some(800_000)), (&whole[..middle], None)] {
            std::fs::write(&path, bytes).expect("write");
            let file = File::open(&path).expect("open");
            let inflated = pass(&mut Gz::new((0, 0)), &file);
            assert!(inflated.size > 0 && inflated.size < 800_000);
            assert_eq!(inflated.damage.expect("damaged").1, promised);
        }
    }
}
