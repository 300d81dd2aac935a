//! Which shard of a Redis Cluster a key is on.

/// Slots of a cluster.
pub(crate) const SLOTS: u16 = 16384;

/// The slot of a key: that of what stands between its first brace and the next closing one, if
/// anything does, so that keys can be kept together.
pub(crate) fn slot(key: &[u8]) -> u16 {
    let tag = memchr::memchr(b'{', key).and_then(|open| {
        let rest = &key[open + 1..];
        let len = memchr::memchr(b'}', rest)?;
        (len > 0).then(|| &rest[..len])
    });
    crc16(tag.unwrap_or(key)) % SLOTS
}

/// For each slot a text whose slot it is: for what belongs to a slot and to no channel.
pub(super) fn tags() -> Box<[u32]> {
    let mut tags = vec![u32::MAX; usize::from(SLOTS)].into_boxed_slice();
    let mut missing = tags.len();
    let mut text = 0;
    while missing > 0 {
        let tag = &mut tags[usize::from(slot(text.to_string().as_bytes()))];
        if *tag == u32::MAX {
            *tag = text;
            missing -= 1;
        }
        text += 1;
    }
    tags
}

/// CRC-16/XMODEM, as the cluster specification says.
fn crc16(bytes: &[u8]) -> u16 {
    let step = |crc: u16, byte: &u8| {
        let index = (crc >> 8) ^ u16::from(*byte);
        (crc << 8) ^ TABLE[usize::from(index)]
    };
    bytes.iter().fold(0, step)
}

const TABLE: [u16; 256] = table();

const fn table() -> [u16; 256] {
    let mut table = [0; 256];
    let mut index: u16 = 0;
    while index < 256 {
        let mut crc = index << 8;
        let mut bit = 0;
        while bit < 8 {
            let carry = crc & 0x8000 != 0;
            crc <<= 1;
            if carry {
                crc ^= 0x1021;
            }
            bit += 1;
        }
        table[index as usize] = crc;
        index += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31C3);
        assert_eq!(slot(b"foo"), 12182);
        assert_eq!(slot(b"bar"), 5061);
    }

    #[test]
    fn every_slot_has_a_tag() {
        for (expected, tag) in (0..SLOTS).zip(&tags()) {
            assert_eq!(slot(format!("era.{{{tag}}}").as_bytes()), expected);
        }
    }

    #[test]
    fn keys_with_the_same_tag_are_together() {
        assert_eq!(slot(b"a.{foo}"), slot(b"b.{foo}.c"));
        assert_eq!(slot(b"{foo}"), slot(b"foo"));
        assert_ne!(slot(b"a{}foo"), slot(b"foo"), "nothing is no tag");
        assert_eq!(slot(b"a{{foo}}"), slot(b"{foo"));
    }
}
