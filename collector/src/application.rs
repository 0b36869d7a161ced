//! Which application an executor id names, for the frameworks that put it there.

/// What an executor id tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Application {
    /// The Marathon id with its leading `/`, the Chronos job, Aurora's role, environment and job, or
    /// the executor id itself.
    pub name: Vec<u8>,
    /// Whether the executor id is the task id too, as for command executors.
    pub is_task: bool,
}

/// Reads an executor id. Marathon's ids are believed only with a complete UUID in its place.
pub(crate) fn of_executor(executor: &[u8]) -> Application {
    if let Some(job) = chronos_job(executor) {
        return Application { name: job.to_vec(), is_task: true };
    }
    if let Some(job) = aurora_job(executor) {
        return Application { name: job.to_vec(), is_task: false };
    }
    if let Some((path, is_task)) = marathon_path(executor) {
        let mut name = Vec::with_capacity(path.len() + 1);
        name.push(b'/');
        name.extend(path.iter().map(|byte| if *byte == b'_' { b'/' } else { *byte }));
        return Application { name, is_task };
    }
    Application { name: executor.to_vec(), is_task: false }
}

/// The task that a Thermos executor runs: Aurora's id after `thermos-`.
pub(crate) fn thermos_task(executor: &[u8]) -> Option<&[u8]> {
    executor.strip_prefix(b"thermos-").filter(|task| !task.is_empty())
}

/// `ct:<due ms>:<attempt>:<job>:<arguments>`.
fn chronos_job(executor: &[u8]) -> Option<&[u8]> {
    let mut fields = executor.strip_prefix(b"ct:")?.splitn(4, |byte| *byte == b':');
    let (due, attempt) = (fields.next()?, fields.next()?);
    let job = fields.next()?;
    fields.next()?;
    (is_number(due) && is_number(attempt) && !job.is_empty()).then_some(job)
}

/// `thermos-<role>-<environment>-<job>-<instance>-<uuid>`: what is before the instance. Role,
/// environment and job may have `-` in them, so that they cannot be told apart.
fn aurora_job(executor: &[u8]) -> Option<&[u8]> {
    let task = thermos_task(executor)?;
    let (rest, uuid) = task.split_at_checked(task.len().checked_sub(UUID_BYTES)?)?;
    let (job, instance) = split_at_last(rest.strip_suffix(b"-")?, b"-")?;
    let has_all = job.split(|byte| *byte == b'-').filter(|part| !part.is_empty()).count() >= 3;
    (is_uuid(uuid) && is_number(instance) && has_all && is_path(job)).then_some(job)
}

/// The path inside a Marathon id, and whether it is a task's id.
fn marathon_path(executor: &[u8]) -> Option<(&[u8], bool)> {
    if let Some(pod) = executor.strip_prefix(b"instance-") {
        let (path, uuid) = split_at_last(pod, b".")?;
        return (is_path(path) && is_uuid(uuid)).then_some((path, false));
    }
    if let Some(path) = instance_path(executor) {
        return Some((path, true));
    }
    // A custom executor's id is its task's id with a prefix. Only in this old form: an application
    // may itself be called `marathon-lb`.
    let (id, is_task) = match executor.strip_prefix(b"marathon-") {
        Some(id) => (id, false),
        None => (executor, true),
    };
    Some((plain_path(id)?, is_task))
}

/// `<path>.instance-<uuid>.<container>[.<incarnation>]`, also with `marathon-` and `_app`.
fn instance_path(id: &[u8]) -> Option<&[u8]> {
    for marker in [&b".instance-"[..], b".marathon-"] {
        let Some(at) = memchr::memmem::rfind(id, marker) else { continue };
        let (path, rest) = (&id[..at], &id[at + marker.len()..]);
        let (uuid, container) = rest.split_at_checked(UUID_BYTES)?;
        let separated = matches!(container, [b'.' | b'_', _, ..]);
        if is_path(path) && is_uuid(uuid) && separated {
            return Some(path);
        }
    }
    None
}

