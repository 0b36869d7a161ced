//! Asks an agent over HTTP, within limits of time and size, and says what to do about an error.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use super::config::MesosConfig;
use super::credentials::{self, CredentialError};

/// The longest answer, in bytes, inflated.
const BODY_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// The longest file of certificates, in bytes.
const CA_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a whole answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    #[error("nobody listens at {url}: {source}")]
    Refused {
        url: String,
        #[source]
        source: io::Error,
    },
    #[error("the Mesos agent at {0} has not finished its recovery (503)")]
    Recovering(String),
    #[error(
        "the Mesos agent at {0} wants to know who asks (401): set mesos_credential_file or mesos_token_file, with a principal that the agent's --http_credentials has"
    )]
    Unauthorized(String),
    #[error(
        "the Mesos agent at {0} refuses this to our principal (403): allow it the endpoint in the agent's --acls (get_endpoints, view_frameworks, view_executors, view_tasks), and look at its --firewall_rules"
    )]
    Forbidden(String),
    #[error(
        "the Mesos agent at {0} offers no cipher that is safe: set LIBPROCESS_SSL_CIPHERS=ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384 in the agent's environment and restart it; or it asks for a certificate of ours (LIBPROCESS_SSL_REQUIRE_CLIENT_CERT), which we do not have ({1})"
    )]
    Handshake(String, String),
    #[error(
        "the certificate of the Mesos agent at {0} is not trusted: name the file with the certificate that signed it as mesos_ca_file ({1})"
    )]
    Certificate(String, String),
    #[error("cannot use mesos_ca_file '{path}', name a file with certificates (PEM): {why}")]
    Ca { path: String, why: String },
    #[error(transparent)]
    Credential(#[from] CredentialError),
    #[error("the Mesos agent at {0} does not answer in time")]
    Timeout(String),
    #[error("the answer of {0} is longer than {BODY_BYTES_MAX} bytes")]
    TooLarge(String),
    #[error("{url} answered {status}: is it a Mesos agent's?")]
    Status { url: String, status: u16 },
    #[error("the answer of {url} is not as expected: {why}")]
    Malformed { url: String, why: String },
    #[error("cannot ask the Mesos agent at {url}: {why}")]
    Other { url: String, why: String },
}

impl AskError {
    /// As the metric names it.
    pub(super) fn outcome(&self) -> &'static str {
        match self {
            Self::Refused { .. } => "refused",
            Self::Recovering(_) => "recovering",
            Self::Unauthorized(_) => "unauthorized",
            Self::Forbidden(_) => "forbidden",
            Self::Handshake(..) => "tls_handshake",
            Self::Certificate(..) | Self::Ca { .. } => "tls_certificate",
            Self::Credential(_) => "credential",
            Self::Timeout(_) => "timeout",
            Self::TooLarge(_) => "too_large",
            Self::Status { .. } => "status",
            Self::Malformed { .. } => "malformed",
            Self::Other { .. } => "error",
        }
    }
}

/// Asks one agent.
pub(super) struct Client {
    url: String,
    credential_file: Option<PathBuf>,
    token_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
    /// Made when it is needed, and anew after trouble with certificates: their file may change.
    agent: Option<ureq::Agent>,
}

impl Client {
    pub(super) fn new(config: &MesosConfig) -> Self {
        Self {
            url: config.base_url().to_owned(),
            credential_file: config.credential_file.clone(),
            token_file: config.token_file.clone(),
            ca_file: config.ca_file.clone(),
            agent: None,
        }
    }

    /// The body of an endpoint's answer, such as of `/state`.
    ///
    /// # Errors
    /// See [`AskError`].
    pub(super) fn get(&mut self, endpoint: &str) -> Result<Vec<u8>, AskError> {
        self.ask(endpoint, None)
    }

    /// The body of the answer to a call, in JSON both of them.
    ///
    /// # Errors
    /// See [`AskError`].
    pub(super) fn post(&mut self, endpoint: &str, call: &[u8]) -> Result<Vec<u8>, AskError> {
        self.ask(endpoint, Some(call))
    }

    fn ask(&mut self, endpoint: &str, call: Option<&[u8]>) -> Result<Vec<u8>, AskError> {
        let url = format!("{}{endpoint}", self.url);
        let answer = self.try_ask(&url, call);
        if matches!(answer, Err(AskError::Certificate(..))) {
            self.agent = None;
        }
        answer
    }

