//! What an error of Kafka means for whoever runs this, and the way out.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::config::TOPIC_MESSAGE_BYTES;
use crate::producer::SendError;

/// Why a message of so many bytes was not stored.
pub(super) fn refusal(error: &KafkaError, topic: &str, place: String, bytes: usize) -> SendError {
    let reason = reason(error, topic);
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::MessageBatchTooLarge) => {
            SendError::RefusedAsTooLarge { place, bytes, reason }
        }
        _ => SendError::Failed { place, reason },
    }
}

/// What is wrong with sending to or reading from a topic, in words that say what to do.
pub(super) fn reason(error: &KafkaError, topic: &str) -> String {
    let Some(code) = error.rdkafka_error_code() else { return error.to_string() };
    match code {
        RDKafkaErrorCode::MessageSizeTooLarge => format!(
            "the topic takes only smaller messages: set max.message.bytes={TOPIC_MESSAGE_BYTES} on {topic}"
        ),
        RDKafkaErrorCode::MessageBatchTooLarge => format!(
            "what is written at once exceeds a segment of the topic: set segment.bytes={TOPIC_MESSAGE_BYTES} \
             or more on {topic}"
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
