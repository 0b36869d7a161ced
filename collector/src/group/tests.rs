//! Traces of many languages, each one entry, beside ordinary lines, which are not.

use proptest::prelude::*;

use super::*;
use crate::parse;

/// The entries that a stream's lines make, however often its state is kept and restored.
fn entries(text: &str, restart_every: usize) -> Vec<String> {
    let mut groups = Groups::default();
    let mut entries: Vec<String> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if number % restart_every == restart_every - 1 {
            groups = Groups::restore(groups.code(), !entries.is_empty());
        }
        let bytes = line.as_bytes();
        match entries.last_mut() {
            Some(entry) if groups.continues(Side::Out, bytes, &parse::head(bytes)) => {
                entry.push('\n');
                entry.push_str(line);
            }
            Some(_) => entries.push(line.to_owned()),
            None => {
                assert!(!groups.continues(Side::Out, bytes, &parse::head(bytes)));
                entries.push(line.to_owned());
            }
        }
    }
    entries
}

/// Asserts that each text is one entry, with ordinary lines around them.
#[track_caller]
fn check(expected: &[&str]) {
    let mut all = vec!["starting"];
    for entry in expected {
        all.extend([*entry, "an ordinary line"]);
    }
    for restart_every in [usize::MAX, 1, 2] {
        assert_eq!(entries(&all.join("\n"), restart_every), all);
    }
}

#[test]
fn java() {
    check(&[
        "Exception in thread \"main\" java.lang.IllegalStateException: no pool\n\
         \tat com.example.Shop.open(Shop.java:42)\n\
         \tat java.base/java.lang.Thread.run(Thread.java:833)\n\
         \tSuppressed: java.io.IOException: closed\n\
         \t\tat com.example.Pool.close(Pool.java:7)\n\
         \t\t... 2 more\n\
         Caused by: java.net.ConnectException: refused\n\
         \tat com.example.Net.dial(Net.java:3)\n\
         \t... 12 more",
        "2026-08-20 10:00:00,123 ERROR [main] com.example.Shop - cannot sell\n\
         java.lang.RuntimeException: no stock\n\
         \tat com.example.Shop.sell(Shop.java:9) ~[shop.jar:1.0]\n\
         \t... 3 common frames omitted",
        "2026-08-20 10:00:00,124 INFO a message\n\
         \tat com.example.Shop.sell(Shop.java:9)",
    ]);
}

#[test]
fn python() {
    check(&[
        "Traceback (most recent call last):\n  File \"/app/a.py\", line 3, in <module>\n    main()\n    ~~~~^^\n  \
         [Previous line repeated 995 more times]\nValueError: bad value",
        "2026-08-20 10:00:00,123 ERROR root: failed\nTraceback (most recent call last):\n  \
         File \"a.py\", line 1, in f\n    x\nKeyError: 'x'\n\n\
         During handling of the above exception, another exception occurred:\n\n\
         Traceback (most recent call last):\n  File \"a.py\", line 3, in g\n    y\nsocket.timeout: timed out",
        "ERROR:root:failed\nTraceback (most recent call last):\n  File \"a.py\", line 1, in f\nKeyboardInterrupt",
        "Traceback (most recent call last):\n  File \"a.py\", line 1, in f\nOSError: a\n\n\
         The above exception was the direct cause of the following exception:\n\n\
         Traceback (most recent call last):\n  File \"a.py\", line 2, in g\napp.errors.Broken: b",
        "  + Exception Group Traceback (most recent call last):\n  |   File \"a.py\", line 1, in f\n  \
         | ExceptionGroup: two (2 sub-exceptions)\n  +-+---------------- 1 ----------------\n    | ValueError: 1\n    \
         +------------------------------------",
    ]);
}

#[test]
fn go() {
    check(&[
        "panic: runtime error: index out of range [5] with length 3\n\n\
         goroutine 1 [running]:\nmain.(*Server).handle(0xc000012345, {0x1, 0x2})\n\
         \t/app/main.go:12 +0x1d\nmain.main()\n\t/app/main.go:5 +0x20\nexit status 2",
        "panic: first [recovered]\n\tpanic: second\n[signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x45]\n\n\
         goroutine 19 [running]:\npanic({0x45e0a0?, 0x48d0d8?})\n\t/usr/local/go/src/runtime/panic.go:884 +0x213\n\
         created by main.start in goroutine 1\n\t/app/main.go:5 +0x20\n\n\
         goroutine 2 [chan receive]:\nmain.wait(...)\n\t/app/w.go:1",
        "fatal error: all goroutines are asleep - deadlock!\n\ngoroutine 1 [chan receive]:\nmain.main()\n\t/app/x.go:4 +0x28",
        "2026/08/20 10:00:00 http: panic serving 10.0.0.1:5: oh\ngoroutine 7 [running]:\n\
         net/http.(*conn).serve.func1()\n\t/usr/local/go/src/net/http/server.go:1868 +0xb9",
    ]);
}

#[test]
fn rust() {
    check(&[
        "thread 'main' panicked at src/main.rs:2:5:\nno such thing\n\
         note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace",
        "thread 'tokio-1' (4711) panicked at src/main.rs:2:5:\nassertion `left == right` failed\n  left: 1\n right: 2\n\
         stack backtrace:\n   0: rust_begin_unwind\n             at /rustc/abc/library/std/src/panicking.rs:645:5\n   \
         1: core::panicking::panic_fmt\nnote: Some details are omitted, run with `RUST_BACKTRACE=full` for more.",
        "thread 'main' panicked at 'no', src/main.rs:2:5\n\
         note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace",
    ]);
}

