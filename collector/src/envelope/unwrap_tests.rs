//! Windows of enveloped lines: parts, both sides, cut and unterminated lines, any bytes.

use proptest::prelude::*;
use sawlog_transport::LineFlags;

use super::Envelope;
use super::unwrap::{Ending, Item, Unwrapped};
use crate::group::Side;

const T: &str = "2026-08-20T10:00:00.000000001Z";

fn cri(lines: &[(&str, &str)]) -> String {
    lines.iter().map(|(tags, text)| format!("{T} {tags} {text}\n")).collect()
}

/// What a window gives: the bytes consumed, and the lines with their flags.
fn take(source: &str, ending: Ending) -> (usize, Vec<(String, u8)>, Unwrapped) {
    let mut unwrapped = Unwrapped::default();
    let consumed = unwrapped.take(Envelope::Cri, source.as_bytes(), 0, ending, &mut [false; 2]);
    let lines = lines_of(&unwrapped, consumed);
    (consumed, lines, unwrapped)
}

/// Checks that the items cover what was consumed, and gives the lines.
fn lines_of(unwrapped: &Unwrapped, consumed: usize) -> Vec<(String, u8)> {
    let covered: u32 = unwrapped.items.iter().map(|item| item.source_len).sum();
    assert_eq!(covered as usize, consumed);
    assert!(unwrapped.items.iter().all(|item| item.source_len > 0));
    let mut text = &unwrapped.text[..];
    let mut lines = Vec::new();
    for item in unwrapped.items.iter().filter(|item| !item.left_out) {
        let (line, rest) = text.split_at(item.text_len as usize);
        lines.push((String::from_utf8_lossy(line).into_owned(), item.flags));
        text = rest.strip_prefix(b"\n").expect("a terminator");
    }
    assert!(text.is_empty());
    lines
}

fn texts(lines: &[(String, u8)]) -> Vec<&str> {
    lines.iter().map(|(text, _)| text.as_str()).collect()
}

#[test]
fn parts_are_joined_although_the_other_side_comes_between() {
    let source = cri(&[
        ("stdout P", "one "),
        ("stderr F", "err"),
        ("stdout P", "line "),
        ("stdout F", "here"),
        ("stdout F", "next"),
    ]);
    let (consumed, lines, _) = take(&source, Ending::Open);
    assert_eq!((consumed, texts(&lines)), (source.len(), vec!["err", "one line here", "next"]));
}

#[test]
fn what_has_no_last_part_waits_with_all_behind_it() {
    let whole = cri(&[("stdout F", "a")]);
    let source = whole.clone() + &cri(&[("stdout P", "one "), ("stderr F", "err")]);
    let (consumed, lines, _) = take(&source, Ending::Open);
    assert_eq!((consumed, texts(&lines)), (whole.len(), vec!["a"]));
    let (consumed, lines, _) = take(&source[whole.len()..], Ending::Open);
    assert_eq!((consumed, lines.len()), (0, 0));
    let (consumed, lines, _) = take(&format!("{source}{T} stdo"), Ending::Last);
    assert_eq!(consumed, source.len() + T.len() + 5);
    let partial = LineFlags::PARTIAL;
    let expected = [
        ("a".to_owned(), 0),
        ("err".to_owned(), 0),
        (format!("{T} stdo"), partial),
        ("one ".to_owned(), partial),
    ];
    assert_eq!(lines, expected);
}

