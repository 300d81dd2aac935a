//! Every algorithm with its own key, and none with another's.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm::{self, *};
use jsonwebtoken::EncodingKey;
use rcgen::{KeyPair, PKCS_ECDSA_P521_SHA512, PKCS_RSA_SHA256, RsaKeySize};
use serde_json::json;

use super::signer::{RSA, Signer};
use super::{NOW, connect, hmac_rules, invalid, signed, signed_with};
use crate::config::{HmacKeys, Secret, TokenRules};
use crate::token::{Invalid, KeyError, Verifier, VerifyingKey};

fn encode(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

const ALL_RSA: [Algorithm; 6] = [RS256, RS384, RS512, PS256, PS384, PS512];

fn rsa_rules() -> TokenRules {
    let key = VerifyingKey::rsa_from_pem(RSA.public_pem().as_bytes());
    TokenRules {
        rsa: Some(key.unwrap()),
        ..TokenRules::default()
    }
}

fn ecdsa_rules(signer: &Signer) -> TokenRules {
    let key = VerifyingKey::ecdsa_from_pem(signer.public_pem().as_bytes());
    TokenRules {
        ecdsa: Some(key.unwrap()),
        ..TokenRules::default()
    }
}

#[test]
fn an_rsa_key_verifies_all_of_its_algorithms() {
    let verifier = Verifier::new(&rsa_rules(), false);
    for algorithm in ALL_RSA {
        let token = RSA.sign(algorithm, "", &json!({"sub": "42", "exp": NOW + 1}));
        let held = connect(&verifier, &token).unwrap();
        assert_eq!(held.user, "42", "{algorithm:?}");
        let (message, signature) = token.rsplit_once('.').unwrap();
        let other = RSA.sign(algorithm, "", &json!({"sub": "43"}));
        let (other, _) = other.rsplit_once('.').unwrap();
        assert_eq!(
            connect(&verifier, &format!("{other}.{signature}")),
            invalid(Invalid::Signature),
            "{algorithm:?}"
        );
        assert_eq!(
            connect(&verifier, &format!("{message}.")),
            invalid(Invalid::Signature)
        );
        assert_eq!(
            connect(&verifier, &format!("{message}.!")),
            invalid(Invalid::Signature)
        );
    }
}

#[test]
fn an_ecdsa_key_verifies_the_algorithm_of_its_curve() {
    for (signer, algorithm, other) in [
        (Signer::p256(), ES256, ES384),
        (Signer::p384(), ES384, ES256),
    ] {
        let verifier = Verifier::new(&ecdsa_rules(&signer), false);
        let token = signer.sign(algorithm, "", &json!({"sub": "42"}));
        assert_eq!(connect(&verifier, &token).unwrap().user, "42");
        let stranger = if algorithm == ES256 {
            Signer::p256()
        } else {
            Signer::p384()
        };
        assert_eq!(
            connect(&verifier, &stranger.sign(algorithm, "", &json!({}))),
            invalid(Invalid::Signature)
        );
        let of_other_curve = if other == ES256 {
            Signer::p256()
        } else {
            Signer::p384()
        };
        assert_eq!(
            connect(&verifier, &of_other_curve.sign(other, "", &json!({}))),
            invalid(Invalid::Algorithm)
        );
        assert_eq!(
            connect(&verifier, &RSA.sign(RS256, "", &json!({}))),
            invalid(Invalid::Algorithm)
        );
    }
}

#[test]
fn a_signature_under_a_header_that_names_another_algorithm_is_refused() {
    let (p256, p384) = (Signer::p256(), Signer::p384());
    let rules = TokenRules {
        rsa: rsa_rules().rsa,
        ..ecdsa_rules(&p384)
    };
    let verifier = Verifier::new(&rules, false);
    let forge = |named: Algorithm, signer: &Signer, algorithm| {
        let header = encode(&json!({"alg": named}).to_string());
        let message = format!("{header}.{}", encode("{}"));
        format!("{message}.{}", signer.signature(algorithm, &message))
    };
    for (named, signer, algorithm, reason) in [
        (ES384, &p256, ES256, Invalid::Signature),
        (ES256, &p384, ES384, Invalid::Algorithm),
        (RS256, &p384, ES384, Invalid::Signature),
        (ES384, &*RSA, RS256, Invalid::Signature),
        (PS256, &*RSA, RS256, Invalid::Signature),
        (RS256, &*RSA, PS256, Invalid::Signature),
        (RS512, &*RSA, RS256, Invalid::Signature),
    ] {
        let forged = forge(named, signer, algorithm);
        assert_eq!(connect(&verifier, &forged), invalid(reason), "{named:?}");
    }
    assert!(connect(&verifier, &forge(ES384, &p384, ES384)).is_ok());
}

#[test]
fn a_public_key_is_no_secret() {
    let public = RSA.public_pem();
    let der = rustls_pki_types::pem::PemObject::from_pem_slice(public.as_bytes());
    let der: rustls_pki_types::SubjectPublicKeyInfoDer<'_> = der.unwrap();
    let hmac = HmacKeys {
        current: Secret::new("secret"),
        previous: None,
    };
    let both = TokenRules {
        hmac: Some(hmac),
        ..rsa_rules()
    };
    let secrets: [&[u8]; 4] = [
        public.as_bytes(),
        public.trim_end().as_bytes(),
        &der,
        &der[24..],
    ];
    for secret in secrets {
        for algorithm in [HS256, HS384, HS512] {
            let header = jsonwebtoken::Header::new(algorithm);
            let key = EncodingKey::from_secret(secret);
            let forged = jsonwebtoken::encode(&header, &json!({"sub": "1"}), &key).unwrap();
            let of = |rules: &TokenRules| connect(&Verifier::new(rules, false), &forged);
            assert_eq!(of(&rsa_rules()), invalid(Invalid::Algorithm));
            assert_eq!(of(&both), invalid(Invalid::Signature));
        }
    }
}

#[test]
fn keys_of_all_families_stand_side_by_side() {
    let p256 = Signer::p256();
    let rules = TokenRules {
        hmac: hmac_rules().hmac,
        rsa: rsa_rules().rsa,
        ..ecdsa_rules(&p256)
    };
    let verifier = Verifier::new(&rules, false);
    let claims = json!({"sub": "42"});
    for token in [
        signed(&claims),
        signed_with(HS512, "secret", &claims),
        RSA.sign(PS384, "x", &claims),
        p256.sign(ES256, "x", &claims),
    ] {
        assert_eq!(connect(&verifier, &token).unwrap().user, "42");
    }
    let token = Signer::ed25519().sign(EdDSA, "", &claims);
    assert_eq!(connect(&verifier, &token), invalid(Invalid::Algorithm));
}

#[test]
fn what_is_no_public_key_of_the_right_type_is_refused() {
    let (p256, ed25519) = (Signer::p256(), Signer::ed25519());
    let p521 = KeyPair::generate_for(&PKCS_ECDSA_P521_SHA512).unwrap();
    let damaged = RSA.public_pem().replacen("MII", "MIJ", 1);
    let rsa = |text: &str| VerifyingKey::rsa_from_pem(text.as_bytes()).map(|_| ());
    let ecdsa = |text: &str| VerifyingKey::ecdsa_from_pem(text.as_bytes()).map(|_| ());
    assert_eq!(rsa(&RSA.private_pem()), Err(KeyError::Private));
    assert_eq!(rsa(&p256.public_pem()), Err(KeyError::NotRsa));
    assert_eq!(rsa(&ed25519.public_pem()), Err(KeyError::NotRsa));
    assert_eq!(rsa(&damaged), Err(KeyError::NotRsa));
    assert_eq!(rsa("secret"), Err(KeyError::NotPem));
    assert_eq!(ecdsa(&p256.private_pem()), Err(KeyError::Private));
    assert_eq!(ecdsa(&RSA.public_pem()), Err(KeyError::Curve));
    assert_eq!(ecdsa(&ed25519.public_pem()), Err(KeyError::Curve));
    assert_eq!(ecdsa(&p521.public_key_pem()), Err(KeyError::Curve));
    let rsa_4096 = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_4096).unwrap();
    assert_eq!(rsa(&rsa_4096.public_key_pem()), Ok(()));
}

