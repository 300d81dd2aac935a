//! Tokens good and bad, at a moment of the tests' choosing.

mod algorithms;
pub(super) mod signer;

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use super::{ChannelGrant, ConnectionToken, Invalid, NewToken, TokenError, Verifier, sign};
use crate::config::{ClaimRule, HmacKeys, PreviousKey, Secret, TokenRules};

const NOW: u64 = 1_800_000_000;

fn hmac_rules() -> TokenRules {
    TokenRules {
        hmac: Some(HmacKeys {
            current: Secret::new("secret"),
            previous: None,
        }),
        ..TokenRules::default()
    }
}

fn verifier() -> Verifier {
    Verifier::new(&hmac_rules(), false)
}

/// The outcome of a verification that has nothing to wait for: all keys are configured.
fn at_once<T>(verification: impl Future<Output = T>) -> T {
    match pin!(verification).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => panic!("it waits"),
    }
}

fn connect(verifier: &Verifier, token: &str) -> Result<ConnectionToken, TokenError> {
    at_once(verifier.connection(token, NOW))
}

fn signed(claims: &Value) -> String {
    signed_with(Algorithm::HS256, "secret", claims)
}

fn signed_with(algorithm: Algorithm, secret: &str, claims: &Value) -> String {
    let key = EncodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::encode(&Header::new(algorithm), claims, &key).unwrap()
}

/// A token with any header at all and the right HMAC-SHA256 of it.
fn signed_under(header: &Value, claims: &Value) -> String {
    signed_texts(&header.to_string(), &claims.to_string())
}

