//! What waits to be written to one client.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io::IoSlice;
use std::rc::Rc;

/// Encoded bytes, shared by all sessions of a shard that receive them.
///
/// `Rc`, since a session never leaves its thread: a delivery to 5,000 subscribers touches no
/// counter that another core has in its cache.
#[derive(Clone, Debug)]
pub struct Frame(Rc<Shared>);

/// Bytes that frames of a shard hold, however many sessions wait for each of them.
pub type Ledger = Rc<Cell<u64>>;

#[derive(Debug)]
struct Shared {
    bytes: Box<[u8]>,
    ledger: Ledger,
}

impl Frame {
    /// A frame of these bytes, which `ledger` counts until the last session has written it.
    #[must_use]
    pub fn new(bytes: Vec<u8>, ledger: &Ledger) -> Self {
        ledger.set(ledger.get() + bytes.len() as u64);
        Self(Rc::new(Shared {
            bytes: bytes.into(),
            ledger: Rc::clone(ledger),
        }))
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.ledger.set(self.ledger.get() - self.bytes.len() as u64);
    }
}

impl std::ops::Deref for Frame {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0.bytes
    }
}

/// A queue of frames, the first of which may be partly written.
///
/// An idle session keeps one: it owns no memory while it is empty, and none for a single frame.
#[derive(Debug, Default)]
pub struct Outbox {
    first: Option<Frame>,
    /// Boxed: most sessions never have two frames waiting.
    #[expect(
        clippy::box_collection,
        reason = "an empty queue in place is four words in every idle session"
    )]
    rest: Option<Box<VecDeque<Frame>>>,
    /// Bytes of the first frame that have been written.
    written: usize,
    bytes: usize,
}

impl Outbox {
    /// Appends a frame.
    pub fn push(&mut self, frame: Frame) {
        self.bytes += frame.len();
        if self.first.is_none() {
            self.first = Some(frame);
        } else {
            self.rest.get_or_insert_default().push_back(frame);
        }
    }

    /// Bytes that are still to be written.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether everything has been written.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Fills `slices` with what comes next, and returns how many it filled.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let first = self.first.as_deref().map(|frame| &frame[self.written..]);
        let rest = self
            .rest
            .iter()
            .flat_map(|rest| rest.iter())
            .map(|frame| &**frame);
        let mut filled = 0;
        for (slice, bytes) in slices.iter_mut().zip(first.into_iter().chain(rest)) {
            *slice = IoSlice::new(bytes);
            filled += 1;
        }
        filled
    }

    /// Notes that the next `written` bytes have been written.
    pub fn advance(&mut self, written: usize) {
        debug_assert!(written <= self.bytes);
        self.bytes -= written;
        self.written += written;
        while let Some(first) = &self.first {
            if self.written < first.len() {
                break;
            }
            self.written -= first.len();
            self.first = self.rest.as_mut().and_then(|rest| rest.pop_front());
        }
        if self.rest.as_ref().is_some_and(|rest| rest.is_empty()) {
            self.rest = None;
        }
    }

    /// Forgets everything but a frame that was begun, since a peer cannot read half of one.
    pub fn discard_unbegun(&mut self) {
        self.rest = None;
        if self.written == 0 {
            self.first = None;
        }
        self.bytes = self
            .first
            .as_ref()
            .map_or(0, |frame| frame.len() - self.written);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(outbox: &Outbox) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); 8];
        let filled = outbox.slices(&mut slices);
        slices[..filled]
            .iter()
            .flat_map(|slice| slice.to_vec())
            .collect()
    }

    fn outbox(frames: &[&[u8]]) -> Outbox {
        let mut outbox = Outbox::default();
        for frame in frames {
            outbox.push(Frame::new(frame.to_vec(), &Ledger::default()));
        }
        outbox
    }

    #[test]
    fn frames_leave_in_order_however_they_are_written() {
        for step in 1..=6 {
            let mut outbox = outbox(&[b"ab", b"c", b"def"]);
            let mut written = Vec::new();
            while !outbox.is_empty() {
                let next = waiting(&outbox);
                let step = step.min(next.len());
                written.extend_from_slice(&next[..step]);
                outbox.advance(step);
                assert_eq!(outbox.bytes(), 6 - written.len());
            }
            assert_eq!(written, b"abcdef");
        }
    }

    #[test]
    fn no_more_slices_are_filled_than_there_is_room_for() {
        let outbox = outbox(&[b"a", b"b", b"c"]);
        let mut slices = [IoSlice::new(&[]); 2];
        assert_eq!(outbox.slices(&mut slices), 2);
    }

    #[test]
    fn a_shared_frame_counts_once_and_until_it_is_gone() {
        let ledger = Ledger::default();
        let frame = Frame::new(vec![0; 100], &ledger);
        let mut outboxes = [Outbox::default(), Outbox::default()];
        for outbox in &mut outboxes {
            outbox.push(frame.clone());
        }
        drop(frame);
        assert_eq!(ledger.get(), 100);
        outboxes[0].advance(100);
        assert_eq!(ledger.get(), 100);
        outboxes[1].advance(100);
        assert_eq!(ledger.get(), 0);
    }

    #[test]
    fn an_empty_outbox_owns_no_memory() {
        let mut outbox = outbox(&[b"a", b"b"]);
        outbox.advance(2);
        assert!(outbox.rest.is_none() && outbox.is_empty());
    }

    #[test]
    fn a_frame_that_was_begun_is_finished() {
        let mut begun = outbox(&[b"ab", b"c"]);
        begun.advance(1);
        begun.discard_unbegun();
        assert_eq!((waiting(&begun), begun.bytes()), (b"b".to_vec(), 1));
        let mut unbegun = outbox(&[b"ab", b"c"]);
        unbegun.discard_unbegun();
        assert!(unbegun.is_empty() && unbegun.bytes() == 0);
    }
}
