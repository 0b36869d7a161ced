//! Partitions that wait, in words: what people are told of them beside an answer.

use std::collections::BTreeMap;

/// The most partitions that are named: a topic may have thousands.
const NAMED_MAX: usize = 8;

/// A clause that names the partitions that wait → the offset at which they do; `None` if there are none.
pub(super) fn told(waiting: &BTreeMap<u32, u64>) -> Option<String> {
    if waiting.is_empty() {
        return None;
    }
    let name = |(partition, offset): (&u32, &u64)| format!("{partition} (at offset {offset})");
    let mut names: Vec<String> = waiting.iter().take(NAMED_MAX).map(name).collect();
    if waiting.len() > NAMED_MAX {
        names.push(format!("{} more", waiting.len() - NAMED_MAX));
    }
    Some(format!(
        "partitions that wait: {}; what stands behind is not found, the aggregator's log says why and \
         the way out",
        names.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_named_unless_they_are_many() {
        assert_eq!(told(&BTreeMap::new()), None);
        let two = told(&BTreeMap::from([(3, 17), (9, 0)])).unwrap();
        assert!(two.contains("wait: 3 (at offset 17), 9 (at offset 0); what"), "{two}");
        let many = told(&(0..1000).map(|partition| (partition, 1)).collect()).unwrap();
        assert!(many.contains("7 (at offset 1), 992 more;") && many.len() < 400, "{many}");
    }
}
