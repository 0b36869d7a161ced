//! What many histories were about: whether they reached what they are to test, and how much of what was
//! written was exempt from it.

/// Counts over some histories.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub histories: u64,
    pub tokens: u64,
    /// Tokens that were stored.
    pub arrived: u64,
    /// Tokens stored more than once: each of them may be.
    pub repeated: u64,
    /// Tokens that were allowed to be stored more than once.
    pub may_repeat: u64,
    /// Tokens that are missing and had to be declared.
    pub known_lost: u64,
    /// Tokens that are missing, of which nobody could know.
    pub unknowable: u64,
    /// Bytes that were declared lost.
    pub declared: u64,
    /// Bytes that came again and were not stored again.
    pub resent: u64,
    pub starts: u64,
    pub truncations: u64,
    pub copies: u64,
    /// Copies made over the copy before.
    pub overwritten: u64,
    pub compressed: u64,
    /// Files that got the inode number of a deleted one.
    pub reused: u64,
}

impl Tally {
    /// All counts, with their names.
    fn counts(&mut self) -> [&mut u64; 15] {
        let Self { histories, tokens, arrived, repeated, may_repeat, .. } = self;
        let Self { known_lost, unknowable, declared, resent, starts, .. } = self;
        let Self { truncations, copies, overwritten, compressed, reused, .. } = self;
        [
            histories,
            tokens,
            arrived,
            repeated,
            may_repeat,
            known_lost,
            unknowable,
            declared,
            resent,
            starts,
            truncations,
            copies,
            overwritten,
            compressed,
            reused,
        ]
    }

    pub(super) fn add(&mut self, other: &Self) {
        let mut other = *other;
        for (sum, count) in self.counts().into_iter().zip(other.counts()) {
            *sum += *count;
        }
    }

    /// Exemptions are few, and each kind of trouble was there.
    pub(super) fn assert_means_something(&self) {
        assert!(
            self.arrived * 100 > self.tokens * 80,
            "most of what was written arrives: {self:?}"
        );
        assert!(self.unknowable * 6 < self.tokens, "few tokens are unknowable: {self:?}");
        assert!(self.repeated * 100 < self.tokens, "next to nothing repeats: {self:?}");
        let happened = [
            self.known_lost,
            self.declared,
            self.resent,
            self.starts,
            self.truncations,
            self.copies,
            self.overwritten,
            self.compressed,
        ];
        assert!(happened.iter().all(|count| *count > self.histories / 20), "{self:?}");
    }
}
