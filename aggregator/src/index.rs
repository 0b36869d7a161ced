//! The index of a slice: one tantivy document per block. Nothing is stored in it and nothing is
//! answered from it; it only says which blocks may hold a match.

use std::collections::BTreeSet;
use std::path::Path;

use sawlog_transport::Run;
use tantivy::collector::{Collector, SegmentCollector};
use tantivy::columnar::Column;
use tantivy::directory::{Directory, MmapDirectory};
use tantivy::indexer::IndexWriterOptions;
use tantivy::query::{AllQuery, BooleanQuery, Occur, Query, TermSetQuery};
use tantivy::schema::{
    FAST, Field, INDEXED, IndexRecordOption, Schema, TextFieldIndexing, TextOptions,
};
use tantivy::store::Compressor;
use tantivy::{
    DocId, Index, IndexReader, IndexSettings, IndexWriter, ReloadPolicy, Score, Searcher,
    SegmentOrdinal, SegmentReader, TantivyDocument, Term,
};

use crate::block::Block;
use crate::error::{StoreError, error_chain};
use crate::prune::Formula;
use crate::streams::StreamNumber;
use crate::words::BlockWords;

/// Memory of a writer, in bytes (its arena; tantivy's minimum is 15 MB).
const WRITER_BYTES: usize = 32_000_000;

/// The fields of a block's document.
#[derive(Clone, Copy, Debug)]
struct Fields {
    words: Field,
    flags: Field,
    seal: Field,
    streams: Field,
    min_time: Field,
    max_time: Field,
    at: Field,
    len: Field,
}

fn schema() -> (Schema, Fields) {
    let mut builder = Schema::builder();
    let words = TextOptions::default().set_indexing_options(
        TextFieldIndexing::default()
            .set_tokenizer("whitespace")
            .set_index_option(IndexRecordOption::Basic)
            .set_fieldnorms(false),
    );
    let fields = Fields {
        words: builder.add_text_field("words", words),
        flags: builder.add_u64_field("flags", INDEXED),
        seal: builder.add_u64_field("seal", INDEXED),
        streams: builder.add_u64_field("streams", INDEXED),
        min_time: builder.add_i64_field("min_time", FAST),
        max_time: builder.add_i64_field("max_time", FAST),
        at: builder.add_u64_field("at", FAST),
        len: builder.add_u64_field("len", FAST),
    };
    (builder.build(), fields)
}

fn reader(index: &Index) -> tantivy::Result<IndexReader> {
    index
        .reader_builder()
        .reload_policy(ReloadPolicy::Manual)
        .doc_store_cache_num_blocks(1)
        .try_into()
}

/// Where a block stands, and between which times its lines lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockAddress {
    /// Byte offset in the slice's block file.
    pub at: u64,
    pub len: u64,
    pub min_time: i64,
    pub max_time: i64,
}

/// An index open for writing.
pub(crate) struct BlockIndex {
    path: std::path::PathBuf,
    index: Index,
    writer: IndexWriter,
    reader: IndexReader,
    fields: Fields,
}

impl BlockIndex {
    /// Makes an empty index in an empty folder.
    pub(crate) fn create(path: &Path) -> Result<(), StoreError> {
        let fail = StoreError::index("create", path);
        let directory = MmapDirectory::open(path).map_err(|err| fail(err.into()))?;
        let settings = IndexSettings {
            docstore_compression: Compressor::None,
            docstore_compress_dedicated_thread: false,
            ..IndexSettings::default()
        };
        Index::create(directory, schema().0, settings).map(drop).map_err(fail)
    }

    /// Opens the index of a slice as the seal `seal` left it: documents of later seals are deleted.
    pub(crate) fn open(path: &Path, seal: u64) -> Result<Self, StoreError> {
        let fail = StoreError::index("open", path);
        let fields = schema().1;
        let index = Index::open_in_dir(path).map_err(&fail)?;
        let options = IndexWriterOptions::builder()
            .num_worker_threads(1)
            .num_merge_threads(1)
            .memory_budget_per_thread(WRITER_BYTES)
            .build();
        let mut writer = index.writer_with_options(options).map_err(&fail)?;
        Self::drop_later_seals(&index, &mut writer, fields, seal).map_err(&fail)?;
        let reader = reader(&index).map_err(&fail)?;
        Ok(Self { path: path.to_owned(), index, writer, reader, fields })
    }

    /// A seal may have committed here and died before the manifest named it.
    fn drop_later_seals(
        index: &Index,
        writer: &mut IndexWriter,
        fields: Fields,
        seal: u64,
    ) -> tantivy::Result<()> {
        let payload = index.load_metas()?.payload;
        let committed: u64 = payload.as_deref().and_then(|text| text.parse().ok()).unwrap_or(0);
        if committed <= seal {
            return Ok(());
        }
        for later in seal + 1..=committed {
            writer.delete_term(Term::from_field_u64(fields.seal, later));
        }
        let mut prepared = writer.prepare_commit()?;
        prepared.set_payload(&seal.to_string());
        prepared.commit()?;
        Ok(())
    }

