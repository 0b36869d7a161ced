//! Finds the trace ids that lines name and keeps them beside the lines, as structured metadata. One
//! search looks through a whole run; a run that names none costs nothing else.

mod form;

use bytes::Bytes;
use memchr::memmem;
use sawlog_transport::limits::FRAME_METADATA_BYTES_MAX;
use sawlog_transport::{LineColumns, varint};

/// The name of the metadata.
const NAME: &str = "trace_id";

/// Adds the trace ids of a run's lines, whose text is `text`, to its metadata. Beyond what a frame takes,
/// lines stay without.
pub(crate) fn note(text: &[u8], columns: &mut LineColumns) {
    let mut found: Vec<(u32, &[u8])> = Vec::new();
    let (mut line, mut start, mut end) = (0, 0, 0);
    let mut bytes: usize = columns.metadata.iter().map(|(_, pairs)| pairs.len()).sum();
    // `race` finds `trace` and `Trace` alike.
    for hit in memmem::find_iter(text, b"race") {
        while hit >= end {
            let Some(len) = columns.text_lens.get(line) else { return keep(columns, &found) };
            start = end;
            end += *len as usize + 1;
            line += 1;
        }
        let number = line as u32 - 1;
        if found.last().is_some_and(|(last, _)| *last == number) {
            // The line's first id counts.
            continue;
        }
        let Some(id) = form::id_at(&text[start..end - 1], hit - start) else { continue };
        bytes += PAIR_BYTES + id.len();
        if bytes > FRAME_METADATA_BYTES_MAX {
            break;
        }
        found.push((number, id));
    }
    keep(columns, &found);
}

/// What a pair takes beside its value.
const PAIR_BYTES: usize = NAME.len() + 2;

