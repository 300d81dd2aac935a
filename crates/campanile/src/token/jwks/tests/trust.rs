//! Which keys count for which tokens.

use jsonwebtoken::Algorithm::{self, ES256, ES384, EdDSA, HS256, PS512, RS256, RS512};
use regex::Regex;
use serde_json::{Value, json};

use super::publisher::{Page, Publisher};
use crate::config::{ClaimRule, HmacKeys, Secret, TokenRules};
use crate::token::tests::signer::{RSA, Signer};
use crate::token::{Invalid, JwksEndpoint, TokenError, Verifier};

const NOW: u64 = 1_800_000_000;

fn rules(publisher: &Publisher, path: &str) -> TokenRules {
    let endpoint = JwksEndpoint::parse(&publisher.url(path)).unwrap();
    TokenRules {
        jwks: Some(endpoint),
        ..TokenRules::default()
    }
}

async fn user(verifier: &Verifier, token: &str) -> Result<String, TokenError> {
    let held = verifier.connection(token, NOW).await;
    held.map(|held| held.user)
}

fn invalid(reason: Invalid) -> Result<String, TokenError> {
    Err(TokenError::Invalid(reason))
}

fn with(mut jwk: Value, name: &str, value: &Value) -> Value {
    jwk[name] = value.clone();
    jwk
}

#[tokio::test]
async fn a_key_is_good_for_what_its_type_is_for() {
    let (p256, p384, ed25519) = (Signer::p256(), Signer::p384(), Signer::ed25519());
    let keys = [
        RSA.jwk("rsa"),
        p256.jwk("p256"),
        p384.jwk("p384"),
        ed25519.jwk("ed"),
    ];
    let publisher = Publisher::with(Page::keys(&keys));
    let verifier = Verifier::new(&rules(&publisher, "/jwks"), false);
    let claims = json!({"sub": "42"});
    let signers: [(&str, &Signer, &[Algorithm]); 4] = [
        ("rsa", &RSA, &[RS256, RS512, PS512]),
        ("p256", &p256, &[ES256]),
        ("p384", &p384, &[ES384]),
        ("ed", &ed25519, &[EdDSA]),
    ];
    for (id, signer, algorithms) in signers {
        for algorithm in algorithms {
            let token = signer.sign(*algorithm, id, &claims);
            assert_eq!(user(&verifier, &token).await, Ok("42".into()));
            for (other, ..) in signers.iter().filter(|(other, ..)| *other != id) {
                let token = signer.sign(*algorithm, other, &claims);
                let held = user(&verifier, &token).await;
                assert_eq!(held, invalid(Invalid::Algorithm), "{id} {other}");
            }
        }
    }
    let late = RSA.sign(RS256, "rsa", &json!({"exp": NOW}));
    assert_eq!(user(&verifier, &late).await, Err(TokenError::Expired));
}

#[tokio::test]
async fn a_key_is_good_for_what_it_says_it_is_for() {
    let p256 = Signer::p256();
    let keys = [
        with(RSA.jwk("rs512"), "alg", &json!("RS512")),
        with(RSA.jwk("sig"), "use", &json!("sig")),
        with(RSA.jwk("verify"), "key_ops", &json!(["verify"])),
        with(RSA.jwk("enc"), "use", &json!("enc")),
        with(RSA.jwk("wrap"), "key_ops", &json!(["wrapKey"])),
        with(RSA.jwk("oaep"), "alg", &json!("RSA-OAEP")),
        with(RSA.jwk("confused"), "alg", &json!("HS256")),
        with(RSA.jwk("other family"), "alg", &json!("ES256")),
        with(RSA.jwk("short"), "n", &json!("AQAB")),
        with(p256.jwk("cut"), "x", &json!("AQAB")),
        with(p256.jwk("p521"), "crv", &json!("P-521")),
        json!({"kty": "oct", "kid": "oct", "k": "c2VjcmV0"}),
        json!({"kty": "OKP", "crv": "Ed448", "kid": "ed448", "x": "AQAB"}),
        json!(["no", "key"]),
        with(RSA.jwk(""), "kid", &Value::Null),
    ];
    let publisher = Publisher::with(Page::keys(&keys));
    let claims = json!({"sub": "42"});
    for (id, algorithm, held) in [
        ("rs512", RS512, Ok("42".into())),
        ("rs512", RS256, invalid(Invalid::Algorithm)),
        ("sig", RS256, Ok("42".into())),
        ("verify", RS256, Ok("42".into())),
        ("enc", RS256, invalid(Invalid::Key)),
        ("wrap", RS256, invalid(Invalid::Key)),
        ("oaep", RS256, invalid(Invalid::Key)),
        ("confused", RS256, invalid(Invalid::Key)),
        ("other family", RS256, invalid(Invalid::Key)),
        ("short", RS256, invalid(Invalid::Key)),
        ("", RS256, invalid(Invalid::Key)),
        ("no such", RS256, invalid(Invalid::Key)),
    ] {
        // One each: a second look for an unknown id has to wait.
        let verifier = Verifier::new(&rules(&publisher, "/jwks"), false);
        let token = RSA.sign(algorithm, id, &claims);
        assert_eq!(user(&verifier, &token).await, held, "{id}");
    }
    for (id, algorithm) in [("cut", ES256), ("p521", ES256)] {
        let verifier = Verifier::new(&rules(&publisher, "/jwks"), false);
        let token = p256.sign(algorithm, id, &claims);
        assert_eq!(user(&verifier, &token).await, invalid(Invalid::Key), "{id}");
    }
    let secret = jsonwebtoken::EncodingKey::from_secret(b"secret");
    let header = jsonwebtoken::Header {
        kid: Some("oct".into()),
        ..jsonwebtoken::Header::new(HS256)
    };
    let forged = jsonwebtoken::encode(&header, &claims, &secret).unwrap();
    let verifier = Verifier::new(&rules(&publisher, "/jwks"), false);
    assert_eq!(user(&verifier, &forged).await, invalid(Invalid::Algorithm));
}

