//! Codes and texts of the application, before clients are told of them.
//!
//! SDKs act by codes, and some of them fail without a text: what neither the protocol nor an
//! application may say is our failure then, and stands in the log.

use campanile_protocol::codes::Rejection;
use campanile_protocol::{Disconnect, Refusal};

use crate::throttle::Throttle;

/// A mistake of the application's is made as often as clients ask.
static MISTAKES: Throttle = Throttle::per_second(1);

/// A no, as clients may be told it.
pub(super) fn tellable(rejection: Rejection) -> Rejection {
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
