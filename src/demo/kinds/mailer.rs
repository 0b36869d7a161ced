//! A Python worker: all on standard error, as Python's logging does, with a traceback now and then.

use std::io;

use crate::demo::container::Console;
use crate::demo::stamp::Stamp;

pub(super) fn start(console: &mut Console) -> io::Result<()> {
    line(console, "INFO", "worker ready, queue mail at queue.example.test:5672")
}

pub(super) fn event(console: &mut Console) -> io::Result<()> {
    let message = console.rng.u32(10_000..99_999);
    line(console, "INFO", &format!("message {message}: sent in {} ms", message % 700))?;
    if console.once_in(25) {
        return traceback(console, message);
    }
    Ok(())
}

fn traceback(console: &mut Console, message: u32) -> io::Result<()> {
    line(console, "ERROR", &format!("message {message}: not sent"))?;
    console.err(
        "Traceback (most recent call last):\n  \
           File \"/app/mailer/worker.py\", line 88, in run\n    \
             self.transport.send(message, timeout=5)\n  \
           File \"/app/mailer/transport.py\", line 31, in send\n    \
             with smtplib.SMTP(self.host, 25, timeout=timeout) as smtp:\n\
         TimeoutError: timeout: mail.example.com did not answer in 5 s",
    )
}

pub(super) fn stop(console: &mut Console) -> io::Result<()> {
    line(console, "INFO", "SIGTERM received, shut down")
}

fn line(console: &mut Console, level: &str, text: &str) -> io::Result<()> {
    console.err(&format!("{} {level} mailer.worker: {text}", Stamp::now().iso()))
}