/// Puts the ids behind what the lines have already; all pairs share one buffer.
fn keep(columns: &mut LineColumns, found: &[(u32, &[u8])]) {
    if found.is_empty() {
        return;
    }
    let before = std::mem::take(&mut columns.metadata);
    let mut before = before.iter().peekable();
    let mut all = Vec::with_capacity(found.len() * (PAIR_BYTES + form::ID_BYTES_MAX));
    let mut ends = Vec::with_capacity(found.len() + before.len());
    for (line, id) in found {
        while let Some((earlier, pairs)) = before.next_if(|(other, _)| other <= line) {
            all.extend_from_slice(pairs);
            if earlier < line {
                ends.push((*earlier, all.len()));
            }
        }
        varint::put_bytes(&mut all, NAME.as_bytes());
        varint::put_bytes(&mut all, id);
        ends.push((*line, all.len()));
    }
    for (line, pairs) in before {
        all.extend_from_slice(pairs);
        ends.push((*line, all.len()));
    }
    let (all, mut from) = (Bytes::from(all), 0);
    let part = |(line, to)| (line, all.slice(std::mem::replace(&mut from, to)..to));
    columns.metadata = ends.into_iter().map(part).collect();
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;
    use sawlog_transport::LineFlags;
    use sawlog_transport::lines::{decode_metadata, encode_metadata};

    use super::*;

    fn columns(text: &str) -> LineColumns {
        let mut columns = LineColumns::default();
        for line in text.split_terminator('\n') {
            columns.push(0, line.len() as u32, line.len() as u32 + 1, LineFlags::default());
        }
        columns
    }

    type Pairs = Vec<(String, Vec<u8>)>;

    fn ids(text: &str) -> Vec<(u32, Pairs)> {
        let mut columns = columns(text);
        note(text.as_bytes(), &mut columns);
        columns.metadata.iter().map(|(line, pairs)| (*line, decode_metadata(pairs))).collect()
    }

    fn id_of(line: &str) -> Option<String> {
        let found = ids(&format!("{line}\n"));
        let (_, pairs) = found.first()?;
        assert_eq!(pairs[0].0, NAME);
        Some(String::from_utf8_lossy(&pairs[0].1).into_owned())
    }

    const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn ids_are_found_under_the_usual_keys() {
        for line in [
            format!(r#"{{"msg":"x","trace_id":"{ID}"}}"#),
            format!(r#"{{"traceId" : "{ID}","n":1}}"#),
            format!(r#"{{"TraceId":"{ID}"}}"#),
            format!(r#"{{"trace.id":"{ID}"}}"#),
            format!(r#"{{"dd.trace_id":"{ID}"}}"#),
            format!(r#"{{"dd":{{"trace_id":"{ID}"}}}}"#),
            format!("level=info traceID={ID} msg=x"),
            format!(r#"level=info trace_id="{ID}""#),
            format!("[main] [trace_id={ID}, span_id=1] x"),
            format!("traceparent=00-{ID}-00f067aa0ba902b7-01"),
            format!(r#"{{"traceparent":"00-{ID}-00f067aa0ba902b7-01"}}"#),
            format!("a trace of a race: trace_id={ID}"),
            format!("trace_id={ID} trace_id=ffffffffffffffffffffffffffffffff"),
        ] {
            assert_eq!(id_of(&line).as_deref(), Some(ID), "{line}");
        }
        assert_eq!(
            id_of(r#"{"dd.trace_id":5208512171318403364}"#).as_deref(),
            Some("5208512171318403364")
        );
    }

    #[test]
    fn what_is_no_id_is_none() {
        for line in [
            "level=trace msg=x",
            "trace_id=",
            "trace_id=short",
            "trace_id=00000000000000000000000000000000",
            "trace_ids=4bf92f3577b34da6",
            "mytrace_id=4bf92f3577b34da6",
            "traceparent=00-4bf92f3577b34da6-1-01",
            r#"{"msg":"{\"trace_id\":\"4bf92f3577b34da6\"}"}"#,
            r#"{"trace_id":null}"#,
            "trace_id=[redacted:pair:0123]",
            "race_id=4bf92f3577b34da6",
        ] {
            assert_eq!(id_of(line), None, "{line}");
        }
    }

    #[test]
    fn each_line_has_its_own_behind_what_it_had() {
        let text = format!("trace_id={ID}\nplain\ntrace_id=aaaaaaaaaaaaaaaa\n");
        let mut columns = columns(&text);
        let stream = Bytes::from(encode_metadata([("stream", &b"stderr"[..])]));
        columns.metadata = vec![(1, stream.clone()), (2, stream)];
        note(text.as_bytes(), &mut columns);
        let names: Vec<(u32, Vec<String>)> = columns
            .metadata
            .iter()
            .map(|(line, pairs)| {
                (*line, decode_metadata(pairs).into_iter().map(|pair| pair.0).collect())
            })
            .collect();
        let names_of = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(
            names,
            [
                (0, names_of(&["trace_id"])),
                (1, names_of(&["stream"])),
                (2, names_of(&["stream", "trace_id"])),
            ]
        );
    }

    /// Lines of many systems, if a folder of them lies beside the clone: none names a trace.
    #[test]
    fn recorded_lines_name_none() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus");
        let (mut lines, mut wrong) = (0u64, Vec::new());
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let text = std::fs::read(entry.path()).expect("read");
            for line in text.split(|byte| *byte == b'\n') {
                lines += 1;
                wrong.extend(id_of(&String::from_utf8_lossy(line)));
            }
        }
        let must_be_there =
            std::env::var_os("CI").is_some() && folder.parent().is_some_and(Path::exists);
        assert!(lines > 0 || !must_be_there, "no recorded lines in '{}'", folder.display());
        assert!(wrong.is_empty(), "of {lines} lines: {wrong:?}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(parts in prop::collection::vec(prop_oneof![
            Just("trace".to_owned()), Just("_id=".to_owned()), Just("race".to_owned()), Just("\n".to_owned()),
            Just("\"trace_id\":\"".to_owned()), Just("traceparent=00-".to_owned()), "[0-9a-f]{8,33}", "\\PC{0,3}"],
            0..30)) {
            let text = parts.concat() + "\n";
            let found = ids(&text);
            prop_assert!(found.is_sorted_by(|a, b| a.0 < b.0));
            let lines: Vec<&str> = text.split('\n').collect();
            for (line, pairs) in found {
                let id = String::from_utf8_lossy(&pairs[0].1).into_owned();
                prop_assert!(lines[line as usize].contains(&id));
            }
        }
    }
}
