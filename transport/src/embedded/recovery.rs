//! Opening one partition: finds its files, cuts a torn tail off the last one, and makes what is left
//! durable.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::OpenError;
use super::directory::at;
use super::disk::Disk;
use super::log_file::{self, Begin, FILE_HEADER_BYTES, VERSION};
use super::partition::PartitionWriter;
use super::record::RECORD_HEADER_BYTES;
use super::scan::{Found, Scanner};
use super::shared::{FileSpan, PartitionState};

/// A partition ready for use.
pub(super) struct Recovered {
    pub(super) state: PartitionState,
    pub(super) writer: PartitionWriter,
}

/// Opens a partition, creating it if it does not exist.
pub(super) fn recover(
    dir: &Path,
    partition: u32,
    continue_at: u64,
    disk: &Arc<dyn Disk>,
) -> Result<Recovered, OpenError> {
    let partition_dir = log_file::partition_dir(dir, partition);
    std::fs::create_dir_all(&partition_dir).map_err(at(&partition_dir))?;
    disk.sync_dir(dir).map_err(at(dir))?;
    let mut firsts = log_file::list(&partition_dir).map_err(at(&partition_dir))?;
    let last = firsts.pop().unwrap_or(0);
    let mut files = std::collections::VecDeque::new();
    for first in firsts {
        files.push_back(earlier(&log_file::path(&partition_dir, first), first)?);
    }
    let (mut file, mut span, mut next) = recover_last(&**disk, &partition_dir, last)?;
    files.push_back(span);
    if next < continue_at {
        tracing::warn!(
            partition,
            end = next,
            continue_at,
            "the log ends before what its reader has already; it goes on there"
        );
        let path = log_file::path(&partition_dir, continue_at);
        (file, span, next) = begin_anew(&**disk, &partition_dir, continue_at, &path)?;
        files.push_back(span);
    }
    let low = files.front().map_or(next, |file| file.first);
    Ok(Recovered {
        state: PartitionState { files, high: next, processed: low, broken: None },
        writer: PartitionWriter::new(Arc::clone(disk), partition_dir, file, span, next),
    })
}

/// A file that has a successor: complete and synced when that was made.
fn earlier(path: &Path, first: u64) -> Result<FileSpan, OpenError> {
    let file = File::open(path).map_err(at(path))?;
    check_version(path, &file)?;
    let bytes = file.metadata().map_err(at(path))?.len();
    Ok(FileSpan { first, bytes })
}

fn check_version(path: &Path, file: &File) -> Result<Begin, OpenError> {
    match log_file::begin(file).map_err(at(path))? {
        Begin::Version(found) => {
            Err(OpenError::Version { file: path.to_owned(), found, known: VERSION })
        }
        begin => Ok(begin),
    }
}

/// The file to append to, what of it is durable, and the offset of the next record.
fn recover_last(
    disk: &dyn Disk,
    partition_dir: &Path,
    first: u64,
) -> Result<(File, FileSpan, u64), OpenError> {
    let path = log_file::path(partition_dir, first);
    let file = match OpenOptions::new().read(true).append(true).open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return begin_anew(disk, partition_dir, first, &path);
        }
        Err(error) => return Err(at(&path)(error)),
    };
    let begin = check_version(&path, &file)?;
    let tail = find_end(&path, &file, first).map_err(at(&path))?;
    if begin == Begin::Damaged && tail.next == first {
        return begin_anew(disk, partition_dir, first, &path);
    }
    // What a crash of the process left in the page cache is shown to consumers from now on, so it
    // has to survive a crash of the machine as well.
    cut(disk, &path, &file, &tail)
        .and_then(|()| disk.sync_data(&file))
        .and_then(|()| disk.sync_dir(partition_dir))
        .map_err(at(&path))?;
    Ok((file, FileSpan { first, bytes: tail.bytes }, tail.next))
}

/// A file without a record: new, or begun when the machine crashed.
fn begin_anew(
    disk: &dyn Disk,
    partition_dir: &Path,
    first: u64,
    path: &Path,
) -> Result<(File, FileSpan, u64), OpenError> {
    let file = log_file::create(disk, partition_dir, first).map_err(at(path))?;
    Ok((file, FileSpan { first, bytes: FILE_HEADER_BYTES }, first))
}

/// Where a file's last valid record ends.
struct Tail {
    bytes: u64,
    next: u64,
    /// The length of the file with what follows.
    file_bytes: u64,
    /// What is wrong with what follows.
    reason: &'static str,
}

fn find_end(path: &Path, file: &File, first: u64) -> io::Result<Tail> {
    let file_bytes = file.metadata()?.len();
    // No file holds more records than headers fit into it: larger offsets are damage.
    let end = first.saturating_add(file_bytes / RECORD_HEADER_BYTES as u64 + 1);
    let mut scanner = Scanner::new(file.try_clone()?);
    let mut tail = Tail { bytes: FILE_HEADER_BYTES, next: first, file_bytes, reason: "" };
    loop {
        match scanner.next(file_bytes, tail.next..end)? {
            Found::Record(record) => {
                tail.bytes = scanner.at();
                tail.next = record.offset + 1;
            }
            Found::End => return Ok(tail),
            Found::Bad(reason) => {
                tail.reason = reason;
                if !scanner.find_valid(file_bytes, tail.next..end)? {
                    return Ok(tail);
                }
                tracing::warn!(
                    file = %path.display(), byte = tail.bytes, until = scanner.at(), reason,
                    "damaged records; valid ones follow and are kept"
                );
            }
        }
    }
}

fn cut(disk: &dyn Disk, path: &Path, file: &File, tail: &Tail) -> io::Result<()> {
    if tail.file_bytes <= tail.bytes {
        return Ok(());
    }
    tracing::warn!(
        file = %path.display(), byte = tail.bytes, bytes = tail.file_bytes - tail.bytes,
        reason = tail.reason, "the log was not closed; its torn tail is cut off"
    );
    disk.truncate(file, tail.bytes)
}