/// A token with these claims to the letter.
fn signed_text(claims: &str) -> String {
    signed_texts(r#"{"alg":"HS256"}"#, claims)
}

fn signed_texts(header: &str, claims: &str) -> String {
    let encode = |part: &str| URL_SAFE_NO_PAD.encode(part);
    let message = format!("{}.{}", encode(header), encode(claims));
    let key = EncodingKey::from_secret(b"secret");
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
    format!("{message}.{signature}")
}

fn connection(claims: &Value) -> Result<ConnectionToken, TokenError> {
    connect(&verifier(), &signed(claims))
}

fn invalid<T>(reason: Invalid) -> Result<T, TokenError> {
    Err(TokenError::Invalid(reason))
}

#[test]
fn a_signed_token_holds() {
    let token = sign(
        &NewToken {
            sub: "42".into(),
            iat: NOW,
            exp: Some(NOW + 60),
            info: Some(json!({"name": "Ada"})),
            channels: vec!["news".into()],
            ..NewToken::default()
        },
        &Secret::new("secret"),
    )
    .unwrap();
    let held = connect(&verifier(), &token).unwrap();
    assert_eq!(held.user, "42");
    assert_eq!(held.expire_at, Some(NOW + 60));
    assert_eq!(held.info.unwrap(), r#"{"name":"Ada"}"#);
    assert_eq!(held.subs.into_keys().collect::<Vec<_>>(), ["news"]);
}

#[test]
fn all_hmac_algorithms_are_enabled() {
    for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
        let token = signed_with(algorithm, "secret", &json!({"sub": "42"}));
        let held = connect(&verifier(), &token).unwrap();
        assert_eq!((held.user.as_str(), held.expire_at), ("42", None));
    }
}

#[test]
fn an_empty_secret_signs_nothing_and_verifies_nothing() {
    assert!(sign(&NewToken::default(), &Secret::default()).is_err());
    let token = signed_with(Algorithm::HS256, "", &json!({}));
    let no_keys = Verifier::new(&TokenRules::default(), false);
    assert_eq!(connect(&no_keys, &token), invalid(Invalid::Algorithm));
}

#[test]
fn other_algorithms_are_refused() {
    let claims = json!({"sub": "42"});
    for algorithm in [
        "none", "None", "NONE", "", "HS1", "hs256", "HS256 ", "ES512", "ES256K", "RSA1_5",
        // A public key taken for a secret is how this goes wrong elsewhere.
        "RS256", "PS256", "ES256", "ES384", "EdDSA",
    ] {
        let reason = Invalid::Algorithm;
        let token = signed_under(&json!({"alg": algorithm, "typ": "JWT"}), &claims);
        assert_eq!(connect(&verifier(), &token), invalid(reason), "{algorithm}");
        let unsigned = token.rsplit_once('.').unwrap().0.to_owned() + ".";
        assert_eq!(
            connect(&verifier(), &unsigned),
            invalid(reason),
            "{algorithm}"
        );
    }
}

#[test]
fn a_critical_header_nobody_understands_is_refused() {
    let header = json!({"alg": "HS256", "crit": ["exp"]});
    let token = signed_under(&header, &json!({}));
    assert_eq!(connect(&verifier(), &token), invalid(Invalid::Malformed));
}

#[test]
fn texts_that_are_no_tokens_are_refused() {
    for text in ["", ".", "..", "a.b.c", "a.b.c.d", "\u{0}"] {
        assert_eq!(
            connect(&verifier(), text),
            invalid(Invalid::Malformed),
            "{text}"
        );
    }
}

#[test]
fn a_token_holds_until_the_second_it_expires() {
    assert!(connection(&json!({"exp": NOW + 1})).is_ok());
    assert!(connection(&json!({"exp": NOW as f64 + 0.5})).is_ok());
    assert_eq!(connection(&json!({"exp": NOW})), Err(TokenError::Expired));
    assert_eq!(connection(&json!({"exp": 0})), Err(TokenError::Expired));
}

#[test]
fn a_token_of_the_future_counts_as_expired() {
    assert_eq!(
        connection(&json!({"nbf": NOW + 1})),
        Err(TokenError::Expired)
    );
    assert!(connection(&json!({"nbf": NOW})).is_ok());
}

#[test]
fn an_expired_token_with_a_wrong_signature_is_invalid() {
    let token = signed_with(Algorithm::HS256, "wrong", &json!({"exp": NOW - 1}));
    assert_eq!(connect(&verifier(), &token), invalid(Invalid::Signature));
}

#[test]
fn a_malformed_claim_is_not_an_absent_one() {
    for claims in [
        json!({"exp": (NOW + 60).to_string()}),
        json!({"nbf": "0"}),
        json!({"iat": true}),
        json!({"sub": 42}),
        json!({"aud": 1}),
        json!({"expire_at": -1}),
        json!({"channels": "news"}),
        json!({"channels": [1]}),
        json!({"subs": []}),
        json!({"subs": {"news": {"override": {"presence": true}}}}),
        json!({"channel": 1}),
        json!([]),
    ] {
        assert_eq!(connection(&claims), invalid(Invalid::Claims), "{claims}");
    }
}

#[test]
fn expire_at_separates_the_connection_from_the_token() {
    let expire_at = |claims| connection(&claims).unwrap().expire_at;
    let exp = NOW + 60;
    assert_eq!(expire_at(json!({"exp": exp})), Some(exp));
    assert_eq!(
        expire_at(json!({"exp": exp, "expire_at": NOW + 9})),
        Some(NOW + 9)
    );
    assert_eq!(expire_at(json!({"exp": exp, "expire_at": 0})), None);
    assert_eq!(expire_at(json!({})), None);
    let late = json!({"exp": NOW, "expire_at": 0});
    assert_eq!(connection(&late), Err(TokenError::Expired));
}

#[test]
fn a_subscription_token_cannot_connect() {
    let claims = json!({"sub": "42", "channel": "news", "exp": NOW - 1});
    assert_eq!(connection(&claims), invalid(Invalid::HasChannel));
    assert!(connection(&json!({"channel": ""})).is_ok());
}

#[test]
fn a_subscription_token_grants_its_channel() {
    let claims = json!({"sub": "42", "channel": "$news", "client": "c", "exp": NOW + 5,
        "info": {"a": 1}, "b64data": "AAE=",
        "override": {"force_recovery": {"value": true}, "presence": {}}});
    let held = at_once(verifier().subscription(&signed(&claims), NOW)).unwrap();
    assert_eq!((held.user.as_str(), held.channel.as_str()), ("42", "$news"));
    assert_eq!(held.client.as_deref(), Some("c"));
    assert_eq!(held.expire_at, Some(NOW + 5));
    assert_eq!(held.grant.info.unwrap(), r#"{"a":1}"#);
    assert_eq!(held.grant.data.unwrap(), [0, 1].as_slice());
    let overrides = held.grant.overrides;
    assert_eq!(overrides.force_recovery, Some(true));
    assert_eq!(overrides.presence, Some(false));
    assert_eq!(overrides.join_leave, None);
}

#[test]
fn a_subscription_token_needs_a_channel() {
    let subscription = |claims| at_once(verifier().subscription(&signed(&claims), NOW));
    assert_eq!(subscription(json!({})), invalid(Invalid::HasNoChannel));
    // The dates come first.
    assert_eq!(subscription(json!({"exp": 1})), Err(TokenError::Expired));
}

#[test]
fn subs_win_over_channels() {
    let claims = json!({"channels": ["a"], "subs": {"b": {"b64info": "AA==", "info": 1}}});
    let subs = connection(&claims).unwrap().subs;
    assert_eq!(subs.keys().collect::<Vec<_>>(), ["b"]);
    assert_eq!(subs["b"].info.as_deref(), Some(&[0][..]));
    let plain = connection(&json!({"channels": ["a"], "subs": {}}))
        .unwrap()
        .subs;
    assert_eq!(plain["a"], ChannelGrant::default());
}

#[test]
fn bad_base64_is_invalid() {
    for claims in [
        json!({"b64info": "?"}),
        json!({"subs": {"a": {"b64data": "?"}}}),
    ] {
        assert_eq!(connection(&claims), invalid(Invalid::Base64), "{claims}");
    }
}

#[test]
fn the_previous_key_holds_until_its_time() {
    let rules = |valid_until| TokenRules {
        hmac: Some(HmacKeys {
            current: Secret::new("new"),
            previous: Some(PreviousKey {
                key: Secret::new("secret"),
                valid_until,
            }),
        }),
        ..TokenRules::default()
    };
    let token = signed(&json!({"sub": "42"}));
    let verify = |valid_until| connect(&Verifier::new(&rules(valid_until), false), &token);
    assert!(verify(None).is_ok());
    assert!(verify(Some(NOW + 1)).is_ok());
    assert_eq!(verify(Some(NOW)), invalid(Invalid::Signature));
    let current = signed_with(Algorithm::HS256, "new", &json!({}));
    let verifier = Verifier::new(&rules(Some(NOW)), false);
    assert!(connect(&verifier, &current).is_ok());
}

#[test]
fn audience_and_issuer_must_fit() {
    let exact = TokenRules {
        audience: Some(ClaimRule::Exact("chat".into())),
        issuer: Some(ClaimRule::Exact("auth".into())),
        ..hmac_rules()
    };
    let regex = TokenRules {
        audience: Some(ClaimRule::Matches(regex::Regex::new("^ch").unwrap())),
        issuer: Some(ClaimRule::Matches(regex::Regex::new("^au").unwrap())),
        ..hmac_rules()
    };
    for rules in [exact, regex] {
        let verify = |claims: Value| {
            let held = connect(&Verifier::new(&rules, false), &signed(&claims));
            held.map(|_| ())
        };
        assert_eq!(verify(json!({"aud": "chat", "iss": "auth"})), Ok(()));
        assert_eq!(verify(json!({"aud": ["x", "chat"], "iss": "auth"})), Ok(()));
        assert_eq!(
            verify(json!({"aud": "x", "iss": "auth"})),
            invalid(Invalid::Audience)
        );
        assert_eq!(verify(json!({"iss": "auth"})), invalid(Invalid::Audience));
        assert_eq!(
            verify(json!({"aud": "chat", "iss": "x"})),
            invalid(Invalid::Issuer)
        );
        assert_eq!(
            verify(json!({"aud": "chat", "exp": 1})),
            invalid(Invalid::Issuer)
        );
    }
}

#[test]
fn another_claim_may_name_the_user() {
    let rules = TokenRules {
        user_id_claim: Some("uid".into()),
        ..hmac_rules()
    };
    let user = |claims: Value| {
        let held = connect(&Verifier::new(&rules, false), &signed(&claims));
        held.map(|held| held.user)
    };
    assert_eq!(user(json!({"uid": "7", "sub": "x"})), Ok("7".into()));
    assert_eq!(user(json!({"uid": 7})), Ok("7".into()));
    assert_eq!(user(json!({"sub": "x"})), Ok(String::new()));
    assert_eq!(user(json!({"uid": true})), Ok("true".into()));
    assert_eq!(user(json!({"uid": null})), Ok(String::new()));
    for claims in [json!({"uid": {}}), json!({"uid": ["7"]})] {
        assert_eq!(user(claims), invalid(Invalid::Claims));
    }
}

#[test]
fn a_user_of_many_digits_is_not_rounded() {
    let rules = TokenRules {
        user_id_claim: Some("uid".into()),
        ..hmac_rules()
    };
    // As a float, its neighbours would be the same user.
    let token = signed_text(r#"{"uid":36893488147419103233}"#);
    let held = connect(&Verifier::new(&rules, false), &token).unwrap();
    assert_eq!(held.user, "36893488147419103233");
}

#[test]
fn a_claim_that_is_there_twice_is_invalid() {
    let rules = TokenRules {
        user_id_claim: Some("uid".into()),
        ..hmac_rules()
    };
    for claims in [
        r#"{"sub":"1","sub":"2"}"#,
        r#"{"exp":1900000000,"exp":1}"#,
        r#"{"iss":"a","iss":"b"}"#,
        r#"{"channel":"","channel":"a"}"#,
        r#"{"info":1,"info":2}"#,
        r#"{"uid":"1","uid":"2"}"#,
        r#"{"uid":"1","\u0075id":"2"}"#,
    ] {
        let held = connect(&Verifier::new(&rules, false), &signed_text(claims));
        assert_eq!(held, invalid(Invalid::Claims), "{claims}");
    }
    let header = r#"{"alg":"none","alg":"HS256"}"#;
    assert_eq!(
        connect(&verifier(), &signed_texts(header, "{}")),
        invalid(Invalid::Malformed)
    );
}

#[test]
fn a_huge_token_is_judged_like_any_other() {
    let claims = json!({"sub": "42", "info": "x".repeat(1 << 20)});
    assert!(connection(&claims).is_ok());
    let nested = format!(
        r#"{{"info":{}1{}}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    // Raw JSON has no depth; whoever reads it has a limit of their own.
    let _ = connect(&verifier(), &signed_text(&nested));
    let nested = format!(r#"{{"aud":{}}}"#, "[".repeat(100_000));
    let held = connect(&verifier(), &signed_text(&nested));
    assert_eq!(held, invalid(Invalid::Claims));
    for text in ["A".repeat(1 << 20), ".".repeat(1 << 20)] {
        assert_eq!(connect(&verifier(), &text), invalid(Invalid::Malformed));
    }
}

#[test]
fn a_skipped_signature_still_leaves_the_claims() {
    let skipping = Verifier::new(&TokenRules::default(), true);
    let token = |claims| signed_with(Algorithm::HS256, "whatever", &claims);
    assert_eq!(
        connect(&skipping, &token(json!({"sub": "1"})))
            .unwrap()
            .user,
        "1"
    );
    let late = connect(&skipping, &token(json!({"exp": 1})));
    assert_eq!(late, Err(TokenError::Expired));
}

#[test]
fn keys_are_not_printed() {
    assert!(!format!("{:?}", verifier()).contains("\"secret\""));
}
