//! `campanile token`: tokens for trying things out, and why a token is refused.

use std::process::ExitCode;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};
use serde_json::json;

use super::{EXIT_CONFIG, EXIT_FAILURE, FileArgs, load, print, say};
use crate::config::{Authentication, ClaimRule, TokenRules, duration};
use crate::token::{Invalid, NewToken, TokenError, Verifier, sign};

/// What can be done with tokens.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Print a token signed with the configured secret
    Gen(GenArgs),
    /// Tell what a token says and whether it holds
    Verify(VerifyArgs),
}

/// Flags of `token gen`.
#[derive(Args, Debug)]
pub struct GenArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take it for the help text")]
    pub file: FileArgs,
    /// The user; empty for anonymous
    #[arg(short, long, default_value = "")]
    pub user: String,
    /// How long it holds: seconds, a duration such as 1h30m, or -1 for ever
    #[arg(short, long, default_value = "168h", allow_hyphen_values = true)]
    pub ttl: Ttl,
    /// Make a subscription token for this channel
    #[arg(short = 's', long)]
    pub channel: Option<String>,
    /// What others see of the client, as JSON
    #[arg(long, value_name = "JSON", value_parser = parse_json)]
    pub info: Option<serde_json::Value>,
    /// Channels to be subscribed to from the start
    #[arg(long, value_delimiter = ',', conflicts_with = "channel")]
    pub channels: Vec<String>,
    /// Say nothing but the token
    #[arg(short, long)]
    pub quiet: bool,
}

/// Flags of `token verify`.
#[derive(Args, Debug)]
pub struct VerifyArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take it for the help text")]
    pub file: FileArgs,
    /// The token
    pub token: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// How long a token holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ttl {
    /// So many seconds.
    Seconds(u64),
    /// For ever.
    Forever,
}

impl FromStr for Ttl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "-1" {
            return Ok(Self::Forever);
        }
        text.parse()
            .ok()
            .or_else(|| duration::parse(text).map(|duration| duration.as_secs()))
            .map(Self::Seconds)
            .ok_or("expected seconds, a duration such as 1h30m, or -1")
    }
}

/// Named, as clap would otherwise take the text for a JSON string.
fn parse_json(text: &str) -> Result<serde_json::Value, serde_json::Error> {
    serde_json::from_str(text)
}

