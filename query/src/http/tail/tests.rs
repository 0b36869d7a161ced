//! The outbox of a tail and its messages.
