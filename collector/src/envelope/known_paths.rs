//! Where Docker and Kubernetes keep the logs of containers, and what such a path tells.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::Format;

/// A path that a runtime chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KnownPath<'a> {
    pub format: Format,
    /// What people call the application: the container's name, or its id where there is no name.
    pub app: &'a [u8],
    pub container: &'a [u8],
}

/// What the path of a log (without a rotation's suffix) tells; `None` if no runtime chose it.
pub(crate) fn known_path(path: &Path) -> Option<KnownPath<'_>> {
    let mut names = path.iter().rev().map(OsStr::as_bytes);
    let (file, parent, above) = (names.next()?, names.next()?, names.next()?);
    let up = names.next();
    if above == b"containers" && file.strip_suffix(b"-json.log") == Some(parent) {
        return Some(KnownPath { format: Format::Docker, app: parent, container: parent });
    }
    if up == Some(b"pods") && is_pod(above) && is_restart(file) {
        return Some(KnownPath { format: Format::Cri, app: parent, container: parent });
    }
    if parent == b"containers" && above == b"log" {
        let container = linked_container(file)?;
        return Some(KnownPath { format: Format::Cri, app: container, container });
    }
    None
}

/// `namespace_pod_uid`.
fn is_pod(name: &[u8]) -> bool {
    name.split(|byte| *byte == b'_').filter(|part| !part.is_empty()).count() == 3
}

/// `0.log`: the number counts the container's restarts.
fn is_restart(file: &[u8]) -> bool {
    file.strip_suffix(b".log")
        .is_some_and(|number| !number.is_empty() && number.iter().all(u8::is_ascii_digit))
}

/// `pod_namespace_container-id.log`.
fn linked_container(file: &[u8]) -> Option<&[u8]> {
    let last = file.strip_suffix(b".log")?.splitn(3, |byte| *byte == b'_').nth(2)?;
    let dash = memchr::memrchr(b'-', last).filter(|dash| *dash > 0)?;
    Some(&last[..dash])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(path: &str) -> Option<(Format, String)> {
        let known = known_path(Path::new(path))?;
        Some((known.format, String::from_utf8_lossy(known.container).into_owned()))
    }

    #[test]
    fn places_of_runtimes_are_known() {
        for (path, format, container) in [
            ("/var/lib/docker/containers/4f2a/4f2a-json.log", Format::Docker, "4f2a"),
            ("/var/log/pods/shop_cart-7d4_1b2c/web/0.log", Format::Cri, "web"),
            ("/host/var/log/pods/shop_cart-7d4_1b2c/web/12.log", Format::Cri, "web"),
            ("/var/log/containers/cart-7d4_shop_web-front-4f2a.log", Format::Cri, "web-front"),
        ] {
            assert_eq!(known(path), Some((format, container.to_owned())), "{path}");
        }
    }

    #[test]
    fn others_are_not() {
        for path in [
            "/x.log",
            "/var/log/app/x.log",
            "/var/lib/docker/containers/4f2a/5e1b-json.log",
            "/var/lib/docker/containers/4f2a/-json.log",
            "/var/log/pods/cart/web/0.log",
            "/var/log/pods/shop_cart_1/web/x.log",
            "/var/log/containers/cart.log",
        ] {
            assert_eq!(known(path), None, "{path}");
        }
    }
}
