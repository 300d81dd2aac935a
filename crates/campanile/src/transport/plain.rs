//! Plain channel sockets: what a handshake says about the channel, in its path and its query. See
//! `docs/plain-sockets.md`.

use actix_http::header;
use actix_http::{HttpMessage as _, Request};
use actix_web::web::Query;
use campanile_protocol::command::{ConnectRequest, SubscribeRequest};
use campanile_protocol::{Epoch, Position, Wire};
use percent_encoding::percent_decode_str;
use serde::Deserialize;

use super::upgrade::Malformed;

/// The channel as the path spells it, which is all behind the prefix; `None` for other paths.
pub(super) fn spelled_channel<'a>(prefix: &str, path: &'a str) -> Option<&'a str> {
    let rest = path.strip_prefix(prefix)?.strip_prefix('/')?;
    (!rest.is_empty()).then_some(rest)
}

/// How the socket speaks, and what its session is asked to do.
pub(super) fn opening(
    spelled_channel: &str,
    request: &Request,
) -> Result<(Wire, ConnectRequest), Malformed> {
    let query = request.uri().query().unwrap_or_default();
    let said = Query::<Said>::from_query(query).map_err(|_| Malformed)?;
    let said = said.into_inner();
    let wire = match said.format.as_deref() {
        None => Wire::Plain { is_binary: false },
        Some("binary") => Wire::Plain { is_binary: true },
        Some(_) => return Err(Malformed),
    };
    let channel = percent_decode_str(spelled_channel).decode_utf8();
    let channel = channel.map_err(|_| Malformed)?.into_owned();
    let since = said.since.as_deref().map(position).transpose()?;
    let wish = SubscribeRequest {
        token: said.subscription_token.unwrap_or_default(),
        recover: since,
        // Who asks for what was missed must not miss anything later either.
        positioned: since.is_some(),
        recoverable: since.is_some(),
        flag: if since.is_some() {
            SubscribeRequest::REJECT_UNRECOVERED
        } else {
            0
        },
        ..SubscribeRequest::default()
    };
    // A page without a token may leave the parameter empty; that says nothing.
    let token = match said.token.filter(|token| !token.is_empty()) {
        Some(token) => token,
        None => bearer(request)?,
    };
    let connect = ConnectRequest {
        token,
        subs: [(channel, wish)].into(),
        name: "plain".into(),
        ..ConnectRequest::default()
    };
    Ok((wire, connect))
}

/// The parameters; others are ignored, one that comes twice is not taken.
#[derive(Deserialize)]
struct Said {
    token: Option<String>,
    subscription_token: Option<String>,
    since: Option<String>,
    format: Option<String>,
}

/// An offset, which may have an epoch and a colon in front of it.
fn position(text: &str) -> Result<Position, Malformed> {
    let (epoch, offset) = text.rsplit_once(':').unwrap_or(("", text));
    if offset.is_empty() || !offset.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Malformed);
    }
    Ok(Position {
        epoch: Epoch::new(epoch),
        offset: offset.parse().map_err(|_| Malformed)?,
    })
}

/// The token of the header that programs other than browsers can send; empty without one.
fn bearer(request: &Request) -> Result<String, Malformed> {
    let Some(header) = request.headers().get(header::AUTHORIZATION) else {
        return Ok(String::new());
    };
    let (scheme, token) = header
        .to_str()
        .ok()
        .and_then(|value| value.split_once(' '))
        .ok_or(Malformed)?;
    if scheme.eq_ignore_ascii_case("bearer") {
        Ok(token.trim().into())
    } else {
        Err(Malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_channel_is_all_behind_the_prefix() {
        let spelled = |path| spelled_channel("/plain", path);
        assert_eq!(spelled("/plain/news"), Some("news"));
        assert_eq!(spelled("/plain/a/b:c"), Some("a/b:c"));
        for path in ["/plain", "/plain/", "/plainer/news", "/"] {
            assert_eq!(spelled(path), None, "{path}");
        }
    }

    #[test]
    fn a_position_is_an_offset_with_or_without_an_epoch() {
        let of = |epoch, offset| {
            Ok(Position {
                epoch: Epoch::new(epoch),
                offset,
            })
        };
        assert_eq!(position("0"), of("", 0));
        assert_eq!(position("AbCd:18446744073709551615"), of("AbCd", u64::MAX));
        for text in [
            "",
            ":",
            "AbCd:",
            "x",
            "-1",
            "+1",
            "1:x",
            "18446744073709551616",
            "1 ",
        ] {
            assert_eq!(position(text), Err(Malformed), "{text:?}");
        }
    }
}
