//! Which application an executor belongs to: what its id and its framework tell.

/// What an agent told of an executor; empty texts are unknown.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Told<'a> {
    pub framework_name: &'a str,
    pub principal: &'a str,
    pub source: &'a str,
    /// Of any of its tasks.
    pub task_name: &'a str,
}

/// The Marathon id with its leading `/`, Aurora's role/environment/job, the Chronos job, else the
/// framework's name, else the executor id. Marathon's ids are believed with a complete UUID in its
/// place, or if the framework says that it is one.
pub(crate) fn name(executor: &[u8], told: &Told<'_>) -> Vec<u8> {
    if let Some(job) = chronos_job(executor) {
        return job.to_vec();
    }
    if executor.starts_with(b"thermos-")
        && let Some(job) =
            aurora_job_told(told).or_else(|| aurora_job(executor).map(<[u8]>::to_vec))
    {
        return job;
    }
    let is_marathon =
        [told.framework_name, told.principal].iter().any(|name| says(name, "marathon"));
    let loose = || is_marathon.then(|| loose_marathon_path(executor)).flatten();
    if let Some(path) = marathon_path(executor).map(|(path, _)| path).or_else(loose) {
        let slashed = path.iter().map(|byte| if *byte == b'_' { b'/' } else { *byte });
        return std::iter::once(b'/').chain(slashed).collect();
    }
    match told.framework_name.as_bytes() {
        b"" => executor.to_vec(),
        name => name.to_vec(),
    }
}

fn says(text: &str, word: &str) -> bool {
    text.to_ascii_lowercase().contains(word)
}

/// The task that an executor id names by itself: a command executor's is its task's id, Aurora's has
/// `thermos-` before it. Empty if it names none.
pub(crate) fn task(executor: &[u8]) -> &[u8] {
    if let Some(task) = thermos_task(executor) {
        return task;
    }
    let is_task = chronos_job(executor).is_some()
        || marathon_path(executor).is_some_and(|(_, is_task)| is_task);
    if is_task { executor } else { b"" }
}

/// The task that a Thermos executor runs: Aurora's id after `thermos-`.
fn thermos_task(executor: &[u8]) -> Option<&[u8]> {
    executor.strip_prefix(b"thermos-").filter(|task| !task.is_empty())
}

/// Aurora's own words: the task's name is `role/env/job`, the executor's source
/// `role.env.job.instance`.
fn aurora_job_told(told: &Told<'_>) -> Option<Vec<u8>> {
    let parts: Vec<&str> = told.task_name.split('/').collect();
    if parts.len() == 3 && parts.iter().all(|part| !part.is_empty()) {
        return Some(told.task_name.into());
    }
    let parts: Vec<&str> = told.source.split('.').collect();
    match parts[..] {
        [role, env, job, instance]
            if is_number(instance.as_bytes())
                && [role, env, job].iter().all(|part| !part.is_empty()) =>
        {
            Some([role, env, job].join("/").into())
        }
        _ => None,
    }
}

/// The path inside an id of a framework that is known to be Marathon: whatever stands for the UUID.
fn loose_marathon_path(executor: &[u8]) -> Option<&[u8]> {
    let path = if let Some(pod) = executor.strip_prefix(b"instance-") {
        split_at_last(pod, b".")?.0
    } else if let Some((path, _)) = split_at_last(executor, b".instance-") {
        path
    } else {
        split_at_last(executor, b".")?.0
    };
    is_path(path).then_some(path)
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
        let name = super::name(executor.as_bytes(), &Told::default());
        let is_task = task(executor.as_bytes()) == executor.as_bytes();
        (String::from_utf8(name).expect("text"), is_task)
    }

    fn told(executor: &str, told: Told<'_>) -> String {
        String::from_utf8(super::name(executor.as_bytes(), &told)).expect("text")
    }

    #[test]
    fn a_known_framework_says_whose_ids_these_are() {
        let named = |framework_name| Told { framework_name, ..Told::default() };
        assert_eq!(told("etl #7", named("etl-pipeline")), "etl-pipeline");
        assert_eq!(told("shop_x.instance-1._app.1", named("marathon")), "/shop/x");
        assert_eq!(told("instance-shop_x.1", named("Marathon-2")), "/shop/x");
        assert_eq!(told("shop_x.1", named("marathon")), "/shop/x");
        assert_eq!(told("shop_x.1", named("other")), "other");
        assert_eq!(told("no path", named("marathon")), "marathon");
        assert_eq!(told(&format!("shop_x.{UUID}"), named("renamed")), "/shop/x");
        let principal = Told { principal: "marathon", ..named("renamed") };
        assert_eq!(told("shop_x.1", principal), "/shop/x");
    }

    #[test]
    fn aurora_says_role_environment_and_job() {
        let aurora = Told { framework_name: "Aurora", ..Told::default() };
        let id = format!("thermos-www-data-prod-hello-0-{UUID}");
        let source = Told { source: "www-data.prod.hello.0", ..aurora };
        assert_eq!(told(&id, source), "www-data/prod/hello");
        let task = Told { task_name: "www-data/prod/hello", ..aurora };
        assert_eq!(told(&id, task), "www-data/prod/hello");
        assert_eq!(told(&id, aurora), "www-data-prod-hello");
        assert_eq!(told("thermos-x", Told { source: "a..c.0", ..aurora }), "Aurora");
        assert_eq!(told("other", source), "Aurora");
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
