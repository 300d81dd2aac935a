//! What Redis is asked: commands as it reads them, and scripts that it knows by their digest.

use std::fmt::Write as _;
use std::sync::OnceLock;

use bytes::{BufMut as _, Bytes, BytesMut};
use sha1::{Digest as _, Sha1};

/// A script that Redis runs: whatever it does, it does at once.
pub(crate) struct Script {
    text: &'static str,
    digest: OnceLock<String>,
}

impl Script {
    /// The script with this text.
    pub(crate) const fn new(text: &'static str) -> Self {
        Self {
            text,
            digest: OnceLock::new(),
        }
    }

    fn digest(&self) -> &str {
        self.digest.get_or_init(|| {
            let mut hex = String::with_capacity(40);
            for byte in Sha1::digest(self.text) {
                write!(hex, "{byte:02x}").expect("a string takes all");
            }
            hex
        })
    }

    /// To run it; `is_known` where Redis has been told its text.
    pub(super) fn call(&self, is_known: bool, keys: &[&[u8]], arguments: &[&[u8]]) -> Bytes {
        let (verb, script) = if is_known {
            ("EVALSHA", self.digest())
        } else {
            ("EVAL", self.text)
        };
        let count = keys.len().to_string();
        let head = [verb.as_bytes(), script.as_bytes(), count.as_bytes()];
        encode(head.iter().chain(keys).chain(arguments).copied())
    }
}

/// A command as Redis reads it.
pub(crate) fn command(parts: &[&[u8]]) -> Bytes {
    encode(parts.iter().copied())
}

fn encode<'a>(parts: impl Iterator<Item = &'a [u8]> + Clone) -> Bytes {
    let bytes: usize = parts.clone().map(|part| part.len() + 16).sum();
    let mut output = BytesMut::with_capacity(bytes + 16);
    write(&mut output, parts);
    output.freeze()
}

/// Appends a command as Redis reads it.
pub(super) fn write<'a>(output: &mut BytesMut, parts: impl Iterator<Item = &'a [u8]> + Clone) {
    put_header(output, b'*', parts.clone().count());
    for part in parts {
        put_header(output, b'$', part.len());
        output.put_slice(part);
        output.put_slice(b"\r\n");
    }
}

fn put_header(output: &mut BytesMut, kind: u8, number: usize) {
    output.put_u8(kind);
    write!(output, "{number}\r\n").expect("a buffer grows");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_a_list_of_its_parts() {
        let bytes = command(&[b"GET", b"a\r\nb"]);
        assert_eq!(&bytes[..], b"*2\r\n$3\r\nGET\r\n$4\r\na\r\nb\r\n");
    }

    #[test]
    fn a_script_is_called_by_its_digest_once_it_is_known() {
        let script = Script::new("return 1");
        let known = script.call(true, &[b"k"], &[b"a"]);
        assert_eq!(
            &known[..],
            &b"*5\r\n$7\r\nEVALSHA\r\n$40\r\ne0e1f9fabfc9d4800c877a703b823ac0578ff8db\r\n\
               $1\r\n1\r\n$1\r\nk\r\n$1\r\na\r\n"[..]
        );
        let unknown = script.call(false, &[], &[]);
        assert!(unknown.ends_with(b"$4\r\nEVAL\r\n$8\r\nreturn 1\r\n$1\r\n0\r\n"));
    }
}
