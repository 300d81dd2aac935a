//! Which of a user's sessions is the newest, where only one may be: section 6.5 of the client
//! protocol.

use campanile_protocol::ClientId;

/// That a session is the only one of its user from now on. The greater claim wins: all nodes order
/// two of them alike, so that never both of them give way.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Claim {
    /// When it was made, in Unix milliseconds, or a moment after the latest claim that its node
    /// knew of; never 0.
    pub at: u64,
    /// Whose it is.
    pub client: ClientId,
}

/// When a session made its claim, if it did: six bytes are there, and last until the year 10889.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct ClaimedAt([u8; 6]);

impl ClaimedAt {
    const MAX: u64 = (1 << 48) - 1;

    pub(super) fn new(at: u64) -> Self {
        let [bytes @ .., _, _] = at.clamp(1, Self::MAX).to_le_bytes();
        Self(bytes)
    }

    pub(super) fn get(self) -> Option<u64> {
        let [a, b, c, d, e, f] = self.0;
        Some(u64::from_le_bytes([a, b, c, d, e, f, 0, 0])).filter(|at| *at != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_claim_comes_back_as_it_was() {
        assert_eq!(ClaimedAt::default().get(), None);
        for at in [1, 1_700_000_000_000, ClaimedAt::MAX] {
            assert_eq!(ClaimedAt::new(at).get(), Some(at));
        }
        assert_eq!(ClaimedAt::new(u64::MAX).get(), Some(ClaimedAt::MAX));
    }
}
