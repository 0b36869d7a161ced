//! Live feeds: a snapshot and the feed behind it give each line once, whatever happens between.
