//! Whose process this is, and what does not end it.
#![expect(unsafe_code, reason = "no safe crate changes the user of all threads")]

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::fstat;

/// What ends a session or a restarting agent's children does not end the container's output.
pub(super) fn ignore_signals() {
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
        // SAFETY: ignoring a signal runs no code of ours.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}

/// Becomes the owner of the directory, so that nothing is done in it that its owner could not do: a
/// symlink there leads nowhere that they could not go. Only root can, others stay who they are.
pub(super) fn become_owner(directory: &OwnedFd) -> io::Result<()> {
    let owner = fstat(directory)?;
    if !rustix::process::geteuid().is_root() || owner.st_uid == 0 {
        return Ok(());
    }
    // SAFETY: these take numbers only, and act on all threads. Groups first: the user may not.
    unsafe {
        done(libc::setgroups(0, std::ptr::null()))?;
        done(libc::setgid(owner.st_gid))?;
        done(libc::setuid(owner.st_uid))
    }
}

fn done(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
