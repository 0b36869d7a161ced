//! What must hold, and whether it did.

use std::process::ExitCode;

/// Lines that are printed at the end.
pub(crate) struct Verdicts {
    /// Whether the run was large enough to judge.
    binding: bool,
    lines: Vec<(bool, String)>,
}

impl Verdicts {
    pub(crate) fn new(binding: bool) -> Self {
        Self { binding, lines: Vec::new() }
    }

    pub(crate) fn judge(&mut self, what: &str, found: f64, ok: bool, limit: &str) {
        self.lines.push((ok, format!("{what}: {found:.3} ({limit})")));
    }

    /// Prints them; a failure if the run was large enough and one does not hold.
    pub(crate) fn print(self) -> ExitCode {
        println!();
        for (ok, line) in &self.lines {
            println!("{} {line}", if *ok { "PASS" } else { "FAIL" });
        }
        if !self.binding {
            println!("too small to judge: the verdicts above bind from the default size on");
            return ExitCode::SUCCESS;
        }
        let all = self.lines.iter().all(|(ok, _)| *ok);
        if all { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}