#[test]
fn node_ruby_and_dotnet() {
    check(&[
        "TypeError: Cannot read properties of undefined (reading 'x')\n    at open (/app/index.js:3:9)\n    \
         at Object.<anonymous> (/app/index.js:9:1)\n    at node:internal/main/run_main_module:23:47 {\n  \
         code: 'ENOENT',\n  [cause]: Error: inner\n      at /app/b.js:1:1\n}",
        "/app/index.js:3\n    throw new Error('no');\n    ^\n\nError: no\n    at Object.<anonymous> (/app/index.js:3:11)\n    \
         at async Promise.all (index 0)",
        "app.rb:2:in `open': no file (RuntimeError)\n\tfrom app.rb:5:in `run'\n\tfrom app.rb:9:in `<main>'",
        "Traceback (most recent call last):\n\t1: from app.rb:5:in `<main>'\napp.rb:2:in `open': no file (RuntimeError)",
        "Unhandled exception. System.AggregateException: One or more errors occurred.\n \
         ---> System.InvalidOperationException: no\n   at Shop.Cart.Pay(Int32 n) in /src/Cart.cs:line 7\n   \
         --- End of inner exception stack trace ---\n   at Shop.Program.Main()\n\
         --- End of stack trace from previous location ---\n   at Shop.Program.<Main>(String[] args)",
    ]);
}

#[test]
fn ordinary_lines_are_entries_of_their_own() {
    let lines = [
        "name    count",
        "  a         1",
        "\tindented at home",
        "   at noon we stop",
        "   at first",
        "... and more",
        "{",
        "  \"a\": 1",
        "}",
        "",
        "from here on",
        "  from there",
        "task done (ok)",
        "SIGTERM received",
        "    ",
        "2026-08-20 10:00:00 INFO fine",
        "java.lang.Thread started",
        "2026-08-20 10:00:00 ERROR bad",
        "and then",
        "pancake: good",
        "Error handling is on",
        "/var/log/x.log:12",
        "{\"level\":\"error\",\"msg\":\"x\"}",
        "Exception: the rule",
        "Caused",
        "thread 'a' sleeps",
        "goroutines: 12",
        "--- a/file",
        "+++ b/file",
    ];
    assert_eq!(entries(&lines.join("\n"), usize::MAX), lines);
}

#[test]
fn a_line_with_a_time_always_begins_an_entry() {
    let trace = "Traceback (most recent call last):\n  File \"a.py\", line 1, in f";
    let text = format!("{trace}\n2026-08-20 10:00:00 INFO x\n  File \"b.py\", line 1, in f");
    assert_eq!(
        entries(&text, usize::MAX),
        [trace, "2026-08-20 10:00:00 INFO x", "  File \"b.py\", line 1, in f"]
    );
}

#[test]
fn an_entry_has_a_limit() {
    let text = format!("x.Exception: y\n{}", "\tat a.b.C.d(C.java:1)\n".repeat(3000));
    let lines: Vec<usize> =
        entries(&text, usize::MAX).iter().map(|entry| entry.lines().count()).collect();
    assert_eq!(lines, [1024, 1024, 953]);
    let frame = format!("\tat a.b.C.d({}C.java:1)\n", "x".repeat(1000));
    let text = format!("x.Exception: y\n{}", frame.repeat(600));
    let bytes: Vec<usize> =
        entries(&text, usize::MAX).iter().map(|entry| entry.len() + 1).collect();
    assert!(bytes.iter().all(|bytes| *bytes <= ENTRY_BYTES_MAX), "{bytes:?}");
    assert!(bytes[0] > ENTRY_BYTES_MAX - frame.len());
}

#[test]
fn the_other_side_breaks_an_entry_and_the_trace_goes_on_behind_it() {
    let mut groups = Groups::default();
    let mut take =
        |side, line: &str| groups.continues(side, line.as_bytes(), &parse::head(line.as_bytes()));
    assert!(!take(Side::Err, "Traceback (most recent call last):"));
    assert!(take(Side::Err, "  File \"a.py\", line 1"));
    assert!(!take(Side::Out, "GET / 200"));
    assert!(!take(Side::Err, "    x = 1"));
    assert!(take(Side::Err, "ValueError: no"));
    assert!(!take(Side::Out, "\tat a.b.C.d(C.java:1)"));
}

#[test]
fn switched_off_each_line_is_an_entry() {
    let mut groups = Groups::default().off();
    for line in
        ["Traceback (most recent call last):", "  File \"a.py\", line 1", "\tat a.b(C.java:1)"]
    {
        assert!(!groups.continues(Side::Out, line.as_bytes(), &parse::head(line.as_bytes())));
    }
}

#[test]
fn every_code_is_restored() {
    for code in 0..=u8::MAX {
        let restored = Groups::restore(code, true);
        if code < SKIPPING + 3 {
            assert_eq!(restored.code(), code);
        }
        assert_eq!(Groups::restore(restored.code(), true), restored);
    }
}

proptest! {
    #[test]
    fn any_lines_are_taken(lines in prop::collection::vec(prop_oneof![
        Just("Traceback (most recent call last):".to_owned()), Just("\tat ".to_owned()), Just("  ".to_owned()),
        Just("goroutine 1 [".to_owned()), Just("panic: ".to_owned()), Just("thread '' panicked at ".to_owned()),
        Just("/x.js:1".to_owned()), Just("... 1".to_owned()), Just("Caused by:".to_owned()), Just(String::new()),
        Just("x.rb:1:in ".to_owned()), Just("(".to_owned()), "[ -~]{0,12}", "\\PC{0,6}"], 0..40)) {
        let text = lines.join("\n");
        let whole = entries(&text, usize::MAX);
        // A restart changes nothing.
        prop_assert_eq!(&entries(&text, 1), &whole);
        prop_assert_eq!(whole.join("\n"), text.lines().collect::<Vec<_>>().join("\n"));
    }
}
