//! What the application says, before clients are told of it.
//!
//! SDKs act by codes, and some of them fail without a text; and a payload that is no JSON cannot be
//! told to clients that speak JSON, whose connections would end instead. What cannot be told is a
//! failure of ours to the client, and stands in the log.

use campanile_protocol::codec::json::is_json;
use campanile_protocol::codes::Rejection;
use campanile_protocol::wire::{Encoding, Manner};
use campanile_protocol::{ClientId, Disconnect, Payload, Refusal, Wire};

use crate::application::{Arrival, Caller, Decision, Lapse, Renewal, Revision, Verdict};
use crate::authority::{Credentials, Grant};
use crate::throttle::Throttle;

/// A mistake of the application's is made as often as clients ask.
static MISTAKES: Throttle = Throttle::per_second(1);

/// What may be one, or not.
static ODDITIES: Throttle = Throttle::per_second(1);

/// Who is to be told.
#[derive(Clone, Copy)]
pub(super) struct Recipient {
    client: ClientId,
    wire: Wire,
}

/// Which payload the recipient cannot be told.
pub(super) struct Untellable(&'static str);

/// What brings payloads to the session that was asked about.
pub(super) trait Brings {
    fn check(&self, to: Recipient) -> Result<(), Untellable>;
}

impl Brings for () {
    fn check(&self, _: Recipient) -> Result<(), Untellable> {
        Ok(())
    }
}

/// What is published goes to others: whether it is fit for them, the channel's options say.
impl Brings for Revision {
    fn check(&self, _: Recipient) -> Result<(), Untellable> {
        Ok(())
    }
}

/// The answer to a call.
impl Brings for Payload {
    fn check(&self, to: Recipient) -> Result<(), Untellable> {
        to.reads(Some(self), "the answer to a call")
    }
}

impl Brings for Grant {
    fn check(&self, to: Recipient) -> Result<(), Untellable> {
        to.reads(self.data.as_ref(), "the data of a subscription")?;
        to.shows(self.info.as_ref(), "the info of a subscription")
    }
}

impl Brings for Credentials {
    fn check(&self, to: Recipient) -> Result<(), Untellable> {
        to.reads(self.data.as_ref(), "the data of a connection")?;
        to.shows(self.info.as_ref(), "the info of a connection")?;
        let mut grants = self.subscriptions.iter();
        grants.try_for_each(|(_, grant)| grant.check(to))
    }
}

impl Recipient {
    /// Whether it can be told this.
    fn reads(self, payload: Option<&Payload>, what: &'static str) -> Result<(), Untellable> {
        let speaks_json =
            self.wire.encoding() == Encoding::Json && self.wire.manner() != Manner::Plain;
        match payload {
            Some(payload) if speaks_json && !is_empty_or_json(payload) => Err(Untellable(what)),
            _ => Ok(()),
        }
    }

    /// Whether this can be told of it to others. Where it does not speak JSON itself they may not
    /// either, and the log has to do.
    fn shows(self, payload: Option<&Payload>, what: &'static str) -> Result<(), Untellable> {
        self.reads(payload, what)?;
        let is_odd = payload.is_some_and(|payload| !is_empty_or_json(payload));
        if is_odd && let Some(unsaid) = ODDITIES.pass() {
            tracing::warn!(
                client = %self.client, what, unsaid,
                "no JSON: clients that speak JSON are disconnected when they are told of it"
            );
        }
        Ok(())
    }

    fn complain(self, Untellable(what): &Untellable) {
        if let Some(unsaid) = MISTAKES.pass() {
            tracing::error!(client = %self.client, what, unsaid, "no JSON, for a client that speaks nothing else");
        }
    }
}

/// Nothing is left out where it would be told.
fn is_empty_or_json(payload: &Payload) -> bool {
    payload.is_empty() || is_json(payload)
}

impl From<&Caller> for Recipient {
    fn from(caller: &Caller) -> Self {
        let Caller { client, wire, .. } = *caller;
        Self { client, wire }
    }
}

impl From<&Arrival<'_>> for Recipient {
    fn from(arrival: &Arrival<'_>) -> Self {
        let Arrival { client, wire, .. } = *arrival;
        Self { client, wire }
    }
}

/// A decision, as its client may be told it.
pub(super) fn tellable_to<T: Brings>(to: Recipient, decision: Decision<T>) -> Decision<T> {
    let verdict = decision.map_err(tellable)?;
    if let Verdict::Allowed(allowed) = &verdict
        && let Err(untellable) = allowed.check(to)
    {
        to.complain(&untellable);
        return Err(Refusal::INTERNAL.into());
    }
    Ok(verdict)
}

