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
    let source = Source {
        id: StreamId(1),
        labels,
        text_only: false,
        format: crate::envelope::Format::Raw,
        times_are_true: false,
    };
    let times = StreamTimes::restore(None, None);
    let config = crate::config::Config::new("/data", "h");
    let text = crate::stream_text::StreamText::new(
        &source,
        &config,
        Default::default(),
        Default::default(),
    );
    let mut stream = Stream::new(source, 0, times, PemBlock::default(), text);
    stream.files = files;
    stream
}
