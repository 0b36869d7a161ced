//! Lines of logs on a terminal: colours, matches, and nothing in them that the terminal obeys.

use std::borrow::Cow;
use std::ffi::OsString;
use std::io::{self, Write};
use std::ops::Range;

use anstyle::{AnsiColor, Effects, Style};
use clap::ValueEnum;
use regex::bytes::Regex;

use crate::lang::{Expr, LineOp, PlainOptions, Stage, compile, pattern};

/// When colours are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Color {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Also into files and pipes
    Always,
    Never,
}

impl Color {
    /// Whether to use colours; `variable` reads the environment.
    fn is_on(self, terminal: bool, variable: impl Fn(&str) -> Option<OsString>) -> bool {
        match self {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => {
                let no_color = variable("NO_COLOR").is_some_and(|value| !value.is_empty());
                let dumb = variable("TERM").is_some_and(|value| value == "dumb");
                terminal && !no_color && !dumb
            }
        }
    }
}

/// What the default output shows of an entry.
pub(super) struct Shown<'e> {
    /// RFC 3339.
    pub(super) time: &'e str,
    pub(super) app: &'e str,
    pub(super) stream: &'e str,
    /// Empty if there is none.
    pub(super) level: &'e str,
    pub(super) line: &'e str,
}

/// How entries look.
pub(super) struct Look {
    color: bool,
    /// Whoever shows the output obeys escape sequences.
    obeyed: bool,
    /// What of the lines is highlighted.
    marks: Vec<Regex>,
}

impl Look {
    /// `query` is what was searched for: what it wants lines to contain is highlighted.
    pub(super) fn new(color: Color, terminal: bool, query: &str, options: PlainOptions) -> Self {
        let color = color.is_on(terminal, |name| std::env::var_os(name));
        let marks = if color { marks(query, options) } else { Vec::new() };
        Self { color, obeyed: terminal || color, marks }
    }

    /// Writes one entry and a line end.
    pub(super) fn write(&self, out: &mut dyn Write, shown: &Shown<'_>) -> io::Result<()> {
        // Milliseconds are enough to read.
        let time = format!("{}Z", shown.time.get(..23).unwrap_or(shown.time));
        self.write_part(out, Style::new().effects(Effects::DIMMED), &time)?;
        write!(out, " ")?;
        self.write_part(out, color_of(shown.app), shown.app)?;
        write!(out, " ")?;
        self.write_part(out, Style::new(), shown.stream)?;
        write!(out, " ")?;
        self.write_line(out, level_style(shown.level), shown.line)?;
        writeln!(out)
    }

    /// A line of JSON that means the same, without anything that a terminal would obey: JSON escapes
    /// only part of the control characters.
    pub(super) fn json_line<'l>(&self, line: &'l [u8]) -> Cow<'l, [u8]> {
        let text = String::from_utf8_lossy(line);
        let obeyed = |character: &char| character.is_control() && !"\r\n\t".contains(*character);
        if !self.obeyed || !text.chars().any(|character| obeyed(&character)) {
            return line.into();
        }
        let escaped = |character: char| match character {
            character if obeyed(&character) => format!("\\u{:04x}", character as u32),
            character => character.to_string(),
        };
        text.chars().map(escaped).collect::<String>().into_bytes().into()
    }

    fn write_line(&self, out: &mut dyn Write, style: Style, line: &str) -> io::Result<()> {
        let mut at = 0;
        for Range { start, end } in self.ranges(line) {
            self.write_part(out, style, &line[at..start])?;
            self.write_part(
                out,
                style.effects(Effects::BOLD | Effects::UNDERLINE),
                &line[start..end],
            )?;
            at = end;
        }
        self.write_part(out, style, &line[at..])
    }

    fn write_part(&self, out: &mut dyn Write, style: Style, text: &str) -> io::Result<()> {
        let text = if self.obeyed { harmless(text) } else { text.into() };
        if !self.color || text.is_empty() || style.is_plain() {
            return out.write_all(text.as_bytes());
        }
        write!(out, "{style}{text}{style:#}")
    }

    /// What is highlighted: in order, apart from each other, and whole characters.
    fn ranges(&self, line: &str) -> Vec<Range<usize>> {
        let mut found: Vec<Range<usize>> = self
            .marks
            .iter()
            .flat_map(|mark| mark.find_iter(line.as_bytes()))
            .map(|m| m.range())
            .collect();
        found.sort_by_key(|range| range.start);
        let mut apart: Vec<Range<usize>> = Vec::new();
        for range in found {
            let range = whole_characters(line, range);
            match apart.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ if range.is_empty() => {}
                _ => apart.push(range),
            }
        }
        apart
    }
}

fn whole_characters(line: &str, Range { mut start, mut end }: Range<usize>) -> Range<usize> {
    while !line.is_char_boundary(start) {
        start -= 1;
    }
    while !line.is_char_boundary(end) {
        end += 1;
    }
    start..end
}

/// What the query wants lines to contain. The server tells what is wrong with a query, so that here
/// nothing is highlighted then.
fn marks(query: &str, options: PlainOptions) -> Vec<Regex> {
    let Ok(Expr::Log(log)) = compile(query, options) else { return Vec::new() };
    let mut marks = Vec::new();
    for stage in &log.stages {
        let Stage::Line(filter) = stage else { continue };
        for text in &filter.alternatives {
            let regex = match (filter.op, std::str::from_utf8(text)) {
                (LineOp::Contains, Ok(text)) => Regex::new(&regex::escape(text)).ok(),
                (LineOp::Matches, Ok(_)) => pattern::unanchored(text).ok(),
                _ => None,
            };
            marks.extend(regex);
        }
    }
    marks
}

