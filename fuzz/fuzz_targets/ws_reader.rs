//! Any bytes, cut into any reads, through the WebSocket reader: it must not panic, hold more than its
//! limits, loop, or say anything else than it says of the same bytes read at once.
//!
//! Input: one byte for the role, one for the number of read sizes, the sizes, then the stream.
#![no_main]

use campanile_protocol::ws::{Limits, Reader, Role};
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits = Limits {
    message_bytes_max: 512,
    inflated_bytes_max: 512,
    fragments_max: 8,
};
const CONTROL_BYTES_MAX: usize = 125;

fuzz_target!(|input: &[u8]| {
    let [role, count, rest @ ..] = input else {
        return;
    };
    let role = if role & 1 == 0 {
        Role::Server
    } else {
        Role::Client
    };
    let (sizes, stream) = rest.split_at(usize::from(count % 16).min(rest.len()));

    let mut outcomes = Vec::new();
    for sizes in [&[][..], sizes] {
        let mut outcome = Vec::new();
        let mut reader = Reader::new(role);
        let mut stream = stream.to_vec();
        let mut rest = stream.as_mut_slice();
        let mut sizes = sizes.iter().cycle();
        'stream: while !rest.is_empty() {
            let size = sizes
                .next()
                .map_or(usize::MAX, |&size| usize::from(size) + 1);
            let (mut piece, tail) = rest.split_at_mut(size.min(rest.len()));
            rest = tail;
            loop {
                match reader.read(&LIMITS, piece) {
                    Ok((taken, event)) => {
                        let event = event.map(|event| format!("{event:?}"));
                        piece = &mut piece[taken..];
                        assert!(reader.buffered() <= LIMITS.message_bytes_max + CONTROL_BYTES_MAX);
                        let Some(event) = event else { break };
                        outcome.push(event);
                    }
                    Err(error) => {
                        outcome.push(format!("{error:?}"));
                        break 'stream;
                    }
                }
            }
            assert!(piece.is_empty());
        }
        outcomes.push(outcome);
    }
    assert_eq!(outcomes[0], outcomes[1]);
});
