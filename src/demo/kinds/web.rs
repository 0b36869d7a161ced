//! A web server: an access log on standard output, its own complaints on standard error.

use std::io;

use crate::demo::container::Console;
use crate::demo::stamp::Stamp;

const PAGES: [&str; 8] = [
    "/",
    "/products",
    "/products/4711",
    "/cart",
    "/static/app.css",
    "/static/app.js",
    "/search?q=lamp",
    "/healthz",
];
const BROWSERS: [&str; 3] = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/17.5 Safari/605.1.15",
    "curl/8.5.0",
];

pub(super) fn start(console: &mut Console) -> io::Result<()> {
    let time = Stamp::now().iso();
    console.err(&format!("{time} [notice] 1#1: start worker processes, configuration test is ok"))
}

pub(super) fn event(console: &mut Console) -> io::Result<()> {
    let (page, request) = (console.pick(&PAGES), console.request_id());
    let status = match console.rng.u32(..200) {
        0 => 502,
        1..6 => 404,
        6..20 => 304,
        _ => 200,
    };
    let milliseconds = console.rng.u32(1..80);
    access(console, ("GET", page, status), milliseconds, &request)
}

pub(super) fn traced(console: &mut Console, request: &str) -> io::Result<()> {
    access(console, ("POST", "/api/orders", 504), 2003, request)?;
    let time = Stamp::now().iso();
    console.err(&format!(
        "{time} [error] 7#7: *{} upstream timeout (110: Connection timed out) while reading response \
         header from upstream, server: shop.example.com, upstream: \"http://10.20.0.12:31002/orders\", \
         request_id: {request}",
        console.events
    ))
}

pub(super) fn stop(console: &mut Console) -> io::Result<()> {
    let time = Stamp::now().iso();
    console.err(&format!("{time} [notice] 1#1: signal 15 (SIGTERM) received, exiting"))
}

fn access(
    console: &mut Console,
    (method, page, status): (&str, &str, u32),
    milliseconds: u32,
    request: &str,
) -> io::Result<()> {
    let time = Stamp::now().access();
    let (client, bytes) = (console.rng.u8(2..250), console.rng.u32(150..40_000));
    let browser = console.pick(&BROWSERS);
    let (seconds, rest) = (milliseconds / 1000, milliseconds % 1000);
    console.out(&format!(
        "192.0.2.{client} - - [{time}] \"{method} {page} HTTP/1.1\" {status} {bytes} \
         \"https://shop.example.com/\" \"{browser}\" rt={seconds}.{rest:03} request_id={request}"
    ))
}
