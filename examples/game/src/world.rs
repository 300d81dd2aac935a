//! The rules of the game, one tick after the other. No I/O and no clock: the same calls give the
//! same world.

use std::collections::BTreeMap;
use std::mem;

use crate::frame::{Dot, Entered, Frame, Moved, PlayerId};
use crate::random::Random;

/// The arena, in units of its own.
pub(crate) const WIDTH: u16 = 1600;
/// Its other side.
pub(crate) const HEIGHT: u16 = 900;
/// Things to collect. One that is taken is somewhere else at once.
const DOTS: u16 = 40;
/// Units per tick along one axis, and along each of two. They fit the bytes of [`Moved`].
const STRAIGHT: i8 = 12;
const DIAGONAL: i8 = 8;
/// How far from a player a dot may be, along each axis, to be taken.
const REACH: u16 = 18;

/// The arrow keys that a player holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Keys(u8);

impl Keys {
    const UP: u8 = 1;
    const RIGHT: u8 = 2;
    const DOWN: u8 = 4;
    const LEFT: u8 = 8;

    /// Reads what a client sends: one byte, one bit a key.
    pub(crate) fn parse(message: &[u8]) -> Option<Self> {
        match message {
            [bits @ 0..16] => Some(Self(*bits)),
            _ => None,
        }
    }

    /// Where they lead in one tick; keys against each other lead nowhere.
    fn way(self) -> (i8, i8) {
        let axis = |forth, back| i8::from(self.0 & forth != 0) - i8::from(self.0 & back != 0);
        let (x, y) = (axis(Self::RIGHT, Self::LEFT), axis(Self::DOWN, Self::UP));
        let speed = if x != 0 && y != 0 { DIAGONAL } else { STRAIGHT };
        (x * speed, y * speed)
    }
}

#[derive(Debug)]
struct Player {
    x: u16,
    y: u16,
    score: u16,
    keys: Keys,
    /// Whether no tick has told of it.
    is_new: bool,
}

impl Player {
    /// Goes where its keys lead, as far as the walls let it, and says how far that was.
    fn advance(&mut self) -> (i8, i8) {
        let (dx, dy) = self.keys.way();
        (
            along(&mut self.x, dx, WIDTH),
            along(&mut self.y, dy, HEIGHT),
        )
    }

    fn reaches(&self, (x, y): (u16, u16)) -> bool {
        self.x.abs_diff(x) <= REACH && self.y.abs_diff(y) <= REACH
    }

    fn as_entered(&self, id: PlayerId) -> Entered {
        let Self { x, y, score, .. } = *self;
        Entered { id, x, y, score }
    }
}

fn along(place: &mut u16, by: i8, end: u16) -> i8 {
    let from = mem::replace(place, place.saturating_add_signed(by.into()).min(end));
    let way = i32::from(*place) - i32::from(from);
    i8::try_from(way).expect("it is no further than `by`")
}

/// Everybody and everything in the arena.
#[derive(Debug)]
pub(crate) struct World {
    tick: u32,
    places: u16,
    players: BTreeMap<PlayerId, Player>,
    last_id: PlayerId,
    /// Who is gone since the last tick.
    left: Vec<PlayerId>,
    dots: Vec<(u16, u16)>,
    random: Random,
}

impl World {
    /// An empty arena for so many players.
    pub(crate) fn new(places: u16, seed: u64) -> Self {
        let mut random = Random::new(seed);
        Self {
            tick: 0,
            places,
            players: BTreeMap::new(),
            last_id: 0,
            left: Vec::new(),
            dots: (0..DOTS).map(|_| somewhere(&mut random)).collect(),
            random,
        }
    }

    /// Lets somebody in; `None` if the arena is full.
    pub(crate) fn enter(&mut self) -> Option<PlayerId> {
        if self.players.len() >= usize::from(self.places) {
            return None;
        }
        // Not the lowest free one: whoever missed a tick must not take one player for another.
        // There is a free one, since there are not more places than ids.
        loop {
            self.last_id = self.last_id.wrapping_add(1);
            if self.last_id != 0 && !self.players.contains_key(&self.last_id) {
                break;
            }
        }
        let (x, y) = somewhere(&mut self.random);
        let player = Player {
            x,
            y,
            score: 0,
            keys: Keys::default(),
            is_new: true,
        };
        self.players.insert(self.last_id, player);
        Some(self.last_id)
    }

    /// The keys that a player holds from now on. What it held before and for less than a tick never
    /// was: input is a value and no queue, so that it cannot pile up.
    pub(crate) fn steer(&mut self, id: PlayerId, keys: Keys) {
        if let Some(player) = self.players.get_mut(&id) {
            player.keys = keys;
        }
    }

    /// Takes somebody out.
    pub(crate) fn leave(&mut self, id: PlayerId) {
        if self
            .players
            .remove(&id)
            .is_some_and(|player| !player.is_new)
        {
            self.left.push(id);
        }
    }

    /// Goes on by one tick, and says what changed since the one before.
    pub(crate) fn step(&mut self) -> Frame {
        self.tick += 1;
        let mut frame = Frame {
            tick: self.tick,
            left: mem::take(&mut self.left),
            ..Frame::default()
        };
        for (&id, player) in &mut self.players {
            let (dx, dy) = player.advance();
            if mem::take(&mut player.is_new) {
                frame.entered.push(player.as_entered(id));
            } else if (dx, dy) != (0, 0) {
                frame.moved.push(Moved { id, dx, dy });
            }
        }
        self.collect(&mut frame.dots);
        frame
    }

