//! One state change of a task, whoever told it.

use super::facts::{TEXT_BYTES_MAX, cut};

/// The longest message that is kept, in bytes.
pub(super) const MESSAGE_BYTES_MAX: usize = 4096;

/// A task came into a state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Status {
    pub task: String,
    pub task_name: String,
    /// Its container below the run's; empty for the run's own.
    pub nested: String,
    /// Such as `TASK_FAILED`.
    pub state: String,
    /// Nanoseconds since the epoch.
    pub time: i64,
    pub healthy: Option<bool>,
    /// Such as `REASON_CONTAINER_LIMITATION_MEMORY`.
    pub reason: String,
    /// Such as `SOURCE_EXECUTOR`.
    pub source: String,
    pub message: String,
}

impl Status {
    /// With texts as they are written: what tells changes apart is the same when it is read back.
    pub(super) fn limited(mut self) -> Self {
        for text in [
            &mut self.task,
            &mut self.task_name,
            &mut self.state,
            &mut self.reason,
            &mut self.source,
        ] {
            text.truncate(cut(text, TEXT_BYTES_MAX).len());
        }
        self.message.truncate(cut(&self.message, MESSAGE_BYTES_MAX).len());
        self
    }

    /// About what it takes, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let texts = [
            &self.task,
            &self.task_name,
            &self.nested,
            &self.state,
            &self.reason,
            &self.source,
            &self.message,
        ];
        size_of::<Self>() + texts.into_iter().map(String::len).sum::<usize>()
    }

    /// Whether both tell of the same change: the agent's answer and its file round times alike.
    pub(super) fn is_same(&self, other: &Status) -> bool {
        let key = |status: &Status| status.time / 1_000_000;
        self.task == other.task && self.state == other.state && key(self) == key(other)
    }

    /// Takes over what the other tells and this one does not.
    pub(super) fn complete(&mut self, other: &Status) {
        for (own, others) in [
            (&mut self.task_name, &other.task_name),
            (&mut self.nested, &other.nested),
            (&mut self.reason, &other.reason),
            (&mut self.source, &other.source),
            (&mut self.message, &other.message),
        ] {
            if own.is_empty() {
                others.clone_into(own);
            }
        }
        self.healthy = self.healthy.or(other.healthy);
    }

    /// Whether no other state follows.
    pub(super) fn is_terminal(&self) -> bool {
        matches!(
            self.state.as_str(),
            "TASK_FINISHED"
                | "TASK_FAILED"
                | "TASK_KILLED"
                | "TASK_LOST"
                | "TASK_ERROR"
                | "TASK_DROPPED"
                | "TASK_GONE"
                | "TASK_GONE_BY_OPERATOR"
        )
    }

    /// The level of its line.
    pub(super) fn level(&self) -> &'static str {
        match self.state.as_str() {
            "TASK_FAILED"
            | "TASK_LOST"
            | "TASK_ERROR"
            | "TASK_DROPPED"
            | "TASK_GONE"
            | "TASK_GONE_BY_OPERATOR"
            | "TASK_UNREACHABLE" => "error",
            "TASK_KILLED" | "TASK_KILLING" => "warn",
            _ if self.healthy == Some(false) => "warn",
            _ => "info",
        }
    }

    /// The exit status, if the message tells it: executors write `Command exited with status 3`.
    pub(super) fn exit_status(&self) -> Option<u32> {
        let (_, rest) = self.message.split_once("exited with status ")?;
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        rest[..digits].parse().ok()
    }

    /// The signal, if the message tells it: `Command terminated with signal Killed`.
    pub(super) fn signal(&self) -> Option<&str> {
        let (_, rest) = self.message.split_once("terminated with signal ")?;
        let end = rest.find(['(', ';', '\n']).unwrap_or(rest.len());
        Some(rest[..end].trim()).filter(|signal| !signal.is_empty())
    }
}

/// Nanoseconds of a time in seconds, to the microsecond, which is what a double tells.
pub(super) fn nanos(seconds: f64) -> i64 {
    // Casts of floats saturate.
    ((seconds * 1e6).round() as i64).saturating_mul(1000)
}

/// The name of a task's state on the wire.
pub(super) fn state_name(number: i32) -> String {
    let known = [
        "STARTING",
        "RUNNING",
        "FINISHED",
        "FAILED",
        "KILLED",
        "LOST",
        "STAGING",
        "ERROR",
        "KILLING",
        "DROPPED",
        "UNREACHABLE",
        "GONE",
        "GONE_BY_OPERATOR",
        "UNKNOWN",
    ];
    named("TASK", &known, number)
}

