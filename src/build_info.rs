//! Which program this is: version, commit and compiler, as the build script found them.

use sawlog_query::http::BuildInfo;

/// The program that runs.
pub(crate) const BUILD: BuildInfo = BuildInfo {
    version: env!("CARGO_PKG_VERSION"),
    revision: env!("SAWLOG_GIT_COMMIT"),
    commit_date: env!("SAWLOG_COMMIT_DATE"),
    rustc: env!("SAWLOG_RUSTC"),
};

/// What `--version` says; `-V` says the first line only.
pub(crate) const LONG_VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    "\ncommit:  ",
    env!("SAWLOG_GIT_COMMIT"),
    "\ndate:    ",
    env!("SAWLOG_COMMIT_DATE"),
    "\nrustc:   ",
    env!("SAWLOG_RUSTC"),
    "\ntarget:  ",
    env!("SAWLOG_TARGET"),
    "\nprofile: ",
    env!("SAWLOG_PROFILE"),
);
