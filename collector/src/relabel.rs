//! Hands on the labels of streams when an agent tells more of their containers, so that they hold for
//! older lines too, also where no line follows.

use std::collections::HashSet;

use sawlog_transport::LineColumns;
use sawlog_transport::batch::RunInput;

use crate::batcher::Batcher;
use crate::checkpoint::Checkpoints;
use crate::clock::Now;
use crate::intake::Streams;
use crate::mesos::{ContainerKey, Metadata};
use crate::place::Source;

/// Which containers' labels are to be handed on.
#[derive(Debug, Default)]
pub(crate) struct Relabelling {
    /// The tree was listed once, and those that an earlier process knew were handed on: it may have
    /// died before what it sent was acknowledged.
    has_begun: bool,
    waiting: HashSet<ContainerKey>,
}

impl Relabelling {
    /// The containers that are due; `None` if there is none. Before the first listing is done,
    /// which streams there are is not known.
    pub(crate) fn due(
        &mut self,
        metadata: &Metadata,
        is_listing: bool,
    ) -> Option<HashSet<ContainerKey>> {
        let changed = metadata.take_changes();
        self.waiting.extend(changed);
        if self.waiting.is_empty() || (is_listing && !self.has_begun) {
            return None;
        }
        self.has_begun = true;
        Some(std::mem::take(&mut self.waiting))
    }
}

/// Gives streams their labels, and sends them without any line. A stream of which no line was ever
/// sent is told of by its first one.
pub(crate) fn announce(
    sources: Vec<Source>,
    streams: &mut Streams,
    checkpoints: &Checkpoints,
    batcher: &mut Batcher,
    now: Now,
) {
    for source in sources {
        let open = streams.by_id.get_mut(&source.id);
        let is_sent = checkpoints.clock(source.id).last_time.is_some()
            || open.as_ref().is_some_and(|stream| stream.times.last().is_some());
        if let Some(stream) = open {
            stream.source.labels = source.labels.clone();
        }
        if is_sent {
            let lines = LineColumns::default();
            let run = RunInput { read_time: now.wall, pieces: &[], lines: &lines, text: &[] };
            batcher.push(&source, run, &[], now.monotonic);
        }
    }
}
