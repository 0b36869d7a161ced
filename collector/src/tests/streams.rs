//! Streams made of files, for tests of single modules.

use std::sync::Arc;

use sawlog_transport::{Labels, StreamId};

use crate::place::Source;
use crate::redact::PemBlock;
use crate::stream::Stream;
use crate::tail::TailFile;
use crate::times::StreamTimes;

/// A stream of these files, the oldest first.
pub(crate) fn of_files(files: Vec<TailFile>) -> Stream {
    let labels = Arc::new(Labels::default());
    let source = Source { id: StreamId(1), labels, text_only: false };
    let times = StreamTimes::restore(None, None);
    let mut stream = Stream::new(source, 0, times, PemBlock::default());
    stream.files = files;
    stream
}
