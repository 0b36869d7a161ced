//! What a formula demands of the filters: of words they know nothing.

use crate::prune::Formula;

/// Keys asked of the filters for one formula, at most. Leaving out a part of an AND is sound, it only
/// prunes less; an OR with too many parts says nothing.
const KEYS_OF_A_FORMULA_MAX: usize = 4096;

impl Formula {
    /// What must hold of the keys of a block: a weaker formula without words.
    pub(crate) fn key_part(&self) -> Formula {
        match self {
            Formula::Any | Formula::Word(_) => Formula::Any,
            Formula::Keys(_) => self.clone(),
            Formula::And(parts) => {
                let mut left = KEYS_OF_A_FORMULA_MAX;
                let mut parts: Vec<Formula> = parts.iter().map(Formula::key_part).collect();
                // Those that cost least first: more of them fit.
                parts.sort_by_key(Formula::n_keys);
                parts.retain(|part| {
                    let fits = part.n_keys() <= left;
                    left -= if fits { part.n_keys() } else { 0 };
                    fits
                });
                Formula::and(parts)
            }
            Formula::Or(parts) => {
                let all = Formula::or(parts.iter().map(Formula::key_part));
                if all.n_keys() > KEYS_OF_A_FORMULA_MAX { Formula::Any } else { all }
            }
        }
    }

    pub(crate) fn n_keys(&self) -> usize {
        match self {
            Formula::Any | Formula::Word(_) => 0,
            Formula::Keys(keys) => keys.len(),
            Formula::And(parts) | Formula::Or(parts) => parts.iter().map(Formula::n_keys).sum(),
        }
    }
}
