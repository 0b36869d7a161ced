//! How `journalctl` is asked: for what is there, of all boots of the machine, and for what comes.

use std::path::PathBuf;
use std::process::Command;

/// The fields that are asked for; those of an entry's address come anyway.
const FIELDS: &str = "_UID,MESSAGE,FRAMEWORK_ID,AGENT_ID,EXECUTOR_ID,CONTAINER_ID,STREAM";

/// Where the output of containers is whose logger writes to journald.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalSource {
    /// The program that tells it: `journalctl`.
    pub program: PathBuf,
    /// The directory with the journal's files; `None`: this machine's own journal.
    pub directory: Option<PathBuf>,
}

/// One run of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Run {
    /// What is there, and then the program ends.
    Backlog,
    /// What is there and what comes.
    Follow,
}

impl JournalSource {
    /// The runs that leave nothing out. Since systemd 250 `--follow` shows one boot only, so that what
    /// was written before the machine's last start is asked for before. Files of a directory can be
    /// followed over all boots; of the machine's own journal that would also show other machines'.
    pub(super) fn runs(&self) -> &'static [Run] {
        if self.directory.is_some() { &[Run::Follow] } else { &[Run::Backlog, Run::Follow] }
    }

    /// The command of a run that begins with the entry of `cursor`, if that is still there, else with
    /// the next one; without a cursor with the first. What is asked for behind an entry that is gone
    /// (`--after-cursor`) would leave out the next one as well.
    pub(super) fn command(&self, run: Run, cursor: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["--output=export", "--no-tail", "--no-pager", "--quiet"]);
        command.arg(format!("--output-fields={FIELDS}"));
        if let Some(directory) = &self.directory {
            command.arg("--merge").arg("--directory").arg(directory);
        }
        if run == Run::Follow {
            command.arg("--follow");
        }
        if !cursor.is_empty() {
            command.arg(format!("--cursor={cursor}"));
        }
        command.args(["_UID=0", "STREAM=STDOUT", "STREAM=STDERR"]);
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(source: &JournalSource, run: Run) -> Vec<String> {
        let command = source.command(run, "s=1;i=2");
        command.get_args().map(|arg| arg.to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn no_boot_is_left_out() {
        let own = JournalSource { program: "journalctl".into(), directory: None };
        assert_eq!(own.runs(), [Run::Backlog, Run::Follow]);
        let has = |args: &[String], name: &str| args.iter().any(|arg| arg == name);
        assert!(!has(&args(&own, Run::Backlog), "--follow"));
        assert!(has(&args(&own, Run::Follow), "--follow"));
        assert!(!has(&args(&own, Run::Follow), "--merge"), "other machines' are not ours");
        let mounted = JournalSource { directory: Some("/host/journal".into()), ..own };
        assert_eq!(mounted.runs(), [Run::Follow]);
        let args = args(&mounted, Run::Follow);
        assert!(has(&args, "--merge") && has(&args, "/host/journal") && has(&args, "--follow"));
        assert!(has(&args, "--cursor=s=1;i=2"));
    }
}