/// The name of a status' source on the wire.
pub(super) fn source_name(number: i32) -> String {
    named("SOURCE", &["MASTER", "SLAVE", "EXECUTOR"], number)
}

/// The name of a status' reason on the wire.
pub(super) fn reason_name(number: i32) -> String {
    let known = [
        "COMMAND_EXECUTOR_FAILED",
        "EXECUTOR_TERMINATED",
        "EXECUTOR_UNREGISTERED",
        "FRAMEWORK_REMOVED",
        "GC_ERROR",
        "INVALID_FRAMEWORKID",
        "INVALID_OFFERS",
        "MASTER_DISCONNECTED",
        "CONTAINER_LIMITATION_MEMORY",
        "RECONCILIATION",
        "SLAVE_DISCONNECTED",
        "SLAVE_REMOVED",
        "SLAVE_RESTARTED",
        "SLAVE_UNKNOWN",
        "TASK_INVALID",
        "TASK_UNAUTHORIZED",
        "TASK_UNKNOWN",
        "CONTAINER_PREEMPTED",
        "RESOURCES_UNKNOWN",
        "CONTAINER_LIMITATION",
        "CONTAINER_LIMITATION_DISK",
        "CONTAINER_LAUNCH_FAILED",
        "CONTAINER_UPDATE_FAILED",
        "EXECUTOR_REGISTRATION_TIMEOUT",
        "EXECUTOR_REREGISTRATION_TIMEOUT",
        "TASK_GROUP_INVALID",
        "TASK_GROUP_UNAUTHORIZED",
        "IO_SWITCHBOARD_EXITED",
        "TASK_CHECK_STATUS_UPDATED",
        "TASK_HEALTH_CHECK_STATUS_UPDATED",
        "TASK_KILLED_DURING_LAUNCH",
        "SLAVE_REMOVED_BY_OPERATOR",
        "SLAVE_REREGISTERED",
        "MAX_COMPLETION_TIME_REACHED",
        "SLAVE_DRAINING",
    ];
    named("REASON", &known, number)
}

/// A number that a newer Mesos made up stays a number.
fn named(kind: &str, known: &[&str], number: i32) -> String {
    match usize::try_from(number).ok().and_then(|number| known.get(number)) {
        Some(name) => format!("{kind}_{name}"),
        None => format!("{kind}_{number}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_the_wire_have_mesos_names() {
        assert_eq!(state_name(3), "TASK_FAILED");
        assert_eq!(state_name(12), "TASK_GONE_BY_OPERATOR");
        assert_eq!(reason_name(8), "REASON_CONTAINER_LIMITATION_MEMORY");
        assert_eq!(reason_name(21), "REASON_CONTAINER_LAUNCH_FAILED");
        assert_eq!(reason_name(29), "REASON_TASK_HEALTH_CHECK_STATUS_UPDATED");
        assert_eq!(source_name(2), "SOURCE_EXECUTOR");
        assert_eq!((state_name(-1), reason_name(99)), ("TASK_-1".into(), "REASON_99".into()));
    }

    #[test]
    fn messages_tell_how_the_command_ended() {
        let with = |message: &str| Status { message: message.into(), ..Status::default() };
        assert_eq!(with("Command exited with status 137").exit_status(), Some(137));
        assert_eq!(with("Container exited with status 1; see logs").exit_status(), Some(1));
        assert_eq!(with("exited with status 99999999999999").exit_status(), None);
        assert_eq!(with("Command terminated with signal Killed").signal(), Some("Killed"));
        assert_eq!(
            with("Command terminated with signal Segmentation fault (core dumped)").signal(),
            Some("Segmentation fault")
        );
        assert_eq!(with("terminated with signal ").signal(), None);
    }

    #[test]
    fn texts_of_any_length_take_so_much_and_no_more() {
        let long = "é".repeat(100_000);
        let status = Status { message: long.clone(), reason: long, ..Status::default() }.limited();
        assert_eq!((status.message.len(), status.reason.len()), (4096, 1024));
        assert_eq!(status.bytes(), size_of::<Status>() + 4096 + 1024);
    }

    #[test]
    fn times_are_kept_to_the_microsecond() {
        assert_eq!(nanos(1_787_216_400.123_456), 1_787_216_400_123_456_000);
        assert_eq!(nanos(f64::NAN), 0);
        assert_eq!(nanos(f64::INFINITY), i64::MAX);
    }
}
