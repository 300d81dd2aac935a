//! Any bytes as a record of the publication log: nothing panics, and a record has one spelling only.
#![no_main]

use campanile_engine::store::{Record, RecordRef};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Ok(record) = Record::decode(input) {
        let mut bytes = Vec::new();
        RecordRef::from(&record).encode(&mut bytes);
        assert_eq!(bytes, input);
    }
});
