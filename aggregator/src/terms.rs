//! What the indexes get to know of a block: one pass over its text for words and grams.

use crate::filter::{BlockFilter, GramPass, Sketch};
use crate::lowered::Lowered;
use crate::words::{BlockWords, WordSet, folds};

/// What a block's text says to the indexes.
#[derive(Debug)]
pub struct BlockTerms {
    pub words: BlockWords,
    pub(crate) filter: BlockFilter,
}

/// Goes over texts, one after the other, in memory that is used again.
#[derive(Debug)]
pub struct TermScanner {
    text: Lowered,
    words: WordSet,
    sketch: Sketch,
}

impl Default for TermScanner {
    fn default() -> Self {
        Self::new()
    }
}

impl TermScanner {
    pub fn new() -> Self {
        Self { text: Lowered::default(), words: WordSet::new(), sketch: Sketch::new() }
    }

    /// Collects words and keys of a block's text.
    pub fn scan(&mut self, text: &[u8]) -> BlockTerms {
        let Self { text: lowered, words, sketch } = self;
        lowered.fill(text);
        let mut grams = GramPass::default();
        let mut high = 0;
        for (base, classes) in lowered.chunks() {
            words.put(lowered, base, classes.letters);
            grams.put(lowered, base, classes, &mut |key| sketch.put(key));
            high |= classes.high;
        }
        BlockTerms {
            words: words.take(lowered, high != 0 && folds(text)),
            filter: sketch.take(text.len()),
        }
    }
}