#[test]
fn a_line_that_fills_the_window_is_cut_and_its_rest_is_left_out() {
    let window = cri(&[("stdout P", "one "), ("stderr P", "err"), ("stdout P", "two ")]);
    let mut unwrapped = Unwrapped::default();
    let mut skipping = [false; 2];
    let open = format!("{window}{T} stdo");
    let consumed = unwrapped.take(Envelope::Cri, open.as_bytes(), 0, Ending::Full, &mut skipping);
    assert_eq!((consumed, skipping), (window.len(), [true; 2]));
    assert!(!unwrapped.inside_line);
    let lines = lines_of(&unwrapped, consumed);
    assert_eq!(lines, [("one two ".to_owned(), LineFlags::CUT), ("err".into(), LineFlags::CUT)]);
    let rest = cri(&[("stdout P", "x"), ("stdout F", "y"), ("stdout F", "z"), ("stderr F", "e")]);
    let consumed = unwrapped.take(Envelope::Cri, rest.as_bytes(), 0, Ending::Open, &mut skipping);
    assert_eq!((consumed, skipping), (rest.len(), [false; 2]));
    assert_eq!(texts(&lines_of(&unwrapped, consumed)), ["z"]);
    let left_out = |item: &&Item| item.left_out;
    assert_eq!(unwrapped.items.iter().filter(left_out).count(), 3);
}

#[test]
fn a_physical_line_that_fills_the_window_is_cut_inside() {
    for (tag, skips) in [("F", false), ("P", true)] {
        let source = format!("{T} stderr {tag} {}", "x".repeat(50));
        let mut unwrapped = Unwrapped::default();
        let mut skipping = [false; 2];
        let consumed =
            unwrapped.take(Envelope::Cri, source.as_bytes(), 0, Ending::Full, &mut skipping);
        assert_eq!((consumed, unwrapped.inside_line), (source.len(), true));
        assert_eq!(lines_of(&unwrapped, consumed), [("x".repeat(50), LineFlags::CUT)]);
        assert_eq!(skipping, [false, skips]);
    }
}

#[test]
fn lines_that_do_not_fit_stay_as_they_are() {
    let source = format!("not\u{e9} cri\n{}\n", cri(&[("stdout F", "a")]));
    let (consumed, lines, unwrapped) = take(&source, Ending::Open);
    assert_eq!((consumed, texts(&lines)), (source.len(), vec!["not\u{e9} cri", "a", ""]));
    let sides: Vec<Option<Side>> = unwrapped.items.iter().map(|item| item.side).collect();
    assert_eq!(sides, [None, Some(Side::Out), None]);
}

fn physical_lines() -> impl Strategy<Value = Vec<String>> {
    let tags = prop_oneof![
        Just("stdout P"),
        Just("stdout F"),
        Just("stderr P"),
        Just("stderr F"),
        Just("F"),
        Just("stdout P:x")
    ];
    prop::collection::vec((tags, "[a-z ]{0,6}"), 0..30)
        .prop_map(|lines| lines.iter().map(|line| cri(&[(line.0, &line.1)])).collect())
}

proptest! {
    /// However the bytes come: the same lines.
    #[test]
    fn any_chunks_give_the_same(lines in physical_lines(), cuts in prop::collection::vec(0usize..3000, 0..8)) {
        let source: String = lines.concat();
        let (consumed, expected, _) = take(&source, Ending::Open);
        let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut <= source.len()).collect();
        cuts.push(source.len());
        cuts.sort_unstable();
        let (mut at, mut found) = (0, Vec::new());
        for cut in cuts {
            if cut > at {
                let (taken, lines, _) = take(&source[at..cut], Ending::Open);
                at += taken;
                found.extend(lines);
            }
        }
        prop_assert_eq!(at, consumed);
        prop_assert_eq!(found, expected);
    }

    /// Any bytes, any ending: items cover what is consumed, and a full window always gives something.
    #[test]
    fn any_bytes_are_taken(
        source in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..300),
            physical_lines().prop_map(|lines| lines.concat().into_bytes()),
        ],
        docker: bool, skipping: [bool; 2],
    ) {
        let envelope = if docker { Envelope::Docker } else { Envelope::Cri };
        for ending in [Ending::Open, Ending::Full, Ending::Last] {
            let mut unwrapped = Unwrapped::default();
            let consumed = unwrapped.take(envelope, &source, 0, ending, &mut skipping.clone());
            let text = lines_of(&unwrapped, consumed);
            prop_assert!(text.iter().all(|(line, _)| !line.contains('\n')));
            prop_assert!(ending != Ending::Full || consumed > 0 || source.is_empty());
            prop_assert!(ending != Ending::Last || consumed == source.len());
        }
    }
}
