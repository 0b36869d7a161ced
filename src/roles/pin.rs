//! How many partitions of the topic a data directory uses: fixed at its first use. A topic that grows
//! would else move streams to other partitions, and their lines could overtake each other.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::Path;

use anyhow::Context;
use sawlog_transport::kafka::Topic;

use super::Unusable;

/// The longest text that is read: bytes.
const PIN_BYTES_MAX: u64 = 4096;

/// How a topic is named in files: the same name in another cluster is another topic, and so is one that
/// was deleted and made again.
pub(super) fn source_of(topic: &Topic) -> String {
    format!("kafka cluster={} topic={} id={:032x}", topic.cluster, topic.name, topic.id)
}

/// The count that `file` holds for this topic; a file for another topic, or none, is replaced by what
/// the topic has now.
///
/// # Errors
/// The file cannot be used, or the topic has fewer partitions than it had.
pub(super) fn pin_partitions(file: &Path, topic: &Topic) -> anyhow::Result<u32> {
    let shown = file.display();
    let mut text = String::new();
    match File::open(file) {
        Ok(open) => {
            let read = open.take(PIN_BYTES_MAX).read_to_string(&mut text);
            read.with_context(|| format!("cannot read {shown}"))?;
        }
        Err(error) if error.kind() == ErrorKind::NotFound => return write(file, topic),
        Err(error) => return Err(error).with_context(|| format!("cannot open {shown}")),
    }
    let Some((source, partitions)) = parse(&text) else {
        let why = format!(
            "{shown} is damaged: delete it if topic {} has as many partitions as ever",
            topic.name
        );
        return Err(Unusable(why).into());
    };
    if source != source_of(topic) {
        return write(file, topic);
    }
    if partitions > topic.partitions {
        let why = format!(
            "topic {} had {partitions} partitions and now has {}: it was made anew. Give it as many \
             again, or delete {shown} to go on with what it has",
            topic.name, topic.partitions
        );
        return Err(Unusable(why).into());
    }
    Ok(partitions)
}

/// `<source> partitions=<count>` and a line's end: without it the text is cut.
fn parse(text: &str) -> Option<(&str, u32)> {
    let (source, partitions) = text.strip_suffix('\n')?.rsplit_once(" partitions=")?;
    let partitions = partitions.parse().ok().filter(|count| *count > 0)?;
    Some((source, partitions))
}

fn write(file: &Path, topic: &Topic) -> anyhow::Result<u32> {
    let new = file.with_extension("new");
    let replace = || {
        let mut open = File::create(&new)?;
        writeln!(open, "{} partitions={}", source_of(topic), topic.partitions)?;
        open.sync_all()?;
        std::fs::rename(&new, file)?;
        file.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
    };
    replace().with_context(|| format!("cannot write {}", file.display()))?;
    Ok(topic.partitions)
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
    }

    #[test]
    fn a_damaged_count_is_not_guessed() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("partitions");
        for damage in ["", "kafka cluster=a topic=t partitions=4", "x partitions=0\n", "4\n"] {
            std::fs::write(&file, damage).unwrap();
            let error = pin_partitions(&file, &topic("a", 4)).unwrap_err();
            assert!(error.is::<Unusable>() && error.to_string().contains("damaged"), "{error}");
        }
    }
}