    /// Adds a block that stands at `at` in the block file. Not visible before [`Self::commit`].
    pub(crate) fn add(
        &self,
        block: &Block,
        at: u64,
        len: u64,
        words: &BlockWords,
    ) -> Result<(), StoreError> {
        let (min_time, max_time) = block.times();
        let mut document = TantivyDocument::new();
        document.add_text(self.fields.words, &words.text);
        for flag in [crate::words::INCOMPLETE, crate::words::FOLDS] {
            if words.flags & flag != 0 {
                document.add_u64(self.fields.flags, flag);
            }
        }
        document.add_u64(self.fields.seal, block.seal);
        for stream in &block.streams {
            document.add_u64(self.fields.streams, u64::from(stream.number));
        }
        document.add_i64(self.fields.min_time, min_time);
        document.add_i64(self.fields.max_time, max_time);
        document.add_u64(self.fields.at, at);
        document.add_u64(self.fields.len, len);
        self.writer.add_document(document).map_err(StoreError::index("write to", &self.path))?;
        Ok(())
    }

    /// Commits what was added under the seal's number and makes it durable; gives the opstamp.
    pub(crate) fn commit(&mut self, seal: u64) -> Result<u64, StoreError> {
        let fail = StoreError::index("commit", &self.path);
        let mut prepared = self.writer.prepare_commit().map_err(&fail)?;
        fail::fail_point!("seal::index_prepared");
        prepared.set_payload(&seal.to_string());
        let opstamp = prepared.commit().map_err(&fail)?;
        fail::fail_point!("seal::index_committed");
        // tantivy syncs the directory before it renames meta.json, not after.
        self.index
            .directory()
            .sync_directory()
            .map_err(|source| StoreError::io("sync directory", &self.path, source))?;
        fail::fail_point!("seal::index_synced");
        Ok(opstamp)
    }

    /// Ends the writing: waits for merges, so that no half-made one is left behind, and removes files
    /// that no segment needs. What was committed stays whatever happens here.
    pub(crate) fn close(self) {
        let fail = StoreError::index("close", &self.path);
        let removed = self.writer.garbage_collect_files().wait().map(drop);
        for result in [removed, self.writer.wait_merging_threads()] {
            if let Err(err) = result.map_err(&fail) {
                tracing::warn!(error = error_chain(&err), "files that nothing needs may be left");
            }
        }
    }

    /// A view of what is committed now.
    pub(crate) fn view(&self) -> Result<IndexView, StoreError> {
        self.reader.reload().map_err(StoreError::index("reload", &self.path))?;
        Ok(IndexView {
            path: self.path.clone(),
            searcher: self.reader.searcher(),
            fields: self.fields,
        })
    }
}

/// What an index held at one moment; later commits and merges do not change it.
#[derive(Clone)]
pub(crate) struct IndexView {
    path: std::path::PathBuf,
    searcher: Searcher,
    fields: Fields,
}

impl IndexView {
    /// Opens an index that is not written to any more.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let fail = StoreError::index("open", path);
        let index = Index::open_in_dir(path).map_err(&fail)?;
        let reader = reader(&index).map_err(&fail)?;
        Ok(Self { path: path.to_owned(), searcher: reader.searcher(), fields: schema().1 })
    }

    /// Checks that the index knows as many blocks as the manifest names: one that went back in time,
    /// or lost its files, would hide lines that the ledger calls held.
    pub(crate) fn expect_blocks(&self, n_blocks: u64) -> Result<(), StoreError> {
        let found = self.searcher.num_docs();
        if found != n_blocks {
            let what = format!("it knows {found} blocks, the manifest names {n_blocks}");
            return Err(StoreError::damaged(&self.path, what));
        }
        Ok(())
    }

    /// The blocks that the formula does not rule out, with lines of the streams (all if `None`) in
    /// `from..to`. In no particular order.
    pub(crate) fn blocks(
        &self,
        formula: &Formula,
        streams: Option<&[StreamNumber]>,
        from: i64,
        to: i64,
    ) -> Result<Vec<BlockAddress>, StoreError> {
        let query = self.query(formula, streams);
        let within = Within { fields: self.fields, from, to };
        self.searcher.search(&query, &within).map_err(StoreError::index("search", &self.path))
    }

    /// Takes the numbers of all streams that have lines here out of `numbers`.
    pub(crate) fn strike_streams(
        &self,
        numbers: &mut BTreeSet<StreamNumber>,
    ) -> Result<(), StoreError> {
        let fail = StoreError::index("read the streams of", &self.path);
        for segment in self.searcher.segment_readers() {
            let terms = segment.inverted_index(self.fields.streams).map_err(&fail)?;
            let mut terms = terms.terms().stream().map_err(|err| fail(err.into()))?;
            while let Some((term, _)) = terms.next() {
                // A u64 term is its eight bytes, the highest first.
                let number = <[u8; 8]>::try_from(term).map(u64::from_be_bytes).ok();
                if let Some(number) = number.and_then(|n| StreamNumber::try_from(n).ok()) {
                    numbers.remove(&number);
                }
            }
        }
        Ok(())
    }

    /// The earliest and the latest time of a line; `None` without blocks.
    pub(crate) fn times(&self) -> Result<Option<(i64, i64)>, StoreError> {
        let fail = StoreError::index("read the times of", &self.path);
        let mut times: Option<(i64, i64)> = None;
        for segment in self.searcher.segment_readers().iter().filter(|s| s.num_docs() > 0) {
            let column = |name| segment.fast_fields().i64(name).map_err(&fail);
            let (min, max) = (column("min_time")?.min_value(), column("max_time")?.max_value());
            times = Some(times.map_or((min, max), |(a, b)| (a.min(min), b.max(max))));
        }
        Ok(times)
    }

    fn query(&self, formula: &Formula, streams: Option<&[StreamNumber]>) -> Box<dyn Query> {
        let mut all = Vec::new();
        if let Some(query) = formula.query(self.fields.words, self.fields.flags) {
            all.push((Occur::Must, query));
        }
        if let Some(streams) = streams {
            let terms = streams
                .iter()
                .map(|number| Term::from_field_u64(self.fields.streams, u64::from(*number)));
            all.push((Occur::Must, Box::new(TermSetQuery::new(terms)) as Box<dyn Query>));
        }
        if all.is_empty() { Box::new(AllQuery) } else { Box::new(BooleanQuery::new(all)) }
    }
}

