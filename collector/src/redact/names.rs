//! Whether a name says that its value is a secret: `DB_PASSWORD`, `clientSecret`, `x-api-key`.

/// Words that say it as the last of a name.
const SECRET: [&str; 16] = [
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "pass",
    "pwd",
    "secret",
    "token",
    "apikey",
    "accesskey",
    "secretkey",
    "privatekey",
    "credential",
    "credentials",
    "pw",
    "signingkey",
];

/// Ends of words that are written as one: `dbpassword`, `accesstoken`.
const SECRET_ENDS: [&str; 8] =
    ["password", "passwd", "passphrase", "secret", "token", "apikey", "accesskey", "privatekey"];

/// What makes a `key` one that opens something.
const KEY_OF: [&str; 16] = [
    "api",
    "access",
    "secret",
    "private",
    "signing",
    "encryption",
    "master",
    "account",
    "shared",
    "auth",
    "ssh",
    "license",
    "app",
    "decryption",
    "storage",
    "service",
];

/// What says nothing behind the word that does: `secret_key_base`, `password_1`, `token_prod`.
const TRAILERS: [&str; 15] = [
    "base",
    "value",
    "text",
    "plain",
    "plaintext",
    "b64",
    "base64",
    "hex",
    "old",
    "new",
    "prod",
    "dev",
    "test",
    "staging",
    "string",
];

/// Names of values that merely have a secret name.
const HARMLESS: [&str; 6] = [
    "nexttoken",
    "pagetoken",
    "nextpagetoken",
    "continuationtoken",
    "cancellationtoken",
    "synctoken",
];

/// The longest word that counts, in bytes.
const WORD_BYTES_MAX: usize = 32;

/// Words of a name, lower case: at most the last four.
#[derive(Default)]
struct Words {
    /// The last first.
    words: [([u8; WORD_BYTES_MAX], usize); 4],
    len: usize,
}

impl Words {
    fn of(name: &[u8]) -> Self {
        let mut this = Self::default();
        let mut end = name.len();
        while end > 0 && this.len < this.words.len() {
            let start = word_start(name, end);
            let word = &name[start..end];
            let word = word.strip_prefix(b"_").unwrap_or(word);
            let digits = word.iter().all(u8::is_ascii_digit);
            if !word.is_empty() && !digits && word.len() <= WORD_BYTES_MAX {
                this.push(word);
            }
            end = start;
            while end > 0 && !name[end - 1].is_ascii_alphanumeric() {
                end -= 1;
            }
        }
        this
    }

    fn push(&mut self, word: &[u8]) {
        // Numbers at the end count for nothing: `password2`.
        let letters = word.iter().rposition(|byte| !byte.is_ascii_digit()).map_or(0, |at| at + 1);
        let keep = if TRAILERS.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(word)) {
            word
        } else {
            &word[..letters]
        };
        let slot = &mut self.words[self.len];
        slot.0[..keep.len()].copy_from_slice(keep);
        slot.0[..keep.len()].make_ascii_lowercase();
        slot.1 = keep.len();
        self.len += 1;
    }

    fn get(&self, at: usize) -> &[u8] {
        if at >= self.len {
            return b"";
        }
        let (word, len) = &self.words[at];
        &word[..*len]
    }
}

/// Where the word begins that ends at `end`: behind a separator, or at a capital.
fn word_start(name: &[u8], end: usize) -> usize {
    let mut start = end;
    while start > 0 && name[start - 1].is_ascii_alphanumeric() {
        let here = name[start - 1];
        start -= 1;
        let before = start.checked_sub(1).map(|at| name[at]);
        let begins = here.is_ascii_uppercase()
            && before.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        let ends_capitals = here.is_ascii_uppercase()
            && before.is_some_and(|byte| byte.is_ascii_uppercase())
            && name.get(start + 1).is_some_and(|byte| byte.is_ascii_lowercase())
            && start + 1 < end;
        if begins || ends_capitals {
            break;
        }
    }
    start
}

/// What a name says of its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Says {
    Nothing,
    /// A password, which may be short and of letters only.
    Password,
    /// A token or key, which is longer and has digits.
    Token,
}

/// What a name says of its value.
pub(super) fn says(name: &[u8]) -> Says {
    let words = Words::of(name);
    let mut last = 0;
    while TRAILERS.iter().any(|known| known.as_bytes() == words.get(last)) {
        last += 1;
    }
    let word = words.get(last);
    let is = |known: &[&str]| known.iter().any(|known| known.as_bytes() == word);
    let joined = [words.get(last + 1), word].concat();
    if HARMLESS
        .iter()
        .any(|known| joined.ends_with(known.as_bytes()) && joined.len() <= known.len() + 4)
    {
        return Says::Nothing;
    }
    let is_key = word == b"key" && KEY_OF.iter().any(|of| of.as_bytes() == words.get(last + 1));
    let ends = SECRET_ENDS.iter().any(|end| word.ends_with(end.as_bytes()));
    let keyed = word
        .strip_suffix(b"key")
        .is_some_and(|of| KEY_OF.iter().any(|known| of == known.as_bytes()));
    if word.starts_with(b"pass")
        || word.ends_with(b"password")
        || word.ends_with(b"passwd")
        || is(&["pwd", "pw"])
    {
        return if is(&SECRET) || ends { Says::Password } else { Says::Nothing };
    }
    if is(&SECRET) || ends || is_key || keyed { Says::Token } else { Says::Nothing }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_say_secret() {
        for name in [
            "password",
            "DB_PASSWORD",
            "dbPassword",
            "user.passwd",
            "POSTGRES_PASS",
            "mysql_pwd",
            "rootPassword2",
            "SSL_KEY_PASSPHRASE",
            "spring.datasource.password",
            "PASSWORD_1",
            "new_password",
            "Password",
        ] {
            assert_eq!(says(name.as_bytes()), Says::Password, "{name}");
        }
        for name in [
            "token",
            "access_token",
            "accessToken",
            "clientSecret",
            "client-secret",
            "AWS_SECRET_ACCESS_KEY",
            "X-Api-Key",
            "apikey",
            "apiKey",
            "API_KEY",
            "AccountKey",
            "private_key",
            "secret_key_base",
            "SECRET_KEY",
            "authToken",
            "APIKey",
            "_authToken",
            "X-Vault-Token",
            "credentials",
            "signingKey",
            "encryption-key",
        ] {
            assert_eq!(says(name.as_bytes()), Says::Token, "{name}");
        }
    }

    #[test]
    fn names_that_do_not() {
        for name in [
            "",
            "key",
            "cache_key",
            "partition.key",
            "tokens",
            "max_tokens",
            "token_count",
            "password_file",
            "PWD_CHANGED",
            "bypass",
            "compass",
            "secretary",
            "tokenizer",
            "passed",
            "passenger",
            "token_type",
            "password-policy",
            "secretName",
            "NextToken",
            "pageToken",
            "key_password_path",
            "12",
            "___",
            "monkey",
            "passes",
        ] {
            assert_eq!(says(name.as_bytes()), Says::Nothing, "{name}");
        }
    }
}
