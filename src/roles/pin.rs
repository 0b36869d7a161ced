//! How many partitions of the topic a data directory uses: fixed at its first use. A topic that grows
//! would else move streams to other partitions, and their lines could overtake each other.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::Path;

use anyhow::Context;
use sawlog_transport::kafka::Topic;

use super::Unusable;

/// The most topics that are remembered.
const PINS_MAX: usize = 64;
/// The longest text that is read: bytes. A topic's name has at most 249, a cluster's is as short.
const PIN_BYTES_MAX: u64 = 64 << 10;

/// How a topic is named in files: the same name in another cluster is another topic, and so is one that
/// was deleted and made again.
pub(super) fn source_of(topic: &Topic) -> String {
    format!("kafka cluster={} topic={} id={:032x}", topic.cluster, topic.name, topic.id)
}

/// The count that `file` holds for this topic; one that it does not know is added with what it has now.
///
/// # Errors
/// The file cannot be used, or the topic has fewer partitions than it had.
pub(super) fn pin_partitions(file: &Path, topic: &Topic) -> anyhow::Result<u32> {
    let shown = file.display();
    let text = read(file)?;
    let Some(mut pins) = text.as_deref().map_or(Some(Vec::new()), parse) else {
        let why = format!(
            "{shown} is damaged: delete it if topic {}, and each other one that was used with it, has \
             as many partitions as ever",
            topic.name
        );
        return Err(Unusable(why).into());
    };
    let source = source_of(topic);
    let held = pins.iter().rposition(|pin| pin.0 == source);
    let pin = held.map_or((source.as_str(), topic.partitions), |at| pins.remove(at));
    let partitions = pin.1;
    if partitions > topic.partitions {
        let why = format!(
            "topic {} had {partitions} partitions and now has {}: it was made anew. Give it as many \
             again, or delete its line in {shown} to go on with what it has",
            topic.name, topic.partitions
        );
        return Err(Unusable(why).into());
    }
    // The one in use stands last: what is dropped was not used for longest.
    if held != Some(pins.len()) {
        pins.push(pin);
        write(file, &pins).with_context(|| format!("cannot write {shown}"))?;
    }
    Ok(partitions)
}

/// What the file holds, if there is one.
fn read(file: &Path) -> anyhow::Result<Option<String>> {
    let shown = file.display();
    let open = match File::open(file) {
        Ok(open) => open,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot open {shown}")),
    };
    let mut text = String::new();
    let read = open.take(PIN_BYTES_MAX).read_to_string(&mut text);
    read.with_context(|| format!("cannot read {shown}"))?;
    Ok(Some(text))
}

/// A topic's source and its count.
type Pin<'t> = (&'t str, u32);

/// Lines of `<source> partitions=<count>`, at least one, each with its end: without it the text is cut.
fn parse(text: &str) -> Option<Vec<Pin<'_>>> {
    if text.is_empty() {
        return None;
    }
    text.split_inclusive('\n')
        .map(|line| {
            let (source, partitions) = line.strip_suffix('\n')?.rsplit_once(" partitions=")?;
            let partitions = partitions.parse().ok().filter(|count| *count > 0)?;
            Some((source, partitions))
        })
        .collect()
}

/// Replaces the file; of too many pins the first are dropped.
fn write(file: &Path, pins: &[Pin<'_>]) -> std::io::Result<()> {
    let new = file.with_extension("new");
    let kept = &pins[pins.len().saturating_sub(PINS_MAX)..];
    let mut open = File::create(&new)?;
    for (source, partitions) in kept {
        writeln!(open, "{source} partitions={partitions}")?;
    }
    open.sync_all()?;
    std::fs::rename(&new, file)?;
    file.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(cluster: &str, partitions: u32) -> Topic {
        let (name, cluster) = ("t".to_owned(), cluster.to_owned());
        Topic { name, cluster, id: 7, partitions, doubts: Vec::new() }
    }

    #[test]
    fn the_count_stays_while_the_topic_grows_and_is_anothers_own() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("partitions");
        assert_eq!(pin_partitions(&file, &topic("a", 4)).unwrap(), 4);
        assert_eq!(pin_partitions(&file, &topic("a", 9)).unwrap(), 4);
        let text = std::fs::read_to_string(&file).unwrap();
        assert_eq!(
            text,
            "kafka cluster=a topic=t id=00000000000000000000000000000007 partitions=4\n"
        );
        let shrunk = pin_partitions(&file, &topic("a", 3)).unwrap_err();
        assert!(shrunk.is::<Unusable>() && shrunk.to_string().contains("made anew"), "{shrunk}");
        assert_eq!(pin_partitions(&file, &topic("b", 3)).unwrap(), 3);
        assert_eq!(pin_partitions(&file, &topic("b", 5)).unwrap(), 3);
        // Meanwhile the first one has grown.
        assert_eq!(pin_partitions(&file, &topic("a", 9)).unwrap(), 4);
        assert_eq!(pin_partitions(&file, &topic("b", 9)).unwrap(), 3);
    }

    #[test]
    fn of_many_topics_the_one_not_used_for_longest_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("partitions");
        let name = |n: usize| n.to_string();
        for n in 0..PINS_MAX {
            pin_partitions(&file, &topic(&name(n), 4)).unwrap();
        }
        assert_eq!(pin_partitions(&file, &topic(&name(0), 9)).unwrap(), 4);
        assert_eq!(pin_partitions(&file, &topic("one more", 4)).unwrap(), 4);
        let text = std::fs::read_to_string(&file).unwrap();
        assert_eq!(text.lines().count(), PINS_MAX);
        assert_eq!(pin_partitions(&file, &topic(&name(0), 9)).unwrap(), 4);
        assert_eq!(pin_partitions(&file, &topic(&name(2), 9)).unwrap(), 4);
        assert_eq!(pin_partitions(&file, &topic(&name(1), 9)).unwrap(), 9, "it was forgotten");
        assert!(file.metadata().unwrap().len() < PIN_BYTES_MAX);
    }

    #[test]
    fn a_damaged_count_is_not_guessed() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("partitions");
        let cut = "kafka cluster=a topic=t partitions=4\nkafka cluster=b";
        for damage in
            [cut, "", "kafka cluster=a topic=t partitions=4", "x partitions=0\n", "4\n", "\n"]
        {
            std::fs::write(&file, damage).unwrap();
            let error = pin_partitions(&file, &topic("a", 4)).unwrap_err();
            assert!(error.is::<Unusable>() && error.to_string().contains("damaged"), "{error}");
        }
    }
}
