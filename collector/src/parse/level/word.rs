//! The words and numbers that name a level.

use sawlog_transport::Level;

/// The longest word that names a level.
const WORD_BYTES_MAX: usize = "INFORMATION".len();

/// The level of a word in any case that stands where a level belongs.
fn any_case(word: &[u8]) -> Option<Level> {
    let mut upper = [0; WORD_BYTES_MAX];
    let upper = upper.get_mut(..word.len())?;
    upper.copy_from_slice(word);
    upper.make_ascii_uppercase();
    match &*upper {
        b"TRC" => Some(Level::Trace),
        b"DBG" => Some(Level::Debug),
        b"INF" | b"INFORMATION" => Some(Level::Info),
        b"WRN" => Some(Level::Warn),
        b"FTL" => Some(Level::Fatal),
        word => capitals(word),
    }
}

/// The level of a word in capitals; those that free text may mean otherwise are not among them.
#[inline]
pub(super) fn capitals(word: &[u8]) -> Option<Level> {
    match word {
        b"INFO" | b"NOTICE" => Some(Level::Info),
        b"WARN" | b"WARNING" => Some(Level::Warn),
        b"ERROR" | b"ERR" | b"SEVERE" => Some(Level::Error),
        b"DEBUG" | b"FINE" => Some(Level::Debug),
        b"TRACE" => Some(Level::Trace),
        b"CRITICAL" | b"CRIT" | b"ALERT" => Some(Level::Critical),
        b"FATAL" | b"PANIC" | b"EMERG" => Some(Level::Fatal),
        _ => None,
    }
}

/// Whether a byte belongs to a word, so that no word ends or begins beside it.
#[inline]
pub(super) fn in_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// The level of the whole word, in any case, that the text begins with.
#[inline]
pub(super) fn leading_level(text: &[u8]) -> Option<Level> {
    let len = text.iter().take(WORD_BYTES_MAX + 1).take_while(|b| b.is_ascii_alphabetic()).count();
    let (word, rest) = text.split_at(len);
    if rest.first().is_some_and(|byte| in_word(*byte)) {
        return None;
    }
    capitals(word).or_else(|| any_case(word))
}

/// The level of a field's value, perhaps quoted: a word, or a number as bunyan and pino count.
pub(in crate::parse) fn value_level(value: &[u8]) -> Option<Level> {
    let bare = value.strip_prefix(b"\"").unwrap_or(value);
    match bare {
        [tens @ b'1'..=b'6', b'0', rest @ ..] => {
            let ends = rest.first().is_none_or(|byte| !in_word(*byte) && *byte != b'.');
            ends.then(|| number(tens - b'0'))
        }
        _ => leading_level(bare),
    }
}

fn number(tens: u8) -> Level {
    match tens {
        1 => Level::Trace,
        2 => Level::Debug,
        3 => Level::Info,
        4 => Level::Warn,
        5 => Level::Error,
        _ => Level::Fatal,
    }
}
