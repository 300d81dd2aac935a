//! Settings that take PEM in any of three forms.

use std::fs;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::resolved::PemSource;
use crate::config::secret::Secret;

/// What a PEM text is there for.
#[derive(Clone, Copy)]
pub(super) enum Content {
    Certificate,
    PrivateKey,
}

/// [`source`], with this in it.
pub(super) fn source_of(content: Content, given: Secret) -> Result<PemSource, String> {
    let source = source(given)?;
    let text = source.read();
    let text = text.map_err(|error| format!("names a file that cannot be read: {error}"))?;
    let (is_there, reason) = match content {
        Content::Certificate => (
            CertificateDer::from_pem_slice(&text).is_ok(),
            "no certificate in it",
        ),
        Content::PrivateKey => (
            PrivateKeyDer::from_pem_slice(&text).is_ok(),
            "no private key in it, or one with a password",
        ),
    };
    is_there.then_some(source).ok_or_else(|| reason.to_owned())
}

/// Told apart as Centrifugo does: a PEM text, base64 of one, else the path of a file of it.
/// Otherwise says why it is none of them.
pub(super) fn source(given: Secret) -> Result<PemSource, String> {
    const BEGIN: &str = "-----BEGIN";
    if given.expose().contains(BEGIN) {
        return Ok(PemSource::Text(given));
    }
    let decoded = STANDARD.decode(given.expose().trim()).ok();
    if let Some(text) = decoded.and_then(|bytes| String::from_utf8(bytes).ok())
        && text.contains(BEGIN)
    {
        return Ok(PemSource::Text(Secret::new(text)));
    }
    let file = PathBuf::from(given.expose());
    // The value is not quoted: it may be a damaged key.
    let found = fs::metadata(&file)
        .map_err(|error| format!("neither PEM nor a file that is there: {error}"))?;
    // A pipe would be empty at the second look, and one that nobody writes to has no end.
    if !found.is_file() {
        return Err("names what is no file".to_owned());
    }
    let text =
        fs::read(&file).map_err(|error| format!("names a file that cannot be read: {error}"))?;
    if !text
        .windows(BEGIN.len())
        .any(|part| part == BEGIN.as_bytes())
    {
        return Err("names a file without PEM".to_owned());
    }
    Ok(PemSource::File(file))
}