    /// Everything as the last tick left it, for who has nothing yet. The changes of the next tick
    /// follow it, and tell of those who came in between.
    pub(crate) fn keyframe(&self) -> Frame {
        let players = self.players.iter().filter(|(_, player)| !player.is_new);
        let dots = (0..).zip(&self.dots);
        Frame {
            is_key: true,
            tick: self.tick,
            entered: players.map(|(&id, player)| player.as_entered(id)).collect(),
            dots: dots
                .map(|(index, &(x, y))| Dot {
                    index,
                    x,
                    y,
                    taken_by: 0,
                })
                .collect(),
            ..Frame::default()
        }
    }

    /// Of several players who reach a dot, the one who was there first has it.
    fn collect(&mut self, taken: &mut Vec<Dot>) {
        for (index, dot) in (0..).zip(&mut self.dots) {
            let mut players = self.players.iter_mut();
            if let Some((&taken_by, player)) = players.find(|(_, player)| player.reaches(*dot)) {
                player.score = player.score.saturating_add(1);
                *dot = somewhere(&mut self.random);
                let (x, y) = *dot;
                taken.push(Dot {
                    index,
                    x,
                    y,
                    taken_by,
                });
            }
        }
    }
}

fn somewhere(random: &mut Random) -> (u16, u16) {
    (random.up_to(WIDTH), random.up_to(HEIGHT))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACES: u16 = 20;

    fn keys(bits: u8) -> Keys {
        Keys::parse(&[bits]).expect("they are keys")
    }

    /// What a page makes of frames.
    #[derive(Default, PartialEq, Debug)]
    struct Picture {
        tick: u32,
        players: BTreeMap<PlayerId, (u16, u16, u16)>,
        dots: BTreeMap<u16, (u16, u16)>,
    }

    impl Picture {
        fn of(world: &World) -> Self {
            let mut picture = Self::default();
            picture.apply(&world.keyframe());
            picture
        }

        fn apply(&mut self, frame: &Frame) {
            if frame.is_key {
                *self = Self::default();
            } else {
                assert_eq!(frame.tick, self.tick + 1);
            }
            self.tick = frame.tick;
            for id in &frame.left {
                self.players.remove(id);
            }
            for it in &frame.entered {
                self.players.insert(it.id, (it.x, it.y, it.score));
            }
            for it in &frame.moved {
                let (x, y, _) = self.players.get_mut(&it.id).expect("who moves is there");
                *x = x.checked_add_signed(it.dx.into()).expect("inside");
                *y = y.checked_add_signed(it.dy.into()).expect("inside");
                assert!(*x <= WIDTH && *y <= HEIGHT, "{it:?} went through a wall");
            }
            for it in &frame.dots {
                self.dots.insert(it.index, (it.x, it.y));
                if it.taken_by != 0 {
                    self.players
                        .get_mut(&it.taken_by)
                        .expect("who takes is there")
                        .2 += 1;
                }
            }
        }
    }

    #[test]
    fn whoever_follows_the_changes_has_what_everything_is() {
        let mut world = World::new(PLACES, 1);
        let mut random = Random::new(2);
        let mut early = Picture::of(&world);
        let mut late = None;
        let mut taken = 0;
        for tick in 0..2000 {
            let players: Vec<_> = world.players.keys().copied().collect();
            let id = players.get(usize::from(random.up_to(PLACES)));
            match (random.up_to(99), id) {
                (0..10, _) => drop(world.enter()),
                (10, Some(&id)) => world.leave(id),
                (_, Some(&id)) => world.steer(id, keys(random.next().to_le_bytes()[0] & 15)),
                _ => {}
            }
            // In the middle of a tick's comings and goings, as a newcomer's first picture is.
            if tick % 500 == 250 {
                late = Some(Picture::of(&world));
            }
            let frame = world.step();
            early.apply(&frame);
            taken += frame.dots.len();
            assert_eq!(early, Picture::of(&world));
            if let Some(late) = &mut late {
                late.apply(&frame);
                assert_eq!(*late, early);
            }
        }
        assert!(taken > 0, "nobody found a dot");
    }

    #[test]
    fn only_who_holds_keys_moves_and_only_until_the_wall() {
        let mut world = World::new(PLACES, 1);
        let (runner, idle) = (world.enter().unwrap(), world.enter().unwrap());
        world.step();
        world.steer(runner, keys(Keys::RIGHT));
        let way: u32 = (0..200)
            .flat_map(|_| world.step().moved)
            .inspect(|it| assert!(it.id == runner && it.dy == 0 && it.id != idle, "{it:?}"))
            .map(|it| u32::from(it.dx.unsigned_abs()))
            .sum();
        assert!(way > 0 && way <= WIDTH.into());
        assert_eq!(world.players[&runner].x, WIDTH);
        assert!(world.step().moved.is_empty(), "it stands at the wall");
    }

    #[test]
    fn of_many_inputs_in_a_tick_the_newest_counts() {
        let mut world = World::new(PLACES, 1);
        let id = world.enter().unwrap();
        world.step();
        for bits in [Keys::UP, Keys::LEFT, Keys::UP | Keys::DOWN] {
            world.steer(id, keys(bits));
        }
        assert!(world.step().moved.is_empty(), "up and down is nowhere");
    }

    #[test]
    fn a_full_arena_lets_nobody_in_until_somebody_leaves() {
        let mut world = World::new(2, 1);
        world.enter().unwrap();
        let last = world.enter().unwrap();
        assert_eq!(world.enter(), None);
        world.leave(last);
        assert_ne!(world.enter().unwrap(), last, "a number comes back late");
        assert_eq!(world.enter(), None);
    }

    #[test]
    fn what_is_no_keys_is_not_read() {
        for message in [&[][..], &[16], &[255], &[1, 1]] {
            assert_eq!(Keys::parse(message), None, "{message:?}");
        }
    }
}
