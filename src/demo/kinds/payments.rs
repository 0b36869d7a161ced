//! A Java service: its log on standard output, stack traces on standard error.

use std::io;

use crate::demo::container::Console;
use crate::demo::stamp::Stamp;

pub(super) fn start(console: &mut Console) -> io::Result<()> {
    let started = line("INFO", "main", "PaymentsApplication", "Started in 3.871 seconds");
    console.out(&started)
}

pub(super) fn event(console: &mut Console) -> io::Result<()> {
    let thread = thread(console);
    let text = if console.once_in(90) {
        let waited = console.rng.u32(800..1900);
        let text = format!("connection pool is empty, waited {waited} ms");
        line("WARN", &thread, "ConnectionPool", &text)
    } else {
        let (request, cents) = (console.request_id(), console.rng.u32(100..20_000));
        let text = format!(
            "[{request}] charged {}.{:02} EUR in {} ms",
            cents / 100,
            cents % 100,
            console.rng.u32(20..300)
        );
        line("INFO", &thread, "PaymentService", &text)
    };
    console.out(&text)
}

pub(super) fn traced(console: &mut Console, request: &str) -> io::Result<()> {
    let thread = thread(console);
    let text = format!("[{request}] gateway does not answer, trying again");
    let warning = line("WARN", &thread, "GatewayClient", &text);
    console.out(&warning)?;
    let text = format!("[{request}] charge failed: timeout after 2000 ms, connection refused");
    let error = line("ERROR", &thread, "PaymentService", &text);
    let at = console.rng.u32(60..90);
    console.err(&format!(
        "{error}\n\
         test.example.payments.GatewayException: no answer from gateway.example.test:8443\n\
         \tat test.example.payments.GatewayClient.charge(GatewayClient.java:{at})\n\
         \tat test.example.payments.PaymentService.pay(PaymentService.java:41)\n\
         \tat test.example.payments.PaymentController.post(PaymentController.java:27)\n\
         \tat java.base/java.lang.Thread.run(Thread.java:1583)\n\
         Caused by: java.net.ConnectException: Connection refused\n\
         \tat java.base/sun.nio.ch.Net.pollConnect(Native Method)\n\
         \tat java.base/java.net.Socket.connect(Socket.java:752)\n\
         \t... 4 more"
    ))
}

pub(super) fn stop(console: &mut Console) -> io::Result<()> {
    let text = "SIGTERM received, shut down";
    let last = line("INFO", "SpringApplicationShutdownHook", "PaymentsApplication", text);
    console.out(&last)
}

fn thread(console: &mut Console) -> String {
    format!("nio-8080-exec-{}", console.rng.u32(1..9))
}

fn line(level: &str, thread: &str, class: &str, text: &str) -> String {
    let time = Stamp::now().iso();
    format!("{time} {level:>5} 1 --- [{thread}] test.example.payments.{class} : {text}")
}
