//! Asks the store: the LogQL language, the engine that runs it, the HTTP API, and the command line.
//!
//! Never writes the store; what is pushed over HTTP goes through the transport like everything else.

pub mod cli;
pub mod engine;
pub mod http;
pub mod lang;
pub mod push;

pub use http::duration;