/// Collects the addresses of blocks whose times overlap `from..to`.
struct Within {
    fields: Fields,
    from: i64,
    to: i64,
}

struct WithinSegment {
    min_time: Column<i64>,
    max_time: Column<i64>,
    at: Column<u64>,
    len: Column<u64>,
    from: i64,
    to: i64,
    found: Vec<BlockAddress>,
}

impl Collector for Within {
    type Fruit = Vec<BlockAddress>;
    type Child = WithinSegment;

    fn for_segment(
        &self,
        _ordinal: SegmentOrdinal,
        segment: &SegmentReader,
    ) -> tantivy::Result<WithinSegment> {
        let schema = segment.schema();
        let name = |field: Field| schema.get_field_name(field).to_owned();
        let columns = segment.fast_fields();
        Ok(WithinSegment {
            min_time: columns.i64(&name(self.fields.min_time))?,
            max_time: columns.i64(&name(self.fields.max_time))?,
            at: columns.u64(&name(self.fields.at))?,
            len: columns.u64(&name(self.fields.len))?,
            from: self.from,
            to: self.to,
            found: Vec::new(),
        })
    }

    fn requires_scoring(&self) -> bool {
        false
    }

    fn merge_fruits(&self, fruits: Vec<Vec<BlockAddress>>) -> tantivy::Result<Vec<BlockAddress>> {
        Ok(fruits.into_iter().flatten().collect())
    }
}

impl SegmentCollector for WithinSegment {
    type Fruit = Vec<BlockAddress>;

    fn collect(&mut self, doc: DocId, _score: Score) {
        let (Some(min_time), Some(max_time), Some(at), Some(len)) = (
            self.min_time.first(doc),
            self.max_time.first(doc),
            self.at.first(doc),
            self.len.first(doc),
        ) else {
            return;
        };
        if min_time < self.to && max_time >= self.from {
            self.found.push(BlockAddress { at, len, min_time, max_time });
        }
    }

    fn harvest(self) -> Vec<BlockAddress> {
        self.found
    }
}

/// Whether a run has lines in `from..to`.
pub(crate) fn overlaps(run: &Run, from: i64, to: i64) -> bool {
    run.n_lines > 0 && run.min_time < to && run.max_time >= from
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Eight segments are merged into one; a writer that is only dropped breaks the merge off.
    #[test]
    fn a_closed_index_has_only_files_of_its_segments() {
        let dir = tempfile::tempdir().unwrap();
        BlockIndex::create(dir.path()).unwrap();
        let mut index = BlockIndex::open(dir.path(), 0).unwrap();
        for seal in 1..=8 {
            let mut document = TantivyDocument::new();
            document.add_u64(index.fields.seal, seal);
            index.writer.add_document(document).unwrap();
            index.commit(seal).unwrap();
        }
        index.close();
        let index = Index::open_in_dir(dir.path()).unwrap();
        let segments = index.searchable_segment_ids().unwrap();
        assert_eq!(segments.len(), 1);
        let alive = segments[0].uuid_string();
        for entry in std::fs::read_dir(dir.path()).unwrap() {
            let name = entry.unwrap().file_name().to_string_lossy().into_owned();
            let is_shared = name.starts_with('.') || name == "meta.json";
            assert!(is_shared || name.starts_with(&alive), "{name} is left");
        }
        assert_eq!(IndexView::open(dir.path()).unwrap().searcher.num_docs(), 8);
    }
}