#[test]
fn a_weak_rsa_key_is_refused() {
    const RSA_1024: &str = "-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDERfbFbOAcL3gfTE1ZQJu98gA0
WEOiUywvG0/ZRW4vb4TYIEpYS/U4zBfCV2OHjE6WZQsIMRGJY0mVqdh7zhptz4ft
/D8wwWdXKcnwMl/i/xVQmirICsC/fpmavOXv5PdtxOtXAbfp50pzgqv+E/6NdqDD
XJOpmv96SOimgqmBxQIDAQAB
-----END PUBLIC KEY-----
";
    let weak = VerifyingKey::rsa_from_pem(RSA_1024.as_bytes()).map(|_| ());
    assert_eq!(weak, Err(KeyError::RsaSize));
}

#[test]
fn pkcs_1_is_read_too() {
    let spki = RSA.public_pem();
    let der = rustls_pki_types::pem::PemObject::from_pem_slice(spki.as_bytes());
    let der: rustls_pki_types::SubjectPublicKeyInfoDer<'_> = der.unwrap();
    let body = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &der[24..]);
    let lines: Vec<_> = body
        .as_bytes()
        .chunks(64)
        .map(|l| str::from_utf8(l).unwrap())
        .collect();
    let pem = format!(
        "-----BEGIN RSA PUBLIC KEY-----\n{}\n-----END RSA PUBLIC KEY-----\n",
        lines.join("\n")
    );
    let rules = TokenRules {
        rsa: Some(VerifyingKey::rsa_from_pem(pem.as_bytes()).unwrap()),
        ..TokenRules::default()
    };
    let token = RSA.sign(RS256, "", &json!({"sub": "42"}));
    assert!(connect(&Verifier::new(&rules, false), &token).is_ok());
}
