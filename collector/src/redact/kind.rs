//! What kinds of secrets there are, and the names under which they are replaced and counted.

/// What was found. The name appears in the text and as the label `kind` of the metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A value from a secret file, plain or encoded.
    Exact,
    /// A line of a PEM block with a private key.
    Pem,
    Jwt,
    /// A key whose beginning says which service it opens.
    Key,
    /// What an `Authorization` header carries.
    Authorization,
    Cookie,
    /// The password in a URL, or what signs it.
    Url,
    /// The value of a name that says secret.
    Pair,
    /// The number of a payment card.
    Card,
}

impl Kind {
    pub const ALL: [Self; 9] = [
        Self::Exact,
        Self::Pem,
        Self::Jwt,
        Self::Key,
        Self::Authorization,
        Self::Cookie,
        Self::Url,
        Self::Pair,
        Self::Card,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Pem => "pem",
            Self::Jwt => "jwt",
            Self::Key => "key",
            Self::Authorization => "authorization",
            Self::Cookie => "cookie",
            Self::Url => "url",
            Self::Pair => "pair",
            Self::Card => "card",
        }
    }
}
