//! Which log the store's positions count: an offset means nothing in any other.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};

use crate::error::StoreError;
use crate::record_file::sync_dir;
use crate::store::Store;

const FILE_NAME: &str = "source";
/// The longest source that is read: bytes. Names of clusters and topics are far shorter.
const SOURCE_BYTES_MAX: u64 = 4096;
/// The log of the process itself: the source of stores that were filled before sources were named.
pub const EMBEDDED_SOURCE: &str = "embedded";

impl Store {
    /// Says from which log the store is filled, in a few words that name no other log, such as
    /// `embedded` or `kafka cluster=C topic=T`. Durable when it returns. To be called before the first
    /// message is consumed.
    ///
    /// # Errors
    /// The store was filled from another source, or the directory cannot be used.
    pub fn bind_source(&self, source: &str) -> Result<(), StoreError> {
        match self.source()? {
            Some(held) if held == source => self.write_source(source),
            Some(held) => {
                let (path, given) = (self.config.dir.clone(), source.to_owned());
                Err(StoreError::Source { path, held, given })
            }
            None => self.write_source(source),
        }
    }

    /// The source that the store was bound to; `None` if it was not, and holds no message yet.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn source(&self) -> Result<Option<String>, StoreError> {
        let path = self.config.dir.join(FILE_NAME);
        let mut text = String::new();
        match File::open(&path) {
            Ok(file) => {
                let read = file.take(SOURCE_BYTES_MAX).read_to_string(&mut text);
                read.map_err(|err| StoreError::io("read", &path, err))?;
            }
            Err(err) if err.kind() == ErrorKind::NotFound => {
                let is_filled = !self.sealed.lock().is_empty();
                return Ok(is_filled.then(|| EMBEDDED_SOURCE.to_owned()));
            }
            Err(err) => return Err(StoreError::io("open", &path, err)),
        }
        match text.strip_suffix('\n') {
            Some(source) if !source.is_empty() && !source.contains('\n') => {
                Ok(Some(source.to_owned()))
            }
            _ => {
                let what = "it must be one line that names what the store was filled from, such as \
                            'embedded' or 'kafka cluster=… topic=…': restore it";
                Err(StoreError::damaged(&path, what))
            }
        }
    }

    fn write_source(&self, source: &str) -> Result<(), StoreError> {
        let dir = &self.config.dir;
        let path = dir.join(FILE_NAME);
        if path.exists() {
            return Ok(());
        }
        let new = dir.join("source.new");
        let written = File::create(&new).and_then(|mut file| {
            file.write_all(format!("{source}\n").as_bytes())?;
            file.sync_all()
        });
        written.map_err(|err| StoreError::io("write", &new, err))?;
        std::fs::rename(&new, &path).map_err(|err| StoreError::io("rename", &new, err))?;
        sync_dir(dir)
    }
}