    fn try_ask(&mut self, url: &str, call: Option<&[u8]>) -> Result<Vec<u8>, AskError> {
        let authorization = match (&self.credential_file, &self.token_file) {
            (Some(path), _) => Some(credentials::basic(path)?),
            (None, Some(path)) => Some(credentials::bearer(path)?),
            (None, None) => None,
        };
        let response = match call {
            None => with(self.agent()?.get(url), authorization).call(),
            Some(call) => with(self.agent()?.post(url), authorization)
                .header("Content-Type", "application/json")
                .header("Accept", "application/json")
                .send(call),
        };
        let mut response = response.map_err(|error| failed(url, error))?;
        match response.status().as_u16() {
            200 => {}
            401 => return Err(AskError::Unauthorized(url.into())),
            403 => return Err(AskError::Forbidden(url.into())),
            503 => return Err(AskError::Recovering(url.into())),
            status => return Err(AskError::Status { url: url.into(), status }),
        }
        let mut body = Vec::new();
        let mut reader = response.body_mut().as_reader().take(BODY_BYTES_MAX + 1);
        reader.read_to_end(&mut body).map_err(|error| failed(url, error.into()))?;
        if body.len() as u64 > BODY_BYTES_MAX {
            return Err(AskError::TooLarge(url.into()));
        }
        Ok(body)
    }

    fn agent(&mut self) -> Result<&ureq::Agent, AskError> {
        let made = match self.agent.take() {
            Some(agent) => agent,
            None => agent(self.ca_file.as_deref())?,
        };
        Ok(self.agent.insert(made))
    }
}

fn with<B>(
    request: ureq::RequestBuilder<B>,
    authorization: Option<String>,
) -> ureq::RequestBuilder<B> {
    match authorization {
        Some(value) => request.header("Authorization", value),
        None => request,
    }
}

fn agent(ca_file: Option<&Path>) -> Result<ureq::Agent, AskError> {
    let mut tls = TlsConfig::builder();
    if let Some(path) = ca_file {
        let certificates = certificates(path)
            .map_err(|why| AskError::Ca { path: path.display().to_string(), why })?;
        tls = tls.root_certs(RootCerts::new_with_certs(&certificates));
    }
    // No proxy: the agent is on this host. No redirects: they would take the credentials along.
    let config = ureq::Agent::config_builder()
        .tls_config(tls.build())
        .proxy(None)
        .max_redirects(0)
        // Polls are so far apart that a connection kept for the next one may be closed by then.
        .max_idle_connections(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_global(Some(ANSWER_TIMEOUT));
    Ok(config.build().into())
}

fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, String> {
    let mut pem = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(CA_BYTES_MAX).read_to_end(&mut pem))
        .map_err(|error| error.to_string())?;
    let items = parse_pem(&pem).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    });
    let certificates: Vec<_> = items.collect();
    if certificates.is_empty() { Err("it has no certificate".into()) } else { Ok(certificates) }
}

/// What a failure of the client means to the operator.
fn failed(url: &str, error: ureq::Error) -> AskError {
    let url = url.to_owned();
    let why = error.to_string();
    match error {
        ureq::Error::Timeout(_) => AskError::Timeout(url),
        ureq::Error::Io(source) => failed_io(url, source, why),
        ureq::Error::HostNotFound | ureq::Error::ConnectionFailed => {
            AskError::Refused { url, source: io::Error::other(why) }
        }
        _ if why.contains("certificate") => AskError::Certificate(url, why),
        _ => AskError::Other { url, why },
    }
}

fn failed_io(url: String, source: io::Error, why: String) -> AskError {
    match source.kind() {
        io::ErrorKind::ConnectionRefused
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable => AskError::Refused { url, source },
        io::ErrorKind::TimedOut => AskError::Timeout(url),
        // rustls' errors come as such, with their words.
        io::ErrorKind::InvalidData if why.contains("certificate") => {
            AskError::Certificate(url, why)
        }
        io::ErrorKind::InvalidData if is_handshake(&why) => AskError::Handshake(url, why),
        _ => AskError::Other { url, why },
    }
}

/// Whether two sides had no cipher, curve or version in common.
fn is_handshake(why: &str) -> bool {
    ["HandshakeFailure", "ProtocolVersion", "InsufficientSecurity", "peer is incompatible"]
        .iter()
        .any(|word| why.contains(word))
}