/// New life likewise. What cannot be told is as good as no answer.
pub(super) fn tellable_renewal(
    to: Recipient,
    outcome: Result<Renewal, Lapse>,
) -> Result<Renewal, Lapse> {
    let renewal = outcome?;
    match to.shows(renewal.info.as_ref(), "the info of a renewal") {
        Ok(()) => Ok(renewal),
        Err(untellable) => {
            to.complain(&untellable);
            Err(Lapse::Unavailable)
        }
    }
}

/// A no, as clients may be told it.
fn tellable(rejection: Rejection) -> Rejection {
    match rejection {
        Rejection::Disconnect(end) => tellable_end(end).into(),
        Rejection::Refuse(refusal) => tellable_refusal(refusal).into(),
    }
}

/// Likewise the end of a session.
pub(super) fn tellable_end(end: Disconnect) -> Disconnect {
    if matches!(end.code, 3000..=4999) && !end.reason.is_empty() {
        return end;
    }
    if let Some(unsaid) = MISTAKES.pass() {
        let Disconnect { code, reason } = &end;
        tracing::error!(
            code,
            ?reason,
            unsaid,
            "the application ends a session with a code outside of 3000 to 4999, or no reason"
        );
    }
    Disconnect::INTERNAL
}

fn tellable_refusal(refusal: Refusal) -> Refusal {
    if matches!(refusal.code, 100..=1999) && !refusal.message.is_empty() {
        return refusal;
    }
    if let Some(unsaid) = MISTAKES.pass() {
        let Refusal { code, message, .. } = &refusal;
        tracing::error!(
            code,
            ?message,
            unsaid,
            "the application refuses with a code outside of 100 to 1999, or no message"
        );
    }
    Refusal::INTERNAL
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(wire: Wire) -> Recipient {
        let client = ClientId::from_random([1; 16], 0);
        Recipient { client, wire }
    }

    fn is_told<T: Brings>(wire: Wire, brought: T) -> bool {
        tellable_to(to(wire), Ok(Verdict::Allowed(brought))).is_ok()
    }

    #[test]
    fn only_clients_of_json_are_spared_what_is_no_json() {
        let (json, protobuf) = (Encoding::Json, Encoding::Protobuf);
        let spared = [Wire::WebSocket(json), Wire::Stream(json), Wire::UniEvents];
        let told = [
            Wire::WebSocket(protobuf),
            Wire::Stream(protobuf),
            Wire::Plain { is_binary: true },
        ];
        let odd = || Some(Payload::from(*b"\0"));
        let grant = |data, info| Grant {
            data,
            info,
            ..Grant::default()
        };
        let with = |grant: Grant| {
            let mut credentials = Credentials::of("42");
            credentials.subscriptions = vec![("c".into(), grant)];
            credentials
        };
        for (wires, is_fit) in [(spared, false), (told, true)] {
            for wire in wires {
                assert!(is_told(wire, Payload::default()) && is_told(wire, Payload::from(*b"1")));
                assert_eq!(is_told(wire, Payload::from(*b"\0")), is_fit);
                assert_eq!(is_told(wire, grant(odd(), None)), is_fit);
                assert_eq!(is_told(wire, grant(None, odd())), is_fit);
                assert_eq!(is_told(wire, with(grant(None, odd()))), is_fit);
                let renewal = Renewal {
                    info: odd(),
                    ..Renewal::default()
                };
                assert_eq!(tellable_renewal(to(wire), Ok(renewal)).is_ok(), is_fit);
            }
        }
    }

    #[test]
    fn codes_and_texts_that_no_client_understands_are_failures_of_ours() {
        let refusal = |code, text: &'static str| tellable_refusal(Refusal::new(code, text)).code;
        assert_eq!(
            [100, 103, 400, 1999].map(|code| refusal(code, "no")),
            [100, 103, 400, 1999]
        );
        assert_eq!(
            [0, 99, 2000, u32::MAX].map(|code| refusal(code, "no")),
            [100; 4]
        );
        assert_eq!(refusal(1000, ""), 100);
        let end = |code, text: &'static str| tellable_end(Disconnect::new(code, text)).code;
        assert_eq!(
            [3000, 3503, 4000, 4999].map(|code| end(code, "no")),
            [3000, 3503, 4000, 4999]
        );
        assert_eq!(
            [0, 200, 1005, 2999, 5000].map(|code| end(code, "no")),
            [3004; 5]
        );
        assert_eq!(end(4500, ""), 3004);
    }
}
