//! Masking (RFC 6455 section 5.3): payload XOR a four byte key. Its own inverse, so one function
//! serves both directions.

/// XORs `payload` with `key` in place, and turns `key` so that it fits the byte after `payload`: a
/// frame that arrives in pieces needs no position beside its key.
pub(super) fn apply(key: &mut [u8; 4], payload: &mut [u8]) {
    let [a, b, c, d] = *key;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, tail) = payload.as_chunks_mut();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    // A whole number of key lengths lies before the tail, so it begins with the key's first byte.
    for (byte, mask) in tail.iter_mut().zip([a, b, c, d, a, b, c]) {
        *byte ^= mask;
    }
    key.rotate_left(tail.len() % 4);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn word_steps_equal_the_definition_for_any_pieces(
            key: [u8; 4],
            payload in prop::collection::vec(any::<u8>(), 0..200),
            cut in any::<prop::sample::Index>(),
        ) {
            let expected: Vec<u8> =
                payload.iter().enumerate().map(|(i, byte)| byte ^ key[i % 4]).collect();
            let mut masked = payload.clone();
            let (front, back) = masked.split_at_mut(cut.index(payload.len() + 1));
            let mut turning = key;
            super::apply(&mut turning, front);
            super::apply(&mut turning, back);
            prop_assert_eq!(masked, expected);
        }
    }
}
