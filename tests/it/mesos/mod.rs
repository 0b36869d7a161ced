//! A Mesos agent of our own: its work directory, its answers and its whims; and what becomes of the
//! lines, events and statistics of its containers.

mod answers;
mod server;
mod tests;
mod tls;
mod work_dir;
