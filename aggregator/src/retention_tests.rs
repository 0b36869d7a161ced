//! Retention against a simple model.
