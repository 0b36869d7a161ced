//! The three 128-bit names: who sent (collector), what was written (stream), into which file
//! (generation). All are hashes of facts, so that a process that lost its memory finds them again.

use std::fmt;

use xxhash_rust::xxh3::Xxh3;

use crate::labels::Labels;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub u128);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:032x}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:032x})"), self.0)
            }
        }
    };
}

id!(
    /// One sending process' persistent name: its Kafka partition is chosen by it.
    CollectorId
);
id!(
    /// One source of lines.
    StreamId
);
id!(
    /// One physical file of a stream, from its creation or truncation on; for pushed streams one
    /// incarnation of the receiving process.
    GenerationId
);

/// Hashes parts with their lengths, so that ("ab","c") and ("a","bc") differ.
fn hash(domain: &str, parts: &[&[u8]]) -> u128 {
    let mut hasher = Xxh3::new();
    for part in std::iter::once(&domain.as_bytes()).chain(parts) {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.digest128()
}

impl StreamId {
    /// The stream of a collected file: Mesos' ids as they stand in the path (bytes), empty where
    /// there is none, and the file's path inside the sandbox (or the plain path).
    pub fn of_file(
        agent: &[u8],
        framework: &[u8],
        executor: &[u8],
        container: &[u8],
        file: &[u8],
    ) -> Self {
        Self(hash("file", &[agent, framework, executor, container, file]))
    }

    /// The stream of a pushed label set.
    pub fn of_labels(labels: &Labels) -> Self {
        let mut parts: Vec<&[u8]> = Vec::new();
        for (name, value) in labels.iter() {
            parts.push(name.as_bytes());
            parts.push(value);
        }
        Self(hash("labels", &parts))
    }
}

/// The facts that make one file different from every other on its machine, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileIdentity {
    /// The file system's UUID, or the device number where there is none.
    pub file_system: [u8; 16],
    pub inode: u64,
    /// `FS_IOC_GETVERSION`; 0 where the file system has none.
    pub inode_generation: u64,
    /// Nanoseconds since the epoch (`statx`); 0 where the file system keeps none.
    pub birth_time: i64,
}

impl GenerationId {
    /// The generation of a collected file after `truncations` truncations were seen.
    pub fn of_file(file: &FileIdentity, truncations: u64) -> Self {
        Self(hash(
            "generation",
            &[
                &file.file_system,
                &file.inode.to_le_bytes(),
                &file.inode_generation.to_le_bytes(),
                &file.birth_time.to_le_bytes(),
                &truncations.to_le_bytes(),
            ],
        ))
    }

    /// The generation of what one incarnation of a receiving process was pushed.
    pub fn of_receiver(receiver: CollectorId, incarnation: u64) -> Self {
        Self(hash("receiver", &[&receiver.0.to_le_bytes(), &incarnation.to_le_bytes()]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// These values are part of the format: a change would make every collector re-send and every
    /// store keep its files twice.
    #[test]
    fn ids_never_change() {
        let stream = StreamId::of_file(b"S1", b"F", b"e", b"c", b"stdout");
        assert_eq!(stream.to_string(), "bf161500079ce55c8ebc4afacb965715");
        let file = FileIdentity {
            file_system: [7; 16],
            inode: 42,
            inode_generation: 3,
            birth_time: 1_700_000_000_000_000_000,
        };
        assert_eq!(GenerationId::of_file(&file, 0).to_string(), "77fd8352f84ed9b2b80414fb3a722ee5");
        assert_ne!(GenerationId::of_file(&file, 0), GenerationId::of_file(&file, 1));
        let labels = Labels::from_pairs([("app", "web"), ("env", "prod")]).expect("valid");
        assert_eq!(StreamId::of_labels(&labels).to_string(), "9aeff92fa7599256d3fee99fac202366");
    }

    #[test]
    fn parts_do_not_run_together() {
        assert_ne!(
            StreamId::of_file(b"ab", b"c", b"", b"", b""),
            StreamId::of_file(b"a", b"bc", b"", b"", b"")
        );
    }
}
