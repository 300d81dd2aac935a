//! What changed in one tick, and how it is spelled. Knows no rules of the game.
//!
//! All numbers are little-endian, all lists stand behind their length, a `u16`:
//!
//! ```text
//! kind u8 (0 changes, 1 everything) | tick u32
//! left     id u16
//! entered  id u16, x u16, y u16, score u16
//! moved    id u16, dx i8, dy i8
//! dots     index u16, x u16, y u16, taken by u16 (0: nobody)
//! ```
//!
//! They are applied in this order. So "everything" is the changes that turn nothing into what is
//! there, and a reader needs one decoder.

/// A player's number; never 0.
pub(crate) type PlayerId = u16;

/// A player as a whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Entered {
    pub(crate) id: PlayerId,
    pub(crate) x: u16,
    pub(crate) y: u16,
    /// Before what is among the dots of the same frame.
    pub(crate) score: u16,
}

/// A player's way since the tick before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Moved {
    pub(crate) id: PlayerId,
    pub(crate) dx: i8,
    pub(crate) dy: i8,
}

/// Where a dot is now, and who took it from where it was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Dot {
    pub(crate) index: u16,
    pub(crate) x: u16,
    pub(crate) y: u16,
    pub(crate) taken_by: PlayerId,
}

/// The changes of one tick, or everything there is after it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Frame {
    pub(crate) is_key: bool,
    pub(crate) tick: u32,
    pub(crate) left: Vec<PlayerId>,
    pub(crate) entered: Vec<Entered>,
    pub(crate) moved: Vec<Moved>,
    pub(crate) dots: Vec<Dot>,
}

impl Frame {
    /// Appends its bytes.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.is_key.into());
        out.extend(self.tick.to_le_bytes());
        list(&self.left, out, |&id, out| numbers([id], out));
        list(&self.entered, out, |it, out| {
            numbers([it.id, it.x, it.y, it.score], out);
        });
        list(&self.moved, out, |it, out| {
            numbers([it.id], out);
            out.extend(it.dx.to_le_bytes());
            out.extend(it.dy.to_le_bytes());
        });
        list(&self.dots, out, |it, out| {
            numbers([it.index, it.x, it.y, it.taken_by], out);
        });
    }

    /// The tick of encoded changes; `None` if they are none.
    pub(crate) fn tick_of(changes: &[u8]) -> Option<u32> {
        match changes {
            [0, rest @ ..] => rest.first_chunk().copied().map(u32::from_le_bytes),
            _ => None,
        }
    }
}

fn list<T>(items: &[T], out: &mut Vec<u8>, mut each: impl FnMut(&T, &mut Vec<u8>)) {
    let length = u16::try_from(items.len()).expect("there are no more players than ids");
    numbers([length], out);
    for item in items {
        each(item, out);
    }
}

fn numbers<const N: usize>(numbers: [u16; N], out: &mut Vec<u8>) {
    out.extend(numbers.map(u16::to_le_bytes).as_flattened());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_as_the_page_reads_them() {
        let frame = Frame {
            is_key: false,
            tick: 258,
            left: vec![3],
            entered: vec![Entered {
                id: 4,
                x: 256,
                y: 5,
                score: 6,
            }],
            moved: vec![Moved {
                id: 7,
                dx: -1,
                dy: 8,
            }],
            dots: vec![Dot {
                index: 9,
                x: 10,
                y: 11,
                taken_by: 7,
            }],
        };
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        let expected: [&[u8]; 5] = [
            &[0, 2, 1, 0, 0],
            &[1, 0, 3, 0],
            &[1, 0, 4, 0, 0, 1, 5, 0, 6, 0],
            &[1, 0, 7, 0, 0xff, 8],
            &[1, 0, 9, 0, 10, 0, 11, 0, 7, 0],
        ];
        assert_eq!(bytes, expected.concat());
        assert_eq!(Frame::tick_of(&bytes), Some(258));
        assert_eq!(Frame::tick_of(&bytes[..4]), None);
    }
}
