//! Any bytes as compressed frames of a client, cut into any reads, and any bytes as a message: nothing
//! panics, holds more than its limits or depends on the reads, and what was deflated comes back.
//!
//! Input: one byte for the number of read sizes, the sizes, then the stream; each of its frames is one
//! byte that begins it (FIN, RSV bits, opcode), one for the length, and its payload, as far as it goes.
#![no_main]

use campanile_protocol::ws::deflate::{Deflater, Inflater, Window};
use campanile_protocol::ws::{Limits, Opcode, Reader, Role, encode_masked};
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits = Limits {
    message_bytes_max: 512,
    inflated_bytes_max: 2_048,
    fragments_max: 8,
};
const CONTROL_BYTES_MAX: usize = 125;

fuzz_target!(|input: &[u8]| {
    let [count, rest @ ..] = input else {
        return;
    };
    let (sizes, frames) = rest.split_at(usize::from(count % 16).min(rest.len()));
    let stream = masked(frames);
    let whole = read(&stream, &[]);
    assert_eq!(read(&stream, sizes), whole);
    round_trips(frames, sizes);
});

/// Nearly right frames, so that a fuzzer need not guess lengths and masks.
fn masked(mut frames: &[u8]) -> Vec<u8> {
    let mut stream = Vec::new();
    while let [first, length, rest @ ..] = frames {
        let (payload, rest) = rest.split_at(usize::from(*length).min(rest.len()));
        let start = stream.len();
        encode_masked(Opcode::Binary, [1, 2, 3, 4], payload, &mut stream);
        stream[start] = *first;
        frames = rest;
    }
    stream
}

fn read(stream: &[u8], sizes: &[u8]) -> Vec<String> {
    let mut outcome = Vec::new();
    let mut reader = Reader::new(Role::Server);
    let mut inflater = Inflater::default();
    let mut stream = stream.to_vec();
    let mut rest = stream.as_mut_slice();
    let mut sizes = sizes.iter().cycle();
    while !rest.is_empty() {
        let size = sizes
            .next()
            .map_or(usize::MAX, |&size| usize::from(size) + 1);
        let (mut piece, tail) = rest.split_at_mut(size.min(rest.len()));
        rest = tail;
        loop {
            match reader.read_with(&LIMITS, Some(&mut inflater), piece) {
                Ok((taken, event)) => {
                    let event = event.map(|event| format!("{event:?}"));
                    piece = &mut piece[taken..];
                    let Some(event) = event else { break };
                    outcome.push(event);
                }
                Err(error) => {
                    outcome.push(format!("{error:?}"));
                    return outcome;
                }
            }
            assert!(reader.buffered() <= LIMITS.message_bytes_max + CONTROL_BYTES_MAX);
            assert!(inflater.buffered() <= LIMITS.inflated_bytes_max + 1);
        }
        assert!(piece.is_empty());
    }
    outcome
}

/// One message after the other through the same compressor, as a worker has it.
fn round_trips(mut bytes: &[u8], sizes: &[u8]) {
    let mut deflater = Deflater::new(1, 0);
    let mut inflater = Inflater::default();
    let mut sizes = sizes.iter().cycle();
    while !bytes.is_empty() {
        let size = sizes.next().map_or(bytes.len(), |&size| usize::from(size) + 1);
        let (message, rest) = bytes.split_at(size.min(bytes.len()));
        bytes = rest;
        for window in [Window::Full, Window::Small] {
            if let Some(payload) = deflater.deflate(window, message) {
                assert!(payload.len() < message.len());
                assert_eq!(inflater.inflate(payload, message.len()), Ok(message));
            }
        }
    }
}
