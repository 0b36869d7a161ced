//! Who we are to an agent: what stands in a file, made a header. Never shown in any message.

use std::io::Read;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

/// The longest file of credentials, in bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Why a file gives no header.
#[derive(Debug, thiserror::Error)]
pub(super) enum CredentialError {
    #[error("cannot read {setting} '{path}': {source}")]
    Read {
        setting: &'static str,
        path: String,
        #[source]
        source: std::io::Error,
    },
    #[error(
        "mesos_credential_file '{0}' has no principal and secret: write `principal secret` in one line, or {{\"principal\": \"…\", \"secret\": \"…\"}}"
    )]
    Credential(String),
    #[error("mesos_token_file '{0}' has no token: write it in one line")]
    Token(String),
}

/// As Mesos' own file has it.
#[derive(Deserialize)]
struct Credential {
    principal: String,
    secret: String,
}

/// The value of the header for HTTP Basic authentication.
///
/// # Errors
/// The file cannot be read, or has another form.
pub(super) fn basic(path: &Path) -> Result<String, CredentialError> {
    let text = read("mesos_credential_file", path)?;
    let Credential { principal, secret } =
        credential(&text).ok_or_else(|| CredentialError::Credential(path.display().to_string()))?;
    Ok(format!("Basic {}", STANDARD.encode(format!("{principal}:{secret}"))))
}

/// The value of the header with a token.
///
/// # Errors
/// The file cannot be read, or has another form.
pub(super) fn bearer(path: &Path) -> Result<String, CredentialError> {
    let text = read("mesos_token_file", path)?;
    let token = text.trim();
    let is_token = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_token {
        return Err(CredentialError::Token(path.display().to_string()));
    }
    Ok(format!("Bearer {token}"))
}

fn credential(text: &str) -> Option<Credential> {
    let text = text.trim();
    if text.starts_with('{') {
        return serde_json::from_str(text).ok();
    }
    let mut words = text.split_whitespace();
    let (principal, secret) = (words.next()?.to_owned(), words.next()?.to_owned());
    // A principal cannot have a colon in it, but a secret may.
    let is_one = words.next().is_none() && !principal.contains(':');
    is_one.then_some(Credential { principal, secret })
}

fn read(setting: &'static str, path: &Path) -> Result<String, CredentialError> {
    let mut text = String::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text))
        .map_err(|source| CredentialError::Read {
            setting,
            path: path.display().to_string(),
            source,
        })?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_mesos_give_the_header() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("credential");
        for text in ["sawlog s3:cret\n", r#" {"principal": "sawlog", "secret": "s3:cret"} "#] {
            std::fs::write(&path, text).expect("write");
            assert_eq!(basic(&path).expect("a credential"), "Basic c2F3bG9nOnMzOmNyZXQ=");
        }
        for text in ["", "sawlog", "a:b c", "sawlog s3:cret more", r#"{"principal": "hidden"}"#] {
            std::fs::write(&path, text).expect("write");
            let message = basic(&path).unwrap_err().to_string();
            assert!(message.contains("mesos_credential_file") && !message.contains("hidden"));
        }
        let missing = basic(&dir.path().join("no")).unwrap_err().to_string();
        assert!(missing.starts_with("cannot read mesos_credential_file"), "{missing}");
    }

    #[test]
    fn a_token_is_one_word() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("token");
        std::fs::write(&path, "abc.def\n").expect("write");
        assert_eq!(bearer(&path).expect("a token"), "Bearer abc.def");
        for text in ["", "two words", "a\r\nX-Other: b"] {
            std::fs::write(&path, text).expect("write");
            assert!(bearer(&path).unwrap_err().to_string().contains("mesos_token_file"));
        }
    }
}
