//! Any bytes through both decoders of client commands: they must not panic, must end, and must say
//! the same however a frame is put aside and taken up again between commands.
#![no_main]

use campanile_protocol::wire::{Encoding, Wire};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|frame: &[u8]| {
    for encoding in [Encoding::Json, Encoding::Protobuf] {
        let wire = Wire::WebSocket(encoding);
        let whole: Vec<_> = wire.commands(frame).collect();
        // No command is shorter than a byte, and behind an error there is nothing.
        assert!(!whole.is_empty() && whole.len() <= frame.len().max(1));
        let (_, before) = whole.split_last().expect("an empty frame is an error");
        assert!(before.iter().all(Result::is_ok));

        let mut piecewise = Vec::new();
        let mut commands = wire.commands(frame);
        while let Some(command) = commands.next() {
            piecewise.push(command);
            commands = wire.remaining_commands(commands.rest());
        }
        assert_eq!(piecewise, whole);

        let _ = encoding.emulation_request(frame);
    }
});
