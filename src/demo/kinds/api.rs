//! An API: one JSON object a line on standard output.

use std::io;

use crate::demo::container::Console;
use crate::demo::stamp::Stamp;

const ROUTES: [&str; 5] = ["/orders", "/orders/{id}", "/products", "/stock", "/customers/{id}"];

pub(super) fn start(console: &mut Console) -> io::Result<()> {
    line(console, "info", r#""msg":"listening","port":31002,"version":"4.2.0""#)
}

pub(super) fn event(console: &mut Console) -> io::Result<()> {
    let (route, request) = (console.pick(&ROUTES), console.request_id());
    let milliseconds = console.rng.u32(2..60);
    if console.once_in(150) {
        let fields = format!(
            r#""msg":"stock service: connection refused, serving cached values","upstream":"stock.example.test:8081","request_id":"{request}""#
        );
        return line(console, "warn", &fields);
    }
    let status = if console.once_in(60) { 422 } else { 200 };
    let fields = format!(
        r#""msg":"request","route":"{route}","status":{status},"duration_ms":{milliseconds},"request_id":"{request}""#
    );
    line(console, "info", &fields)
}

pub(super) fn traced(console: &mut Console, request: &str) -> io::Result<()> {
    let order = console.rng.u32(100_000..999_999);
    let fields =
        format!(r#""msg":"order received","order":{order},"items":3,"request_id":"{request}""#);
    line(console, "info", &fields)?;
    let fields = format!(
        r#""msg":"payments: timeout after 2000 ms","order":{order},"attempt":3,"upstream":"payments.example.test:31003","request_id":"{request}""#
    );
    line(console, "error", &fields)
}

pub(super) fn stop(console: &mut Console) -> io::Result<()> {
    line(console, "info", r#""msg":"SIGTERM received, shut down""#)
}

fn line(console: &mut Console, level: &str, fields: &str) -> io::Result<()> {
    let time = Stamp::now().iso();
    console.out(&format!(r#"{{"time":"{time}","level":"{level}",{fields}}}"#))
}
