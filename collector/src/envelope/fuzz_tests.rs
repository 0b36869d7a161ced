//! Envelopes around any bytes: what comes out is no longer than what went in, covers it, and is the same
//! whatever part of the file was there when.

use sawlog_transport::LineFlags;
use sawlog_transport::limits::LINE_BYTES_MAX;

use super::{Ending, Envelope, Item, Unwrapped};
use crate::tests::Random;

const BEFORE: &[u8] = b"what was there";

/// Takes an input as a file of either form.
pub(crate) fn check(input: &[u8], random: &mut Random) {
    for envelope in [Envelope::Docker, Envelope::Cri] {
        for line in input.split(|byte| *byte == b'\n') {
            one_line(envelope, line);
        }
        let whole = whole(envelope, input);
        if input.len() < LINE_BYTES_MAX {
            assert_eq!(in_parts(envelope, input, random), whole);
        }
    }
    Envelope::detect(input.split(|byte| *byte == b'\n').next().unwrap_or_default());
}

fn one_line(envelope: Envelope, line: &[u8]) {
    for is_whole in [true, false] {
        let mut text = BEFORE.to_vec();
        if is_whole {
            envelope.part(line, &mut text);
        } else {
            envelope.fragment(line, &mut text);
        }
        let added = text.strip_prefix(BEFORE).expect("what was there stays");
        assert!(added.len() <= line.len());
        assert!(!added.contains(&b'\n') || is_whole, "a line stays one line");
    }
}

fn whole(envelope: Envelope, input: &[u8]) -> (Vec<Item>, Vec<u8>) {
    let mut unwrapped = Unwrapped::default();
    let taken = unwrapped.take(envelope, input, 0, Ending::Last, &mut [false; 2]);
    assert_eq!(taken, input.len());
    covers(&unwrapped, input.len());
    let full = unwrapped.take(envelope, input, 0, Ending::Full, &mut [true, false]);
    assert!(full <= input.len());
    covers(&unwrapped, full);
    unwrapped.take(envelope, input, 0, Ending::Last, &mut [false; 2]);
    (unwrapped.items, unwrapped.text)
}

fn covers(unwrapped: &Unwrapped, source: usize) {
    let items = &unwrapped.items;
    assert_eq!(items.iter().map(|item| item.source_len as usize).sum::<usize>(), source);
    let lines = items.iter().filter(|item| !item.left_out);
    let text: usize = lines.map(|item| item.text_len as usize + 1).sum();
    assert_eq!(text, unwrapped.text.len());
    assert!(text <= source + items.len());
}

/// The items of a file that grows.
fn in_parts(envelope: Envelope, input: &[u8], random: &mut Random) -> (Vec<Item>, Vec<u8>) {
    let (mut items, mut text) = (Vec::new(), Vec::new());
    let mut unwrapped = Unwrapped::default();
    let mut skipping = [false; 2];
    let (mut from, mut to) = (0, 0);
    while to < input.len() {
        to += 1 + random.below(input.len() - to);
        let ending = if to == input.len() { Ending::Last } else { Ending::Open };
        from += unwrapped.take(envelope, &input[from..to], 0, ending, &mut skipping);
        items.extend_from_slice(&unwrapped.items);
        text.extend_from_slice(&unwrapped.text);
        assert!(items.iter().all(|item| item.flags & LineFlags::CUT == 0));
    }
    (items, text)
}
