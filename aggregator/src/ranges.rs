//! Which bytes of one generation are accounted for, and how: sorted, disjoint, merged ranges.

use sawlog_transport::PieceKind;

/// What the store says of some bytes. The order is that of precedence: text that is held stays held,
/// whatever is declared of it later; what was declared lost and then arrives is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Fate {
    Lost = 0,
    Dropped = 1,
    Cut = 2,
    Held = 3,
    /// Was held and was removed by retention; stronger than held, so that what comes again is neither
    /// stored nor called held again.
    Expired = 4,
}

impl Fate {
    pub fn of(kind: PieceKind) -> Self {
        match kind {
            PieceKind::Text => Fate::Held,
            PieceKind::Cut => Fate::Cut,
            PieceKind::Dropped => Fate::Dropped,
            PieceKind::Truncated
            | PieceKind::Vanished
            | PieceKind::OverBudget
            | PieceKind::Corrupt => Fate::Lost,
        }
    }

    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        let fates = [Fate::Lost, Fate::Dropped, Fate::Cut, Fate::Held, Fate::Expired];
        fates.into_iter().find(|fate| *fate as u8 == byte)
    }

    /// Whether these bytes need not be taken again.
    pub fn settled(self) -> bool {
        self != Fate::Lost
    }
}

/// The bytes `from..to` and their fate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    pub from: u64,
    pub to: u64,
    pub fate: Fate,
}

/// Sorted by `from`; disjoint; neighbours that touch have different fates. A healthy generation is
/// one range.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(Vec<Range>);

impl Ranges {
    pub fn iter(&self) -> impl Iterator<Item = &Range> {
        self.0.iter()
    }

    pub(crate) fn from_sorted(ranges: Vec<Range>) -> Self {
        Self(ranges)
    }

    /// Adds `from..to`; where bytes already have a fate, the stronger one stays.
    pub fn insert(&mut self, from: u64, to: u64, fate: Fate) {
        if from >= to {
            return;
        }
        if let Some(last) = self.0.last_mut()
            && last.to == from
            && last.fate == fate
        {
            // The common case: the file grew.
            last.to = to;
            return;
        }
        self.insert_slowly(from, to, fate);
    }

    fn insert_slowly(&mut self, from: u64, to: u64, fate: Fate) {
        let first = self.0.partition_point(|range| range.to < from);
        let end = self.0.partition_point(|range| range.from <= to);
        let mut merged = Vec::with_capacity(end - first + 2);
        let mut at = from;
        for old in &self.0[first..end] {
            if old.from < from {
                push(&mut merged, Range { to: old.to.min(from), ..*old });
            }
            let overlap_from = old.from.max(from);
            let overlap_to = old.to.min(to);
            if at < overlap_from {
                push(&mut merged, Range { from: at, to: overlap_from.min(to), fate });
            }
            if overlap_from < overlap_to {
                let fate = fate.max(old.fate);
                push(&mut merged, Range { from: overlap_from, to: overlap_to, fate });
            }
            at = at.max(overlap_to);
            if old.to > to {
                if at < to {
                    push(&mut merged, Range { from: at, to, fate });
                    at = to;
                }
                push(&mut merged, Range { from: old.from.max(to), ..*old });
            }
        }
        if at < to {
            push(&mut merged, Range { from: at, to, fate });
        }
        self.0.splice(first..end, merged);
    }

    /// The parts of `from..to` that are not settled, in order.
    pub fn missing(&self, from: u64, to: u64) -> Vec<(u64, u64)> {
        let mut missing = Vec::new();
        let mut at = from;
        let first = self.0.partition_point(|range| range.to <= from);
        for range in self.0[first..].iter().take_while(|range| range.from < to) {
            if !range.fate.settled() {
                continue;
            }
            if at < range.from {
                missing.push((at, range.from));
            }
            at = at.max(range.to);
        }
        if at < to {
            missing.push((at, to));
        }
        missing
    }

    /// Whether nothing of `from..to` is settled.
    pub fn is_free(&self, from: u64, to: u64) -> bool {
        let first = self.0.partition_point(|range| range.to <= from);
        let inside = self.0[first..].iter().take_while(|range| range.from < to);
        from >= to || inside.into_iter().all(|range| !range.fate.settled())
    }

    /// The ranges as if nothing were known of `gaps`.
    pub(crate) fn without(&self, gaps: &[(u64, u64)]) -> Ranges {
        let mut left = self.0.clone();
        for (from, to) in gaps.iter().filter(|(from, to)| from < to) {
            let parts = left.iter().flat_map(|range| {
                let before = Range { to: range.to.min(*from), ..*range };
                [before, Range { from: range.from.max(*to), ..*range }]
            });
            left = parts.filter(|range| range.from < range.to).collect();
        }
        Ranges(left)
    }

    pub fn bytes(&self, fate: Fate) -> u64 {
        self.0.iter().filter(|range| range.fate == fate).map(|range| range.to - range.from).sum()
    }
}

/// Appends, joining with a touching range of the same fate.
fn push(ranges: &mut Vec<Range>, range: Range) {
    if range.from >= range.to {
        return;
    }
    match ranges.last_mut() {
        Some(last) if last.to == range.from && last.fate == range.fate => last.to = range.to,
        _ => ranges.push(range),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fate() -> impl Strategy<Value = Fate> {
        proptest::sample::select((0..5).filter_map(Fate::from_byte).collect::<Vec<_>>())
    }

    proptest! {
        /// The model is an array of bytes.
        #[test]
        fn ranges_are_an_array_of_fates(
            inserts in proptest::collection::vec((0u64..60, 0u64..20, fate()), 0..25),
            ask in (0u64..60, 0u64..30),
            gaps in proptest::collection::vec((0u64..60, 0u64..20), 0..4),
        ) {
            let mut ranges = Ranges::default();
            let mut model: Vec<Option<Fate>> = vec![None; 100];
            for (from, len, fate) in inserts {
                ranges.insert(from, from + len, fate);
                for byte in &mut model[from as usize..(from + len) as usize] {
                    *byte = Some(byte.map_or(fate, |old| old.max(fate)));
                }
            }
            for pair in ranges.0.windows(2) {
                prop_assert!(pair[0].to < pair[1].from
                    || pair[0].to == pair[1].from && pair[0].fate != pair[1].fate);
            }
            let mut rebuilt = vec![None; 100];
            for range in ranges.iter() {
                prop_assert!(range.from < range.to);
                rebuilt[range.from as usize..range.to as usize].fill(Some(range.fate));
            }
            prop_assert_eq!(&rebuilt, &model);
            let (from, to) = (ask.0, ask.0 + ask.1);
            let free = |at: u64| model[at as usize].is_none_or(|fate| !fate.settled());
            let missing: Vec<u64> = (from..to).filter(|at| free(*at)).collect();
            let told: Vec<u64> =
                ranges.missing(from, to).into_iter().flat_map(|(a, b)| a..b).collect();
            prop_assert_eq!(&told, &missing);
            prop_assert_eq!(ranges.is_free(from, to), missing.len() as u64 == to - from);
            let gaps: Vec<_> = gaps.into_iter().map(|(from, len)| (from, from + len)).collect();
            let left = ranges.without(&gaps);
            gaps.iter().for_each(|(from, to)| model[*from as usize..*to as usize].fill(None));
            let mut rebuilt = Ranges::default();
            for (at, fate) in model.iter().enumerate().filter_map(|(at, fate)| Some((at as u64, (*fate)?))) {
                rebuilt.insert(at, at + 1, fate);
            }
            prop_assert_eq!(left, rebuilt);
        }
    }
}