/// The same colour for the same app, always. Red and yellow are the levels'.
fn color_of(app: &str) -> Style {
    const COLORS: [AnsiColor; 8] = [
        AnsiColor::Cyan,
        AnsiColor::Green,
        AnsiColor::Magenta,
        AnsiColor::Blue,
        AnsiColor::BrightCyan,
        AnsiColor::BrightGreen,
        AnsiColor::BrightMagenta,
        AnsiColor::BrightBlue,
    ];
    let at = xxhash_rust::xxh3::xxh3_64(app.as_bytes()) % COLORS.len() as u64;
    COLORS[at as usize].on_default()
}

fn level_style(level: &str) -> Style {
    match level {
        "error" | "critical" | "fatal" => AnsiColor::Red.on_default(),
        "warn" => AnsiColor::Yellow.on_default(),
        _ => Style::new(),
    }
}

/// The text without anything that a terminal would obey: each control character becomes a sign that
/// can be seen. Tabs, line ends, and a carriage return before one stay.
pub(super) fn harmless(text: &str) -> Cow<'_, str> {
    if !text.chars().any(char::is_control) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        let before_end = matches!(rest.peek(), None | Some('\n'));
        out.push(match character {
            '\t' | '\n' => character,
            '\r' if before_end => character,
            '\0'..='\x1f' => char::from_u32(0x2400 + character as u32).unwrap_or(LOST),
            '\x7f' => '\u{2421}',
            '\u{80}'..='\u{9f}' => LOST,
            other => other,
        });
    }
    out.into()
}

const LOST: char = char::REPLACEMENT_CHARACTER;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown<'e>(level: &'e str, line: &'e str) -> Shown<'e> {
        let time = "2026-08-20T10:00:00.123456789Z";
        Shown { time, app: "web", stream: "stdout", level, line }
    }

    #[test]
    fn json_on_a_terminal_means_the_same_and_is_not_obeyed() {
        let line = "say \u{9b}2J\u{7f}\u{85}\u{a0}\u{e9}\u{1b}";
        let json = serde_json::to_string(line).unwrap() + "\n";
        let look = |terminal| Look::new(Color::Never, terminal, "", PlainOptions::default());
        assert_eq!(&*look(false).json_line(json.as_bytes()), json.as_bytes());
        let shown = String::from_utf8(look(true).json_line(json.as_bytes()).into_owned()).unwrap();
        assert_eq!(shown, "\"say \\u009b2J\\u007f\\u0085\u{a0}\u{e9}\\u001b\"\n");
        assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), line);
    }

    fn written(look: &Look, shown: &Shown<'_>) -> String {
        let mut out = Vec::new();
        look.write(&mut out, shown).expect("memory can be written");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn control_characters_are_seen_and_not_obeyed() {
        let line = "a\x1b]0;title\x07\x1b[2J\tb\rc\x7f\u{9b}31m\r";
        let terminal = Look { color: false, obeyed: true, marks: Vec::new() };
        let expected = "2026-08-20T10:00:00.123Z web stdout \
                        a␛]0;title␇␛[2J\tb␍c␡\u{fffd}31m\r\n";
        assert_eq!(written(&terminal, &shown("", line)), expected);
        let file = Look { color: false, obeyed: false, marks: Vec::new() };
        let untouched = format!("2026-08-20T10:00:00.123Z web stdout {line}\n");
        assert_eq!(written(&file, &shown("", line)), untouched);
        assert_eq!(harmless("one\r\ntwo\n"), "one\r\ntwo\n");
    }

    #[test]
    fn levels_and_matches_are_coloured() {
        let options = PlainOptions { ignore_case: true, invert: false };
        let look = Look { color: true, obeyed: true, marks: marks("timeout é -x", options) };
        let found = written(&look, &shown("error", "a Timeout é"));
        let (red, bold) = ("\x1b[31m", "\x1b[1m\x1b[4m\x1b[31m");
        let expected = format!("{red}a \x1b[0m{bold}Timeout\x1b[0m{red} \x1b[0m{bold}é\x1b[0m\n");
        assert!(found.ends_with(&expected), "{found:?}");
        assert!(found.starts_with("\x1b[2m2026-08-20T10:00:00.123Z\x1b[0m "), "{found:?}");
        let plain = written(&look, &shown("info", "nothing"));
        assert!(plain.ends_with(" stdout nothing\n"), "{plain:?}");
        assert!(marks(r#"{app="x"} != "no" |= "yes" or "also""#, options).len() == 2);
    }

    #[test]
    fn colours_are_for_terminals_unless_told() {
        let none = |_: &str| None;
        let no_color = |name: &str| (name == "NO_COLOR").then(|| OsString::from("1"));
        assert!(Color::Auto.is_on(true, none) && !Color::Auto.is_on(false, none));
        assert!(!Color::Auto.is_on(true, no_color));
        assert!(Color::Always.is_on(false, no_color) && !Color::Never.is_on(true, none));
    }

    proptest! {
        /// Whatever a line and a pattern are, the text is all there and nothing panics.
        #[test]
        fn marks_change_no_text(line in "\\PC{0,40}", pattern in "[a-zéß.]{1,3}") {
            let query = format!("{{a=\"b\"}} |~ \"{pattern}\"");
            let marks = marks(&query, PlainOptions::default());
            let look = Look { color: true, obeyed: true, marks };
            let found = written(&look, &shown("", &line));
            let bare = found.replace("\x1b[1m\x1b[4m", "").replace("\x1b[0m", "");
            prop_assert!(bare.ends_with(&format!(" stdout {line}\n")), "{bare:?}");
        }
    }
}
