//! Who the command is to the server.

use crate::cli::remote::Failure;
use crate::cli::token::new_token;
use crate::config::{Secret, TokenRules};
use crate::token::sign;

/// Seconds a signed token is good for. When it runs out the server ends the connection, and the next
/// one brings a fresh token: cheaper than a refresh, and recovery loses nothing.
const TOKEN_TTL: u64 = 24 * 60 * 60;

/// What to present when connecting.
pub(super) enum Credentials {
    /// Nothing: where anyone may come.
    None,
    /// A token made elsewhere.
    Token(String),
    /// A token made anew for each connection.
    Signed {
        /// Its user.
        user: String,
        /// What signs it.
        secret: Secret,
        /// What it has to say besides.
        rules: Box<TokenRules>,
    },
}

impl Credentials {
    /// Decides by what was given.
    pub(super) fn new(
        token: Option<String>,
        user: Option<String>,
        rules: TokenRules,
    ) -> Result<Self, Failure> {
        match (token, user, &rules.hmac) {
            (Some(token), ..) => Ok(Self::Token(token)),
            (None, None, _) => Ok(Self::None),
            (None, Some(user), Some(hmac)) => Ok(Self::Signed {
                user,
                secret: hmac.current.clone(),
                rules: Box::new(rules),
            }),
            (None, Some(_), None) => Err(Failure::Configuration(
                "no secret is configured to sign for --user: set client.token.hmac_secret_key"
                    .into(),
            )),
        }
    }

    /// The token to connect with; empty for none.
    pub(super) fn token(&self) -> Result<String, Failure> {
        match self {
            Self::None => Ok(String::new()),
            Self::Token(token) => Ok(token.clone()),
            Self::Signed {
                user,
                secret,
                rules,
            } => {
                let token = new_token(rules, user, Some(TOKEN_TTL));
                sign(&token, secret).map_err(|error| Failure::Configuration(error.to_string()))
            }
        }
    }
}
