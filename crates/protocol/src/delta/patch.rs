//! From two payloads to their difference.
//!
//! What the payloads have in common at both ends is copied without a search, which is all there is
//! to do for a document with one change. Only the rest of the target is searched for blocks of the
//! source, by a hash that rolls over it.

use super::{DIGITS, checksum};

/// Bytes that have to be equal to be worth a copy, which takes up to 14 bytes itself.
const BLOCK: usize = 16;

/// Places in the source that are tried for one place of the target. Bounds the time that payloads
/// take in which very much is equal, or has equal hashes on purpose.
const CANDIDATES_MAX: usize = 16;

/// Larger payloads are not compared: that would hold up everybody else on the thread.
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// The difference that makes `target` of `source`; `None` when it is not shorter than `target`, or
/// when either is larger than 4 MiB.
///
/// The same for the same payloads. If `target` is UTF-8 then so is the difference: nothing is cut
/// inside a character, so that JSON can carry it (section 10.3). Takes time that is linear in both
/// lengths.
#[must_use]
pub fn patch(source: &[u8], target: &[u8]) -> Option<Vec<u8>> {
    if source.len().max(target.len()) > BYTES_MAX {
        return None;
    }
    let mut writer = Writer::new(target);
    let head = Match {
        from: 0,
        start: 0,
        end: common_prefix(source, target),
    };
    writer.copy(head);
    let tail = common_suffix(source, &target[writer.written..]);
    let tail = Match {
        from: source.len() - tail,
        start: target.len() - tail,
        end: target.len(),
    };
    let tail = tail.trimmed(target);
    let middle_end = tail.map_or(target.len(), |tail| tail.start);
    if source.len() >= BLOCK && middle_end - writer.written >= BLOCK {
        search(&Index::new(source), middle_end, &mut writer);
    }
    tail.map(|tail| writer.copy(tail));
    let patch = writer.finish();
    (patch.len() < target.len()).then_some(patch)
}

/// Copies what of the target up to `end` is somewhere in the source.
fn search(index: &Index<'_>, end: usize, writer: &mut Writer<'_>) {
    let target = writer.target;
    let mut at = writer.written;
    let mut hash = None;
    while at + BLOCK <= end {
        let here = hash.unwrap_or_else(|| hash_of(&target[at..at + BLOCK]));
        let found = index.longest(here, &target[at..end]);
        let found = found.map(|(from, length)| {
            let fresh = &target[writer.written..at];
            let back = common_suffix(&index.source[..from], fresh);
            Match {
                from: from - back,
                start: at - back,
                end: at + length,
            }
        });
        if found.is_some_and(|found| writer.copy(found)) {
            at = writer.written;
            hash = None;
        } else {
            let next = target.get(at + BLOCK);
            hash = next.map(|next| rolled(here, target[at], *next));
            at += 1;
        }
    }
}

/// A part of the target that is in the source too.
#[derive(Clone, Copy)]
struct Match {
    /// Where it begins in the source.
    from: usize,
    /// Where it begins in the target.
    start: usize,
    /// Where it ends in the target.
    end: usize,
}

impl Match {
    /// The match without the parts of characters at its ends; `None` when nothing is left that is
    /// worth a copy.
    fn trimmed(self, target: &[u8]) -> Option<Self> {
        // A character has at most three bytes that do not begin it.
        let is_inside = |at: &usize| target.get(*at).is_some_and(|byte| byte & 0xC0 == 0x80);
        let head = (self.start..self.start + 3).take_while(is_inside).count();
        let tail = (0..3)
            .map(|back| self.end.saturating_sub(back))
            .take_while(is_inside)
            .count();
        let trimmed = Self {
            from: self.from + head,
            start: self.start + head,
            end: self.end.saturating_sub(tail),
        };
        (trimmed.end >= trimmed.start + BLOCK).then_some(trimmed)
    }
}

/// A difference under construction.
struct Writer<'a> {
    target: &'a [u8],
    patch: Vec<u8>,
    /// How much of the target the difference makes so far.
    written: usize,
}

impl<'a> Writer<'a> {
    fn new(target: &'a [u8]) -> Self {
        let mut patch = Vec::with_capacity(64);
        push_number(&mut patch, target.len());
        patch.push(b'\n');
        Self {
            target,
            patch,
            written: 0,
        }
    }

    /// Copies a part that is behind everything written; `false` when it is not worth it.
    fn copy(&mut self, part: Match) -> bool {
        let Some(part) = part.trimmed(self.target) else {
            return false;
        };
        self.insert_until(part.start);
        push_number(&mut self.patch, part.end - part.start);
        self.patch.push(b'@');
        push_number(&mut self.patch, part.from);
        self.patch.push(b',');
        self.written = part.end;
        true
    }

