//! The watcher's parts together: an agent's files and answers in, lines and labels out.
