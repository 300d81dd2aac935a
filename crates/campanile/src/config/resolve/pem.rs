//! Settings that take PEM in any of three forms.

use std::fs;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::config::resolved::PemSource;
use crate::config::secret::Secret;

/// Told apart as Centrifugo does: a PEM text, base64 of one, else a path. Otherwise says why it is
/// none of them.
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
    match fs::metadata(&file) {
        Ok(_) => Ok(PemSource::File(file)),
        Err(error) => Err(format!("neither PEM nor a file that is there: {error}")),
    }
}
