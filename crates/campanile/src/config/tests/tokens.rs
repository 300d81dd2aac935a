//! Keys of tokens, and where they are.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P521_SHA512, PKCS_ED25519};

use super::{errors, load_toml, warnings};
use crate::config::{Sources, TokenRules};

const RSA: &str = "-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAoNzSR3QnQeVN9Cc3VTnc
rGCjW1VbFoVnS/GFIsY7tECwRO4MXHDmSATklX7G3uObAqJ3/mjGqB0RcdlD+fAt
hJppbrqr4Q3hrUeNy8FYv7plVM4TrV3+VhIuwqPej1TDXQ7j4CDzQ9cO6x1e5Ad9
biL0FHK0bGX859JEAexwsVJlZKPuObQfw6mcWkHrq+XVH8Obfp+GzMT6Fw2H81Ip
yVCEfjOz66M/ecjUb5ueN7Q+Odplw4Scclk8euVqABqofIGwkeVJll/x1wFpoUrt
n5j6wsdWMFulOb0trpsKhDrV5fm832U3Kh4uvdYvRqB7pBzoQQPi9kd/E5Z9I00O
lQIDAQAB
-----END PUBLIC KEY-----
";

fn rules(text: &str) -> TokenRules {
    let loaded = load_toml(text, &Sources::default());
    loaded.unwrap().config.client.authentication.token
}

#[test]
fn a_public_key_may_be_pem_base64_of_it_or_a_file() {
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let path = std::env::temp_dir().join(format!("campanile-{}.pem", std::process::id()));
    std::fs::write(&path, pair.public_key_pem()).unwrap();
    for given in [
        pair.public_key_pem(),
        STANDARD.encode(pair.public_key_pem()),
        path.display().to_string(),
    ] {
        let rules = rules(&format!("[client.token]\necdsa_public_key = '''{given}'''"));
        assert!(rules.ecdsa.is_some() && rules.rsa.is_none(), "{given}");
        assert!(rules.has_keys());
    }
    std::fs::remove_file(path).unwrap();
    let rules = rules(&format!("[client.token]\nrsa_public_key = '''{RSA}'''"));
    assert!(rules.rsa.is_some() && rules.has_keys());
    assert!(!TokenRules::default().has_keys());
}

#[test]
fn what_is_no_key_is_told_with_its_place() {
    let pem = |algorithm| KeyPair::generate_for(algorithm).unwrap();
    let p256 = pem(&PKCS_ECDSA_P256_SHA256);
    let set = |name: &str, value: &str| {
        errors(&format!("[client.token]\n{name} = '''{value}'''")).join("\n")
    };
    for (name, value, reason) in [
        ("rsa_public_key", p256.public_key_pem(), "no RSA public key"),
        (
            "rsa_public_key",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".into(),
            "no public key in PEM",
        ),
        (
            "ecdsa_public_key",
            p256.serialize_pem(),
            "a private key; the public one belongs here",
        ),
        (
            "ecdsa_public_key",
            pem(&PKCS_ECDSA_P521_SHA512).public_key_pem(),
            "no ECDSA public key of P-256 (ES256) or P-384 (ES384)",
        ),
        (
            "ecdsa_public_key",
            pem(&PKCS_ED25519).public_key_pem(),
            "no ECDSA public key of P-256 (ES256) or P-384 (ES384)",
        ),
        (
            "ecdsa_public_key",
            RSA.into(),
            "no ECDSA public key of P-256 (ES256) or P-384 (ES384)",
        ),
    ] {
        let told = format!("campanile.toml:2:1: client.token.{name}: {reason}");
        assert_eq!(set(name, &value), told);
    }
    let told = set("rsa_public_key", "no/such.pem");
    assert!(
        told.starts_with("campanile.toml:2:1: client.token.rsa_public_key: neither PEM nor"),
        "{told}"
    );
    assert!(
        !told.contains("no/such"),
        "a damaged key is not quoted: {told}"
    );
}

#[test]
fn an_endpoint_needs_a_rule_for_what_is_filled_in() {
    let with = |rules: &str, url: &str| {
        format!("[client.token]\njwks_public_endpoint = '{url}'\n{rules}\n")
    };
    let issuer = "issuer_regex = '^https://a/(?P<tenant>[a-z]+)$'";
    let both = format!("{issuer}\naudience_regex = '(?P<tenant>.*)'");
    let place = "campanile.toml:2:1: client.token.jwks_public_endpoint: ";
    for (rules, url, told) in [
        ("", "ftp://a/b", "expected an http or https URL"),
        (
            "",
            "http://user:pw@a/b",
            "must not have a user name or password",
        ),
        (
            issuer,
            "https://{{tenant}}.a/jwks",
            "only path and query may have {{names}} to fill in",
        ),
        (
            "issuer = 'a'",
            "https://a/{{tenant}}",
            "\"tenant\" is no group of issuer_regex or audience_regex",
        ),
        (
            &both,
            "https://a/{{tenant}}",
            "\"tenant\" is a group of both issuer_regex and audience_regex",
        ),
    ] {
        assert_eq!(errors(&with(rules, url)), [format!("{place}{told}")]);
    }
    let rules = rules(&with(issuer, "https://a/{{tenant}}/jwks"));
    assert!(rules.jwks.is_some() && rules.has_keys());
}

#[test]
fn the_query_of_an_endpoint_is_not_shown() {
    let text = "[client.token]\njwks_public_endpoint = 'https://a/jwks?key=s3cret'\n";
    let loaded = load_toml(text, &Sources::default()).unwrap();
    for shown in [loaded.to_toml(), loaded.to_json().to_string()] {
        assert!(shown.contains("\"https://a/jwks?***\""), "{shown}");
        assert!(!shown.contains("s3cret"), "{shown}");
    }
}

#[test]
fn a_key_beside_an_endpoint_is_warned_about() {
    let text = "[client.token]\njwks_public_endpoint = 'https://a/jwks'\nhmac_secret_key = 's'\n";
    let told = "campanile.toml:3:1: client.token.hmac_secret_key: \
                has no effect beside client.token.jwks_public_endpoint";
    assert_eq!(warnings(text), [told]);
}

#[test]
fn subscription_tokens_have_keys_of_their_own() {
    let text = "[client.token]\nhmac_secret_key = 's'\n[client.subscription_token]\n\
                enabled = true\njwks_public_endpoint = 'https://a/jwks'\n";
    let loaded = load_toml(text, &Sources::default()).unwrap();
    let authentication = loaded.config.client.authentication;
    assert!(authentication.token.jwks.is_none());
    assert!(authentication.subscription_token.unwrap().jwks.is_some());
    let bad = text.replace("https:", "");
    assert_eq!(
        errors(&bad),
        [
            "campanile.toml:5:1: client.subscription_token.jwks_public_endpoint: \
          expected an http or https URL"
        ]
    );
}

#[test]
fn the_header_of_a_user_has_a_name() {
    let text = |name| format!("[client]\nuser_id_http_header = '{name}'\n");
    let loaded = load_toml(&text("X-User-Id"), &Sources::default()).unwrap();
    let header = loaded.config.client.authentication.user_id_http_header;
    assert_eq!(header.unwrap().as_str(), "x-user-id");
    assert!(loaded.warnings.is_empty());
    assert_eq!(
        errors(&text("X User")),
        ["campanile.toml:2:1: client.user_id_http_header: \"X User\" is no name of a header"]
    );
}
