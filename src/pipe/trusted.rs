//! Whom `sawlog pipe` believes to be the collector: by the user who listens where it asks.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use sawlog_collector::pipe::Trusted;

/// Where the collector keeps its data as a service; whoever owns these directories may be the collector.
const DATA_DIRS: [&str; 2] = ["/var/lib/sawlog", "/var/lib/sawlog-collector"];
const PASSWD: &str = "/etc/passwd";
/// The longest list of users that is read.
const PASSWD_BYTES_MAX: u64 = 4 << 20;

/// A user by name or number, or `any` for whoever listens.
///
/// # Errors
/// No such user is known; says how to name it.
pub(super) fn parse(text: &str) -> Result<Trusted, String> {
    if text == "any" {
        return Ok(Trusted::Anyone);
    }
    if let Ok(uid) = text.parse() {
        return Ok(Trusted::Users(vec![uid]));
    }
    let mut users = Vec::new();
    let read = File::open(PASSWD)
        .and_then(|file| file.take(PASSWD_BYTES_MAX).read_to_end(&mut users))
        .map_err(|error| format!("cannot look up '{text}' in {PASSWD}, write its number: {error}"));
    read?;
    let uid = uid_of(text, &users);
    let uid =
        uid.ok_or_else(|| format!("no user '{text}' in {PASSWD}: write its number, or any"))?;
    Ok(Trusted::Users(vec![uid]))
}

/// Who is believed: root, whoever starts this, and who was named, else whoever owns a collector's data.
/// Asked before this process becomes the sandbox's owner.
pub(super) fn trusted(named: Option<&Trusted>) -> Trusted {
    let mut users = vec![0, rustix::process::geteuid().as_raw()];
    match named {
        Some(Trusted::Anyone) => return Trusted::Anyone,
        Some(Trusted::Users(named)) => users.extend(named),
        None => users.extend(DATA_DIRS.iter().filter_map(|dir| owner(Path::new(dir)))),
    }
    Trusted::Users(users)
}

fn owner(dir: &Path) -> Option<u32> {
    std::fs::metadata(dir).ok().map(|found| found.uid())
}

fn uid_of(name: &str, passwd: &[u8]) -> Option<u32> {
    passwd.split(|byte| *byte == b'\n').find_map(|line| {
        let mut fields = line.split(|byte| *byte == b':');
        let is_it = fields.next() == Some(name.as_bytes());
        let uid = fields.nth(1).filter(|_| is_it)?;
        std::str::from_utf8(uid).ok()?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_named_by_name_or_number() {
        assert_eq!(parse("any"), Ok(Trusted::Anyone));
        assert_eq!(parse("991"), Ok(Trusted::Users(vec![991])));
        assert!(parse("no such user").expect_err("unknown").contains("number"));
        let passwd =
            b"root:x:0:0:root:/root:/bin/sh\nbroken\nlog:x:\n\xff:x:5\nsawlog:x:991:99::/:/x";
        let found = ["root", "sawlog", "broken", "log", "law", ""].map(|name| uid_of(name, passwd));
        assert_eq!(found, [Some(0), Some(991), None, None, None, None]);
    }

    #[test]
    fn root_and_whoever_starts_it_are_always_believed() {
        let me = rustix::process::geteuid().as_raw();
        let named = Trusted::Users(vec![991]);
        assert_eq!(trusted(Some(&named)), Trusted::Users(vec![0, me, 991]));
        assert_eq!(trusted(Some(&Trusted::Anyone)), Trusted::Anyone);
        let Trusted::Users(users) = trusted(None) else { panic!("not anyone") };
        assert_eq!(users[..2], [0, me]);
        let dir = tempfile::tempdir().expect("temp dir");
        assert_eq!((owner(dir.path()), owner(&dir.path().join("none"))), (Some(me), None));
    }
}
