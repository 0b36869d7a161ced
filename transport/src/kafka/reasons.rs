//! What an error of Kafka means for whoever runs this, and the way out.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::config::TOPIC_MESSAGE_BYTES;

/// What is wrong with sending to or reading from a topic, in words that say what to do.
pub(super) fn reason(error: &KafkaError, topic: &str) -> String {
    let Some(code) = error.rdkafka_error_code() else { return error.to_string() };
    match code {
        RDKafkaErrorCode::MessageSizeTooLarge => format!(
            "the topic takes only smaller messages: set max.message.bytes={TOPIC_MESSAGE_BYTES} on {topic}"
        ),
        RDKafkaErrorCode::TopicAuthorizationFailed => format!(
            "this client may not use {topic}: grant it Write and Describe (collector), Read and Describe \
             (aggregator)"
        ),
        RDKafkaErrorCode::UnknownTopic
        | RDKafkaErrorCode::UnknownTopicOrPartition
        | RDKafkaErrorCode::UnknownPartition => {
            format!("{topic} or its partition is gone: create the topic again as it was")
        }
        RDKafkaErrorCode::InvalidTimestamp => format!(
            "the topic refuses the clock's time: set message.timestamp.type=LogAppendTime on {topic}"
        ),
        RDKafkaErrorCode::NotEnoughReplicas | RDKafkaErrorCode::NotEnoughReplicasAfterAppend => {
            format!(
                "{topic} has fewer replicas in sync than min.insync.replicas: bring brokers back"
            )
        }
        code => format!("{code}"),
    }
}
