//! Batches through Apache Kafka: one message a batch, acknowledged by all in-sync replicas, read from
//! positions that the store keeps.
//!
//! What travels is in `docs/format.md`; a Kafka message is one batch, without key and headers. What
//! the topic must be like is in [`topic_rules`].

pub mod config;
mod consumer;
mod events;
mod outstanding;
mod producer;
mod reasons;
pub mod topic;
mod topic_id;
pub mod topic_rules;

pub use config::{KafkaConfig, KafkaError};
pub use consumer::KafkaConsumer;
pub use producer::KafkaProducer;
pub use topic::{Topic, TopicError, TopicWishes, ensure_topic};

#[cfg(test)]
mod tests;
