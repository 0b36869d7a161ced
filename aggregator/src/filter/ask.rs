//! Asks the filters of a slice which of some blocks may hold what a formula demands.

use super::file::{Filters, Group};
use super::grams::EXTRA;
use super::rows::{Columns, Rows};
use super::sketch::row_of;
use crate::index::BlockAddress;
use crate::prune::Formula;

/// What asking came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Blocks that cannot hold it.
    pub(crate) ruled_out: u64,
    /// Groups that were found damaged, each counted once as long as the slice is open.
    pub(crate) damaged: u64,
}

impl Filters {
    /// Leaves out the blocks that cannot hold what is demanded (see [`Formula::key_part`]); they are
    /// in order of address then. A block that no good group knows stays.
    pub(crate) fn retain(&self, demand: &Formula, found: &mut Vec<BlockAddress>) -> Asked {
        let (Some(file), false, false) = (&self.file, *demand == Formula::Any, found.is_empty())
        else {
            return Asked::default();
        };
        found.sort_unstable_by_key(|block| block.at);
        let mut asked = Asked::default();
        let mut stays = vec![true; found.len()];
        for group in &self.groups {
            let candidates = group.among(found);
            if candidates.is_empty() {
                continue;
            }
            let mut asking = Asking { path: &self.path, group, damaged: 0, rows: None };
            let mut columns = Columns::none(group.addresses.len());
            candidates.iter().for_each(|(_, column)| columns.set(*column));
            match Rows::new(file, group, demand.n_keys()) {
                Ok(rows) => asking.rows = Some(rows),
                Err(err) => asking.report(&err),
            }
            let may_hold = asking.ask(demand, &columns);
            for (block, column) in candidates {
                stays[block] &= may_hold.has(column);
            }
            asked.damaged += asking.damaged;
        }
        let before = found.len();
        let mut stays = stays.into_iter();
        found.retain(|_| stays.next() == Some(true));
        asked.ruled_out = (before - found.len()) as u64;
        asked
    }
}

impl Group {
    /// Which of the blocks, in order of address, belong to the group: (number of the block, column).
    fn among(&self, found: &[BlockAddress]) -> Vec<(usize, usize)> {
        let mut block = found.partition_point(|block| block.at < self.addresses[0]);
        let mut both = Vec::new();
        for (column, at) in self.addresses.iter().enumerate() {
            while block < found.len() && found[block].at < *at {
                block += 1;
            }
            if block == found.len() {
                break;
            }
            if found[block].at == *at {
                both.push((block, column));
            }
        }
        both
    }
}

/// One query asking one group.
struct Asking<'a> {
    path: &'a std::path::Path,
    group: &'a Group,
    rows: Option<Rows<'a>>,
    damaged: u64,
}

impl Asking<'_> {
    /// Which of the columns may hold what is demanded.
    fn ask(&mut self, demand: &Formula, columns: &Columns) -> Columns {
        match demand {
            Formula::Any | Formula::Word(_) => columns.clone(),
            Formula::Keys(keys) => self.ask_keys(keys, columns),
            Formula::And(parts) => {
                let mut left = columns.clone();
                for part in parts {
                    if left.is_empty() {
                        break;
                    }
                    left = self.ask(part, &left);
                }
                left
            }
            Formula::Or(parts) => {
                let mut any = Columns::none(self.group.addresses.len());
                for part in parts {
                    if any == *columns {
                        break;
                    }
                    any.add(&self.ask(part, columns));
                }
                any
            }
        }
    }

    fn ask_keys(&mut self, keys: &[u32], columns: &Columns) -> Columns {
        let mut left = columns.clone();
        let Some(mut rows) = self.rows.take() else { return left };
        let shape = self.group.shape;
        for key in keys.iter().filter(|key| shape.has_extra || **key < EXTRA) {
            if left.is_empty() {
                break;
            }
            let row = row_of(*key, shape.m_bits);
            // What a damaged page would say is not known: it rules nothing out.
            if let Err(err) = rows.keep(row, &mut left) {
                self.report(&err);
            }
        }
        self.rows = Some(rows);
        left
    }

    fn report(&mut self, err: &dyn std::error::Error) {
        if self.group.report() {
            self.damaged += 1;
            let err = crate::error::error_chain(err);
            tracing::warn!(
                path = %self.path.display(), at = self.group.pages_at, err,
                "damaged filters: queries for ids read their blocks in vain"
            );
        }
    }
}
