//! Where a client is, when proxies stand in front: `X-Forwarded-For`, as far as it is written by
//! somebody who is trusted.

use std::net::IpAddr;
use std::str::FromStr;

use actix_http::header::{HeaderMap, HeaderName, HeaderValue};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Addresses of one or several machines: `10.0.0.0/8`, `::1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// Of the width of IPv6; those of IPv4 are mapped (RFC 4291, section 2.5.5.2).
    bits: u128,
    prefix: u32,
}

/// A text that names no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotANetwork;

impl FromStr for Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NotANetwork)?;
        let (width, unused) = if address.is_ipv4() {
            (32, 96)
        } else {
            (128, 0)
        };
        let prefix: u32 = match prefix {
            Some(prefix) => prefix.parse().map_err(|_| NotANetwork)?,
            None => width,
        };
        if prefix > width {
            return Err(NotANetwork);
        }
        Ok(Self {
            bits: bits(address),
            prefix: prefix + unused,
        })
    }
}

impl Network {
    fn has(&self, address: IpAddr) -> bool {
        let differing = self.bits ^ bits(address);
        // None of the bits in front.
        differing.checked_shr(128 - self.prefix).unwrap_or(0) == 0
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// Where the client is whose request came from `peer`: the last address that somebody trusted says
/// he had it from, and who is not trusted himself. What stands before that anybody can have made up.
pub(super) fn client(trusted: &[Network], headers: &HeaderMap, peer: IpAddr) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.has(address));
    let mut client = peer;
    let lines: Vec<_> = headers.get_all(FORWARDED_FOR).collect();
    // As bytes: what a client made up need be no text, and yet what stands behind it counts.
    let lines = lines.into_iter().rev().map(HeaderValue::as_bytes);
    let mut said = lines.flat_map(|line| line.rsplit(|byte| *byte == b','));
    let mut next = || str::from_utf8(said.next()?).ok()?.trim().parse().ok();
    while is_trusted(client) {
        // Who says something that is no address is as far as one can see.
        let Some(address) = next() else { break };
        client = address;
    }
    client.to_canonical()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(trusted: &[&str], peer: &str, headers: &[&'static str]) -> String {
        let trusted: Vec<Network> = trusted.iter().map(|text| text.parse().unwrap()).collect();
        let mut map = HeaderMap::new();
        for value in headers {
            map.append(FORWARDED_FOR, HeaderValue::from_static(value));
        }
        client(&trusted, &map, peer.parse().unwrap()).to_string()
    }

    #[test]
    fn nobody_is_believed_who_is_not_trusted() {
        assert_eq!(seen(&[], "10.0.0.1", &["1.2.3.4"]), "10.0.0.1");
        assert_eq!(seen(&["10.0.0.0/8"], "11.0.0.1", &["1.2.3.4"]), "11.0.0.1");
    }

    #[test]
    fn what_a_client_made_up_stands_in_front_and_does_not_count() {
        let trusted = ["10.0.0.0/8", "::1"];
        assert_eq!(seen(&trusted, "10.0.0.1", &["9.9.9.9, 1.2.3.4"]), "1.2.3.4");
        let chain = ["9.9.9.9, 1.2.3.4", "10.1.1.1"];
        assert_eq!(seen(&trusted, "::1", &chain), "1.2.3.4");
        assert_eq!(
            seen(&trusted, "10.0.0.1", &["1.2.3.4, nonsense"]),
            "10.0.0.1"
        );
        assert_eq!(seen(&trusted, "10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(seen(&trusted, "10.0.0.1", &["10.0.0.2"]), "10.0.0.2");
        assert_eq!(
            seen(&["0.0.0.0/0"], "::ffff:10.0.0.1", &["2001:db8::1"]),
            "2001:db8::1"
        );
    }

    #[test]
    fn what_is_no_text_hides_nothing_behind_it_and_shows_nothing_in_front() {
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        let seen = |lines: [&'static [u8]; 2]| {
            let mut map = HeaderMap::new();
            for line in lines {
                map.append(FORWARDED_FOR, HeaderValue::from_bytes(line).unwrap());
            }
            client(&trusted, &map, "10.0.0.1".parse().unwrap()).to_string()
        };
        assert_eq!(seen([b"6.6.6.6", b"\xff, 1.2.3.4"]), "1.2.3.4");
        assert_eq!(seen([b"6.6.6.6", b"\xff"]), "10.0.0.1");
        assert_eq!(seen([b"6.6.6.6", b"\xff, 10.0.0.2"]), "10.0.0.2");
    }

    #[test]
    fn a_network_is_an_address_or_a_prefix() {
        let has = |network: &str, address: &str| {
            let network: Network = network.parse().unwrap();
            network.has(address.parse().unwrap())
        };
        assert!(has("10.1.0.0/16", "10.1.255.255") && !has("10.1.0.0/16", "10.2.0.0"));
        assert!(has("10.1.2.3", "::ffff:10.1.2.3") && !has("10.1.2.3", "10.1.2.4"));
        assert!(has("2001:db8::/32", "2001:db8:ffff::1") && !has("::1", "::2"));
        assert!(has("::/0", "1.2.3.4") && !has("0.0.0.0/0", "2001:db8::1"));
        for text in [
            "",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/",
            "10.0.0",
            "a/8",
            "10.0.0.0/-1",
        ] {
            assert_eq!(text.parse::<Network>(), Err(NotANetwork), "{text}");
        }
    }
}
