//! Secrets of any number, and how they are written in JSON, in URLs and in base64.

/// Digits and letters, others for each number.
pub(super) fn letters(n: usize, len: usize) -> String {
    let pool = b"k7Qx2Zp9Lm4Rt8Wv3Bn6Yc5Hd1Jf0Gs";
    let step =
        |at: usize| (at * (7 + n % 5) + n * 13 + at / 31 * 3 + n / 31 * (at % 3)) % pool.len();
    let tail: String = (0..len).map(|at| char::from(pool[step(at)])).collect();
    let number = format!("{n:03}");
    let middle = (len - number.len()) / 2;
    format!("{}{number}{}", &tail[..middle], &tail[middle + number.len()..])
}

/// The number of a card.
pub(super) fn digits(n: usize) -> String {
    let body = format!("411111{:09}", n * 7919 + 1);
    let luhn = |digits: &str| {
        let double = |(at, digit): (usize, u8)| {
            let value = u32::from(digit - b'0') * if at % 2 == 0 { 1 } else { 2 };
            value / 10 + value % 10
        };
        digits.bytes().rev().enumerate().map(double).sum::<u32>() % 10
    };
    let check = (0..10).find(|check| luhn(&format!("{body}{check}")) == 0).unwrap();
    let whole = format!("{body}{check}");
    [&whole[..4], &whole[4..8], &whole[8..12], &whole[12..]].join(" ")
}

pub(super) fn json(text: &str) -> String {
    let quoted = serde_json::to_string(text).unwrap();
    quoted[1..quoted.len() - 1].to_owned()
}

/// As RFC 3986 has it, or as forms have it.
pub(super) fn percent(text: &str, form: bool) -> String {
    let encoded = text.bytes().map(|byte| match byte {
        b' ' if form => "+".to_owned(),
        byte if byte.is_ascii_alphanumeric() || b"-._".contains(&byte) => char::from(byte).into(),
        byte => format!("%{byte:02X}"),
    });
    encoded.collect()
}

pub(super) fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let four = |three: &[u8]| {
        let bits = three.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte))
            << (8 * (3 - three.len()));
        let letter = move |at: usize| match at <= three.len() {
            true => char::from(LETTERS[(bits >> (18 - 6 * at)) as usize & 63]),
            false => '=',
        };
        (0..4).map(letter).collect::<String>()
    };
    bytes.chunks(3).map(four).collect()
}

#[test]
fn base64_is_that_of_the_rfc() {
    for (text, encoded) in [("f", "Zg=="), ("fo", "Zm8="), ("foobar", "Zm9vYmFy")] {
        assert_eq!(base64(text.as_bytes()), encoded);
    }
}
