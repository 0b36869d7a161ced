//! The ends of the literals, all found in one pass over a block, which tells the few lines that have one.

use super::needles::{Family, Search, literals};

/// How many groups the vectors of the packed search tell apart.
const GROUPS: usize = 16;
/// Members of a group that are put into it. The rest follow one of them by themselves.
const PLACED: usize = 7;

/// The end of each literal, from a place on that is rare in logs; some are the end of several.
///
/// Vectors compare four bytes with a whole group at once, in halves of bytes: what has a half of each
/// byte from any member is taken for one until it is compared. These groups were found by trying, on
/// generated and recorded logs: with them one place in five hundred is compared. In another order all
/// is found as well, but at half of the speed. Beginnings of others would hide them, and are not here.
const ANCHORS: [&[&str]; GROUPS] = [
    &["pwd\"", "ssKey", "_v1_", "lsa_", "TATT3", "LTAI", "PMAK-", "sskey", "SSKEY"],
    &["arer ", "nKey", "gho_", "ghu_", "pat_", "nature=", "hvb.", "ARER "],
    &["eyJh", "ntKey", "dKey", "AIza", "o_v1_"],
    &["sic ", "tial", "eKey", "rKey", "sig=", "RAK-", "TIAL"],
    &["-key", "ikey", "whsec_", "ypi-", "oxe-", "-Key", "-KEY", "IKEY", "iKey"],
    &["assP", "pwd:", "ghp_", "TCTT3", "lcbt-", "AKCp", "pss_"],
    &["ass=", "ass:", "ASIA", "glpat-", "xoxp-", "dapi", "asv1.", "ASS=", "ASS:"],
    &["u001", "AKIA", "ghr_", "rk_test_", "a29."],
    &[".eyJ", "RIVATE KEY", "_key", "sk_live_", "shpass -p", "_KEY"],
    &["pwd=", "oxb-", "rk_live_", "A%2F%2F", "PWD=", "Pwd=", "a%2f%2f"],
    &["assc", "sk_test_", "CSPX-", "k-proj-", "ckr_pat_", "glptt-", "ASSC", "ckr_oat_"],
    &["gldt-", "oxr-", " SG.", "\"SG.", "'SG.", "=SG.", ":SG."],
    &["assphr", "oxs-", "ck.com/services/", "sk-ant-", "sk-svcacct-", "hvs.", "ASSPHR"],
    &["ass\"", "lrt-", "oxa-", "app-", "curl ", "csp-", "ASS\""],
    &["eyJr", "assw", "secret", "ghs_", "npm_", "rys_", "glc_", "ASSW", "Secret", "SECRET"],
    &[
        "eyJ0", "rization", "ookie", "token", "gKey", "hKey", "RIZATION", "OOKIE", "Token",
        "TOKEN", "xkeysib-",
    ],
];

/// Finds the literals in blocks.
pub(super) struct Anchors {
    search: Search,
    /// For each that is searched, its length and the literals that it ends.
    ends: Vec<(usize, Vec<(&'static str, Family)>)>,
}

/// A literal in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) family: Family,
    pub(super) start: usize,
    pub(super) end: usize,
    /// From where on to look for the next one.
    pub(super) next: usize,
}

impl Anchors {
    pub(super) fn new() -> Self {
        let order = in_search_order();
        let ends = |anchor: &&str| {
            let literals = literals().filter(|(literal, _)| literal.ends_with(*anchor));
            (anchor.len(), literals.collect())
        };
        Self { search: Search::new(&order), ends: order.iter().map(ends).collect() }
    }

    /// The first literal that ends with an anchor which starts at `from` or behind.
    pub(super) fn next(&self, text: &[u8], from: usize) -> Option<Found> {
        let mut at = from;
        loop {
            let (anchor, start) = self.search.next(text, at)?;
            let (len, literals) = &self.ends[anchor];
            let end = start + len;
            let stands = |(literal, _): &&(&str, _)| text[..end].ends_with(literal.as_bytes());
            if let Some((literal, family)) = literals.iter().find(stands) {
                let found = end - literal.len();
                return Some(Found { family: *family, start: found, end, next: start + 1 });
            }
            at = start + 1;
        }
    }
}

/// The anchors so that each comes into its group: the search puts its n-th literal into group n modulo
/// their number, unless an earlier one differs from it in upper bits only, as capitals do.
fn in_search_order() -> Vec<&'static str> {
    // Once more where a group is at its end: only so do the next ones keep their places.
    let placed = (0..PLACED).flat_map(|member| {
        ANCHORS.iter().map(move |group| group.get(member).copied().unwrap_or(group[0]))
    });
    let follow = ANCHORS.iter().flat_map(|group| group.iter().skip(PLACED).copied());
    placed.chain(follow).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_literal_is_found_by_its_end() {
        let anchors = Anchors::new();
        for (literal, family) in literals() {
            let text = format!("{}{literal} and so on, as long as vectors are", "~".repeat(70));
            let found = anchors.next(text.as_bytes(), 0);
            let shown = found.map(|found| (found.family, found.start, found.end));
            assert_eq!(shown, Some((family, 70, 70 + literal.len())), "{literal}");
        }
    }

    #[test]
    fn anchors_are_ends_that_hide_no_other() {
        let all: Vec<&str> = ANCHORS.concat();
        for anchor in &all {
            assert!(anchor.len() >= 4, "{anchor}");
            assert!(literals().any(|(literal, _)| literal.ends_with(anchor)), "{anchor}");
            let hides = |other: &&&str| *other != anchor && other.starts_with(anchor);
            assert_eq!(all.iter().filter(hides).count(), 0, "{anchor}");
        }
    }

    /// The packed search takes no more, and the slow one would be used instead.
    #[test]
    fn one_pass_takes_all_of_them() {
        assert!(in_search_order().len() <= 128);
    }
}
