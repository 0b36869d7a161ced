//! The id that a cluster gives to each topic it creates: a topic that is deleted and made again under
//! its name gets another one. rust-rdkafka does not ask for it, so that librdkafka is called directly.

#![expect(unsafe_code, reason = "librdkafka's DescribeTopics has no safe wrapper")]

use std::ffi::CString;
use std::ptr::{self, NonNull};
use std::time::Duration;

use rdkafka::bindings as c;
use rdkafka::client::{Client, ClientContext};

/// Asks for a topic's id, and waits for `timeout` at most. `None` if no broker answered in time, the
/// topic is not there, or the brokers are too old to have ids (before 2.8).
pub(super) fn topic_id<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    timeout: Duration,
) -> Option<u128> {
    let queue = Queue::new(client)?;
    let topics = Topics::new(topic)?;
    // SAFETY: client, collection and queue live until the answer is here or given up; librdkafka copies
    // the collection, and takes null for its default options.
    unsafe {
        c::rd_kafka_DescribeTopics(
            client.native_ptr(),
            topics.0.as_ptr(),
            ptr::null(),
            queue.0.as_ptr(),
        );
    }
    queue.answer(timeout)?.topic_id()
}

/// A queue of librdkafka's for one answer.
struct Queue(NonNull<c::rd_kafka_queue_t>);

impl Queue {
    fn new<C: ClientContext>(client: &Client<C>) -> Option<Self> {
        // SAFETY: the client is alive, as its reference is.
        NonNull::new(unsafe { c::rd_kafka_queue_new(client.native_ptr()) }).map(Self)
    }

    fn answer(&self, timeout: Duration) -> Option<Answer> {
        let millis = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: the queue is ours; what it gives is the caller's to destroy.
        NonNull::new(unsafe { c::rd_kafka_queue_poll(self.0.as_ptr(), millis) }).map(Answer)
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: made by `rd_kafka_queue_new`, destroyed once.
        unsafe { c::rd_kafka_queue_destroy(self.0.as_ptr()) }
    }
}

/// The names of the topics that are asked for: one.
struct Topics(NonNull<c::rd_kafka_TopicCollection_t>);

impl Topics {
    fn new(topic: &str) -> Option<Self> {
        let name = CString::new(topic).ok()?;
        let mut names = [name.as_ptr()];
        // SAFETY: one pointer to a text that ends with a zero; both are copied.
        let made =
            unsafe { c::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len()) };
        NonNull::new(made).map(Self)
    }
}

impl Drop for Topics {
    fn drop(&mut self) {
        // SAFETY: made by `rd_kafka_TopicCollection_of_topic_names`, destroyed once.
        unsafe { c::rd_kafka_TopicCollection_destroy(self.0.as_ptr()) }
    }
}

/// What came of the question.
struct Answer(NonNull<c::rd_kafka_event_t>);

impl Answer {
    /// The id of the first topic in it.
    fn topic_id(&self) -> Option<u128> {
        let event = self.0.as_ptr();
        // SAFETY: the event lives as long as `self`; what is read of it belongs to it. An event of
        // another kind gives null for a result, and a result no topics at all if there are none.
        unsafe {
            if c::rd_kafka_event_error(event) != c::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
            {
                return None;
            }
            let result = NonNull::new(c::rd_kafka_event_DescribeTopics_result(event).cast_mut())?;
            let mut count = 0;
            let topics = c::rd_kafka_DescribeTopics_result_topics(result.as_ptr(), &mut count);
            if topics.is_null() || count == 0 {
                return None;
            }
            let id = c::rd_kafka_TopicDescription_topic_id(*topics);
            if id.is_null() {
                return None;
            }
            let high = c::rd_kafka_Uuid_most_significant_bits(id) as u64;
            let low = c::rd_kafka_Uuid_least_significant_bits(id) as u64;
            Some(u128::from(high) << 64 | u128::from(low)).filter(|id| *id != 0)
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        // SAFETY: given by `rd_kafka_queue_poll`, destroyed once.
        unsafe { c::rd_kafka_event_destroy(self.0.as_ptr()) }
    }
}