    fn insert_until(&mut self, end: usize) {
        let bytes = &self.target[self.written..end];
        if !bytes.is_empty() {
            push_number(&mut self.patch, bytes.len());
            self.patch.push(b':');
            self.patch.extend_from_slice(bytes);
        }
        self.written = end;
    }

    fn finish(mut self) -> Vec<u8> {
        self.insert_until(self.target.len());
        push_number(&mut self.patch, checksum(self.target) as usize);
        self.patch.push(b';');
        self.patch
    }
}

/// Where the blocks of the source are, by their hashes.
struct Index<'a> {
    source: &'a [u8],
    /// By the first bits of a hash, the first block that has them, counted from 1; 0 for none.
    first: Vec<u32>,
    /// By the number of a block, the next one in the same place of `first`.
    next: Vec<u32>,
    shift: u32,
}

impl<'a> Index<'a> {
    /// An index of a source that has a block at least.
    fn new(source: &'a [u8]) -> Self {
        let (blocks, _) = source.as_chunks::<BLOCK>();
        let places = blocks.len().next_power_of_two().max(2);
        let mut index = Self {
            source,
            first: vec![0; places],
            next: vec![0; blocks.len()],
            shift: u32::BITS - places.trailing_zeros(),
        };
        // From the end, so that among equal blocks the one comes first that is followed by most.
        for (number, block) in blocks.iter().enumerate().rev() {
            let place = index.place(hash_of(block));
            index.next[number] = index.first[place];
            index.first[place] = u32::try_from(number + 1).expect("below BYTES_MAX");
        }
        index
    }

    fn place(&self, hash: u32) -> usize {
        // The last bytes of a block are only in the last bits of its hash.
        (hash.wrapping_mul(0x85EB_CA6B) >> self.shift) as usize
    }

    /// The longest beginning of `target`, whose first block has this hash, that is known to be in
    /// the source: where, and how long.
    fn longest(&self, hash: u32, target: &[u8]) -> Option<(usize, usize)> {
        let mut longest = None;
        let mut candidate = self.first[self.place(hash)];
        for _ in 0..CANDIDATES_MAX {
            let Some(number) = candidate.checked_sub(1) else {
                break;
            };
            let number = number as usize;
            let from = number * BLOCK;
            let length = common_prefix(&self.source[from..], target);
            if length >= BLOCK && longest.is_none_or(|(_, most)| length > most) {
                longest = Some((from, length));
            }
            candidate = self.next[number];
        }
        longest
    }
}

/// The base of the hash: a polynomial over the bytes of a block, modulo 2^32.
const BASE: u32 = 0x9E37_79B1;

/// What the first byte of a block is multiplied with in its hash.
const BASE_OF_FIRST: u32 = BASE.wrapping_pow(15);

const _: () = assert!(
    BLOCK == 15 + 1,
    "the exponent is that of a block's first byte"
);

fn hash_of(block: &[u8]) -> u32 {
    block.iter().fold(0, |hash: u32, byte| {
        hash.wrapping_mul(BASE).wrapping_add(u32::from(*byte))
    })
}

/// The hash of the block that begins one byte later.
fn rolled(hash: u32, first: u8, next: u8) -> u32 {
    let rest = hash.wrapping_sub(BASE_OF_FIRST.wrapping_mul(u32::from(first)));
    rest.wrapping_mul(BASE).wrapping_add(u32::from(next))
}

/// How many bytes are equal from the beginning.
fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    let (a_blocks, _) = a.as_chunks::<BLOCK>();
    let (b_blocks, _) = b.as_chunks::<BLOCK>();
    let equal = |(a, b): &(&[u8; BLOCK], &[u8; BLOCK])| a == b;
    let whole = a_blocks.iter().zip(b_blocks).take_while(equal).count() * BLOCK;
    let rest = a[whole..].iter().zip(&b[whole..]);
    whole + rest.take_while(|(a, b)| a == b).count()
}

/// How many bytes are equal up to the end.
fn common_suffix(a: &[u8], b: &[u8]) -> usize {
    let (_, a_blocks) = a.as_rchunks::<BLOCK>();
    let (_, b_blocks) = b.as_rchunks::<BLOCK>();
    let blocks = a_blocks.iter().rev().zip(b_blocks.iter().rev());
    let whole = blocks.take_while(|(a, b)| a == b).count() * BLOCK;
    let rest = a[..a.len() - whole].iter().rev();
    let rest = rest.zip(b[..b.len() - whole].iter().rev());
    whole + rest.take_while(|(a, b)| a == b).count()
}

/// Appends a number: 64 to a digit, the most significant first.
fn push_number(out: &mut Vec<u8>, number: usize) {
    let digits = (usize::BITS - number.leading_zeros()).div_ceil(6).max(1);
    for digit in (0..digits).rev() {
        out.push(DIGITS[(number >> (6 * digit)) & 63]);
    }
}