/// `<path>.<uuid>`, `<path>_<uuid>`, and with an incarnation after it.
fn plain_path(id: &[u8]) -> Option<&[u8]> {
    let id = match split_at_last(id, b".") {
        Some((before, incarnation)) if is_number(incarnation) => before,
        _ => id,
    };
    let (path, uuid) = id.split_at_checked(id.len().checked_sub(UUID_BYTES)?)?;
    let path = path.strip_suffix(b".").or_else(|| path.strip_suffix(b"_"))?;
    (is_path(path) && is_uuid(uuid)).then_some(path)
}

const UUID_BYTES: usize = 36;

fn is_uuid(text: &[u8]) -> bool {
    text.len() == UUID_BYTES
        && text.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// What Marathon allows in the path of an id, with `_` for `/`.
fn is_path(text: &[u8]) -> bool {
    !text.is_empty()
        && text.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
}

fn is_number(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_digit)
}

fn split_at_last<'a>(text: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = memchr::memmem::rfind(text, separator)?;
    Some((&text[..at], &text[at + separator.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "5d1c1c0e-a3b4-11ee-8c90-0242ac110004";

    fn name(executor: &str) -> (String, bool) {
        let found = of_executor(executor.as_bytes());
        (String::from_utf8(found.name).expect("text"), found.is_task)
    }

    #[test]
    fn marathon_ids_give_the_path() {
        for (id, expected, is_task) in [
            (format!("shop_checkout.instance-{UUID}._app.1"), "/shop/checkout", true),
            (format!("shop_cart.instance-{UUID}.web.3"), "/shop/cart", true),
            (format!("shop_cart.marathon-{UUID}.web"), "/shop/cart", true),
            (format!("shop_checkout.{UUID}"), "/shop/checkout", true),
            (format!("a.b_c.{UUID}.7"), "/a.b/c", true),
            (format!("shop_{UUID}"), "/shop", true),
            (format!("instance-shop_cart.{UUID}"), "/shop/cart", false),
            (format!("marathon-shop_checkout.{UUID}"), "/shop/checkout", false),
            (format!("marathon-lb.instance-{UUID}._app.1"), "/marathon-lb", true),
        ] {
            assert_eq!(name(&id), (expected.into(), is_task), "{id}");
        }
    }

    #[test]
    fn without_a_complete_uuid_the_executor_is_the_application() {
        for id in [
            "0",
            "driver-20260820-0001",
            "shop.instance-5d1c._app.1",
            "instance-shop",
            "x.5d1c1c0e-a3b4-11ee-8c90-0242ac11000",
            "x.5d1c1c0e-a3b4-11ee-8c90-0242ac11000g",
            &format!("shop.instance-{UUID}"),
            &format!(".{UUID}"),
            UUID,
            "ct:1:x:job:",
            "ct:1:0:job",
        ] {
            assert_eq!(name(id), (id.to_owned(), false), "{id}");
        }
    }

    #[test]
    fn chronos_ids_give_the_job() {
        assert_eq!(name("ct:1420843781398:0:my.job-1:some: args"), ("my.job-1".into(), true));
        assert_eq!(name("ct:1420843781398:2:job:"), ("job".into(), true));
    }

    #[test]
    fn aurora_ids_give_role_environment_and_job() {
        for (id, expected) in [
            (format!("thermos-www-data-prod-mailer-0-{UUID}"), "www-data-prod-mailer"),
            (format!("thermos-web-prod-hello-17-{UUID}"), "web-prod-hello"),
            (format!("thermos-a-b-c.d_e-7-{UUID}"), "a-b-c.d_e"),
        ] {
            assert_eq!(name(&id), (expected.into(), false), "{id}");
        }
        for id in [
            format!("thermos-web-prod-hello-x-{UUID}"),
            format!("thermos-web-prod-hello-{UUID}"),
            format!("thermos-prod-hello-0-{UUID}"),
            format!("thermos-web-prod-hello-0-{}", &UUID[1..]),
            format!("web-prod-hello-0-{UUID}"),
            format!("thermos-0-{UUID}"),
            "thermos-".to_owned(),
        ] {
            assert_eq!(name(&id), (id.clone(), false), "{id}");
        }
    }

    #[test]
    fn thermos_names_its_task() {
        assert_eq!(thermos_task(b"thermos-www-prod-hello-0-x"), Some(&b"www-prod-hello-0-x"[..]));
        assert_eq!(thermos_task(b"other"), None);
    }
}