#[tokio::test]
async fn a_skipped_signature_needs_no_key() {
    let publisher = Publisher::start();
    let verifier = Verifier::new(&rules(&publisher, "/jwks"), true);
    let token = RSA.sign(RS256, "1", &json!({"sub": "42"}));
    assert_eq!(user(&verifier, &token).await, Ok("42".into()));
    assert_eq!(publisher.asked(), [""; 0]);
}

#[tokio::test]
async fn beside_published_keys_no_other_counts() {
    let publisher = Publisher::with(Page::keys(&[RSA.jwk("1")]));
    let both = TokenRules {
        hmac: Some(HmacKeys {
            current: Secret::new("secret"),
            previous: None,
        }),
        ..rules(&publisher, "/jwks")
    };
    let verifier = Verifier::new(&both, false);
    let secret = jsonwebtoken::EncodingKey::from_secret(b"secret");
    for id in [None, Some("1".to_owned())] {
        let header = jsonwebtoken::Header {
            kid: id,
            ..jsonwebtoken::Header::new(HS256)
        };
        let token = jsonwebtoken::encode(&header, &json!({"sub": "1"}), &secret).unwrap();
        assert_eq!(user(&verifier, &token).await, invalid(Invalid::Algorithm));
    }
    assert_eq!(publisher.asked(), [""; 0]);
}

#[tokio::test]
async fn while_keys_cannot_be_had_nobody_is_called_a_forger() {
    let publisher = Publisher::with(Page::status("500 Internal Server Error"));
    let verifier = Verifier::new(&rules(&publisher, "/jwks"), false);
    let token = RSA.sign(RS256, "1", &json!({"sub": "42"}));
    assert_eq!(user(&verifier, &token).await, Err(TokenError::Unavailable));
    let late = RSA.sign(RS256, "1", &json!({"exp": 1}));
    assert_eq!(user(&verifier, &late).await, Err(TokenError::Unavailable));
}

#[tokio::test]
async fn two_issuers_with_the_same_id_never_meet() {
    let (a, b) = (Signer::ed25519(), Signer::ed25519());
    let publisher = Publisher::start();
    publisher.set("/a/jwks", Page::keys(&[a.jwk("1")]));
    publisher.set("/b/jwks", Page::keys(&[b.jwk("1")]));
    let regex = Regex::new("^https://auth/(?P<tenant>.+)$").unwrap();
    let rules = TokenRules {
        issuer: Some(ClaimRule::Matches(regex)),
        ..rules(&publisher, "/{{tenant}}/jwks")
    };
    let verifier = Verifier::new(&rules, false);
    let sign = |signer: &Signer, issuer: &str| {
        signer.sign(EdDSA, "1", &json!({"sub": "42", "iss": issuer}))
    };
    for issuer in ["https://evil/a", "x https://auth/a", ""] {
        let held = user(&verifier, &sign(&a, issuer)).await;
        assert_eq!(held, invalid(Invalid::Issuer), "{issuer}");
    }
    for tenant in ["..", "../b", "a%2f..", "a?", "a/jwks#"] {
        let issuer = format!("https://auth/{tenant}");
        let held = user(&verifier, &sign(&a, &issuer)).await;
        assert_eq!(held, invalid(Invalid::Place), "{issuer}");
    }
    assert_eq!(publisher.asked(), [""; 0], "nobody was asked before trust");
    for _ in 0..2 {
        let (as_a, as_b) = ("https://auth/a", "https://auth/b");
        assert_eq!(user(&verifier, &sign(&a, as_a)).await, Ok("42".into()));
        assert_eq!(user(&verifier, &sign(&b, as_b)).await, Ok("42".into()));
        let crossed = [sign(&a, as_b), sign(&b, as_a)];
        for token in crossed {
            let held = user(&verifier, &token).await;
            assert_eq!(held, invalid(Invalid::Signature));
        }
    }
    assert_eq!(publisher.asked(), ["/a/jwks", "/b/jwks"]);
}

#[tokio::test]
async fn the_audience_can_say_where_keys_are_too() {
    let publisher = Publisher::start();
    publisher.set("/b/jwks", Page::keys(&[RSA.jwk("1")]));
    let regex = Regex::new("^app-(?P<app>[a-z]+)$").unwrap();
    let rules = TokenRules {
        audience: Some(ClaimRule::Matches(regex)),
        ..rules(&publisher, "/{{app}}/jwks")
    };
    let verifier = Verifier::new(&rules, false);
    let claims = json!({"sub": "42", "aud": ["x", "app-b"]});
    let token = RSA.sign(RS256, "1", &claims);
    assert_eq!(user(&verifier, &token).await, Ok("42".into()));
}

#[tokio::test]
async fn an_id_is_only_ever_compared() {
    let publisher = Publisher::with(Page::keys(&[RSA.jwk("1")]));
    for id in [
        "../../etc/passwd",
        "http://169.254.169.254/keys",
        "1' OR '1'='1",
        "1\0",
        " 1",
    ] {
        let verifier = Verifier::new(&rules(&publisher, "/jwks"), false);
        let token = RSA.sign(RS256, id, &json!({}));
        assert_eq!(user(&verifier, &token).await, invalid(Invalid::Key), "{id}");
    }
    assert_eq!(publisher.asked(), ["/jwks"; 5]);
}