pub(super) fn run(command: &TokenCommand) -> ExitCode {
    let result = match command {
        TokenCommand::Gen(args) => generate(args),
        TokenCommand::Verify(args) => verify(args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(code) => code,
    }
}

fn generate(args: &GenArgs) -> Result<(), ExitCode> {
    let authentication = load(&args.file.sources())?.config.client.authentication;
    let rules = rules(&authentication, args.channel.is_some());
    let Some(hmac) = &rules.hmac else {
        say("no secret is configured: set client.token.hmac_secret_key");
        return Err(ExitCode::from(EXIT_CONFIG));
    };
    let ttl = match args.ttl {
        Ttl::Seconds(seconds) => Some(seconds),
        Ttl::Forever => None,
    };
    let token = NewToken {
        channel: args.channel.clone(),
        info: args.info.clone(),
        channels: args.channels.clone(),
        ..new_token(rules, &args.user, ttl)
    };
    let exp = token.exp;
    let signed = sign(&token, &hmac.current).map_err(|error| {
        say(&error.to_string());
        ExitCode::from(EXIT_FAILURE)
    })?;
    if !args.quiet {
        let kind = kind(args.channel.as_deref());
        let until = exp.map_or("forever".into(), |exp| format!("until {exp}"));
        say(&format!("HS256 {kind} of user {:?}, {until}:", args.user));
    }
    print(&signed);
    Ok(())
}

/// A connection token of `user` as the rules want it, good for `ttl` seconds or for ever.
pub(super) fn new_token(rules: &TokenRules, user: &str, ttl: Option<u64>) -> NewToken {
    let now = unix_seconds();
    NewToken {
        sub: user.to_owned(),
        iat: now,
        exp: ttl.map(|ttl| now.saturating_add(ttl)),
        aud: exact(rules.audience.as_ref()),
        iss: exact(rules.issuer.as_ref()),
        ..NewToken::default()
    }
}

fn verify(args: &VerifyArgs) -> Result<(), ExitCode> {
    let authentication = load(&args.file.sources())?.config.client.authentication;
    let verdict = verdict(&authentication, &args.token, unix_seconds());
    match actix_rt::System::new().block_on(verdict) {
        Ok(held) if args.json => print(&held.to_string()),
        Ok(held) => {
            let channel = held["channel"].as_str();
            print(&format!("{} of user {} holds", kind(channel), held["user"]));
        }
        Err(error) => {
            if args.json {
                print(&json!({"valid": false, "error": error.to_string()}).to_string());
            } else {
                say(&error.to_string());
            }
            return Err(ExitCode::from(EXIT_FAILURE));
        }
    }
    Ok(())
}

/// What a token says that holds. By its claims it is of one kind, and each kind may have rules of
/// its own: it is tried as a connection's first, which names a subscription's as such.
async fn verdict(
    authentication: &Authentication,
    token: &str,
    now: u64,
) -> Result<serde_json::Value, TokenError> {
    let is_skipped = authentication.insecure_skip_token_signature_verify;
    let verifier =
        |is_subscription| Verifier::new(rules(authentication, is_subscription), is_skipped);
    match verifier(false).connection(token, now).await {
        Ok(held) => Ok(
            json!({"valid": true, "user": held.user, "expire_at": held.expire_at,
            "channels": held.subs.into_keys().collect::<Vec<_>>()}),
        ),
        // With another key for subscriptions, theirs look like forged connections'.
        Err(first @ TokenError::Invalid(reason)) => {
            let held = verifier(true).subscription(token, now).await;
            let held = held.map_err(|error| match reason {
                Invalid::HasChannel => error,
                _ => first,
            })?;
            Ok(
                json!({"valid": true, "user": held.user, "expire_at": held.expire_at,
                "channel": held.channel}),
            )
        }
        Err(error @ (TokenError::Expired | TokenError::Unavailable)) => Err(error),
    }
}

fn rules(authentication: &Authentication, is_subscription: bool) -> &TokenRules {
    match &authentication.subscription_token {
        Some(rules) if is_subscription => rules,
        _ => &authentication.token,
    }
}

/// A claim that must be exactly this can be filled in; one that must match cannot.
fn exact(rule: Option<&ClaimRule>) -> Option<String> {
    match rule {
        Some(ClaimRule::Exact(text)) => Some(text.clone()),
        _ => None,
    }
}

fn kind(channel: Option<&str>) -> String {
    channel.map_or("connection token".into(), |channel| {
        format!("subscription token for channel {channel:?}")
    })
}

fn unix_seconds() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH);
    elapsed.map_or(0, |elapsed| elapsed.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Sources, load};

    fn authentication(variables: &[(&str, &str)]) -> Authentication {
        let variable = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let sources = Sources {
            environment: variables.iter().map(variable).collect(),
            ..Sources::default()
        };
        let Config { client, .. } = load(&sources).unwrap().config;
        client.authentication
    }

    fn token(authentication: &Authentication, channel: Option<&str>) -> String {
        let rules = rules(authentication, channel.is_some());
        let token = NewToken {
            sub: "42".into(),
            exp: Some(100),
            channel: channel.map(Into::into),
            ..NewToken::default()
        };
        sign(&token, &rules.hmac.as_ref().unwrap().current).unwrap()
    }

    fn verdict_now(
        authentication: &Authentication,
        token: &str,
        now: u64,
    ) -> Result<serde_json::Value, TokenError> {
        actix_rt::System::new().block_on(verdict(authentication, token, now))
    }

    #[test]
    fn a_token_is_verified_as_what_it_is() {
        let same = [("CAMPANILE_CLIENT_TOKEN_HMAC_SECRET_KEY", "a")];
        let other = [
            same[0],
            ("CAMPANILE_CLIENT_SUBSCRIPTION_TOKEN_ENABLED", "true"),
            ("CAMPANILE_CLIENT_SUBSCRIPTION_TOKEN_HMAC_SECRET_KEY", "b"),
        ];
        for variables in [&same[..], &other[..]] {
            let authentication = authentication(variables);
            let connection = token(&authentication, None);
            let held = verdict_now(&authentication, &connection, 99).unwrap();
            assert_eq!(
                (&held["user"], &held["channel"]),
                (&json!("42"), &json!(null))
            );
            let late = verdict_now(&authentication, &connection, 100);
            assert_eq!(late.unwrap_err(), TokenError::Expired);
            let subscription = token(&authentication, Some("news"));
            let held = verdict_now(&authentication, &subscription, 99).unwrap();
            assert_eq!(held["channel"], "news");
        }
        let authentication = authentication(&same);
        let late = verdict_now(&authentication, &token(&authentication, Some("news")), 100);
        assert_eq!(late.unwrap_err(), TokenError::Expired);
        let forged = verdict_now(&authentication, "a.b.c", 0).unwrap_err();
        assert_eq!(forged, TokenError::Invalid(Invalid::Malformed));
    }

    #[test]
    fn info_is_json_and_not_a_text_of_it() {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            args: GenArgs,
        }
        let parse = |info| <Line as clap::Parser>::try_parse_from(["gen", "--info", info]);
        let line = parse(r#"{"a":1}"#).ok().unwrap();
        assert_eq!(line.args.info, Some(json!({"a": 1})));
        assert!(parse("{a}").is_err());
    }

    #[test]
    fn lifetimes_are_seconds_durations_or_endless() {
        for (text, ttl) in [
            ("3600", Some(Ttl::Seconds(3600))),
            ("1h", Some(Ttl::Seconds(3600))),
            ("-1", Some(Ttl::Forever)),
            ("-2", None),
            ("soon", None),
        ] {
            assert_eq!(text.parse::<Ttl>().ok(), ttl, "{text}");
        }
    }
}
