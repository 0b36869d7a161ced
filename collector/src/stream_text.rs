//! What a stream's text is made of: the envelope of its lines, and the traces that go on in them.

use std::borrow::Cow;
use std::sync::Arc;

use sawlog_transport::{GenerationId, Labels};

use crate::config::Config;
use crate::envelope::{Envelope, Format};
use crate::group::Groups;
use crate::place::{self, Source};
use crate::unfinished::UnfinishedLines;

/// How the text of one stream is read.
pub(crate) struct StreamText {
    format: Format,
    /// What the file with this generation has, where nobody told the format.
    found: Option<(GenerationId, Option<Envelope>)>,
    /// Which traces go on.
    pub groups: Groups,
    /// Which lines were handed on without their ends.
    pub unfinished: UnfinishedLines,
    /// The labels that the source had, and the source of its unwrapped lines.
    unwrapped: Option<(Arc<Labels>, Source)>,
}

/// What is known of a file's envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    Yes(Option<Envelope>),
    /// The file's first line must tell.
    Not,
}

impl StreamText {
    /// The text of a stream that goes on with `groups`, behind lines that may be unfinished.
    pub(crate) fn new(
        source: &Source,
        config: &Config,
        groups: Groups,
        unfinished: UnfinishedLines,
    ) -> Self {
        let format = match (source.format, config.format) {
            (Format::Raw, _) | (_, Format::Auto) => source.format,
            (_, told) => told,
        };
        let groups = if config.multiline { groups } else { groups.off() };
        Self { format, found: None, groups, unfinished, unwrapped: None }
    }

    /// The envelope of a file.
    pub(crate) fn envelope(&self, file: GenerationId) -> Known {
        match self.format {
            Format::Raw => Known::Yes(None),
            Format::Docker => Known::Yes(Some(Envelope::Docker)),
            Format::Cri => Known::Yes(Some(Envelope::Cri)),
            Format::Auto => match self.found {
                Some((generation, envelope)) if generation == file => Known::Yes(envelope),
                _ => Known::Not,
            },
        }
    }

    /// The envelope of the file that was read last.
    pub(crate) fn last_envelope(&self) -> Option<Envelope> {
        let found = self.found.map_or(GenerationId(0), |(generation, _)| generation);
        match self.envelope(found) {
            Known::Yes(envelope) => envelope,
            Known::Not => None,
        }
    }

    /// Gives a file whose first line began in the file that was read last that one's envelope, if it
    /// is known.
    pub(crate) fn inherit(&mut self, file: GenerationId) {
        if let Some((generation, _)) = &mut self.found {
            *generation = file;
        }
    }

    /// Remembers what a file's first line told.
    pub(crate) fn found(&mut self, file: GenerationId, envelope: Option<Envelope>) {
        self.found = Some((file, envelope));
    }

    /// The source as it is told with lines, and with what is told instead of lines: the labels of both
    /// are the same.
    pub(crate) fn source_of_lines<'a>(&mut self, source: &'a Source) -> Cow<'a, Source> {
        match self.last_envelope() {
            None => Cow::Borrowed(source),
            Some(_) => Cow::Owned(self.unwrapped_source(source)),
        }
    }

    /// The source of unwrapped lines: without the label `stream`, since each line says of itself
    /// whether it was standard output or standard error.
    fn unwrapped_source(&mut self, source: &Source) -> Source {
        if let Some((labels, unwrapped)) = &self.unwrapped
            && Arc::ptr_eq(labels, &source.labels)
        {
            return unwrapped.clone();
        }
        let others = source.labels.iter().filter(|(name, _)| *name != "stream");
        let unwrapped = Source { labels: Arc::new(place::labels(others)), ..source.clone() };
        self.unwrapped = Some((source.labels.clone(), unwrapped.clone()));
        unwrapped
    }
}
