//! A sequencer that several nodes share, in memory, with lines that break: the stub of Redis and NATS.
//!
//! Nothing moves by itself once it is [by hand](StubSequencer::move_by_hand): a test lets the
//! sequencer read a request, lets a node read an answer or a message, cuts lines with and without
//! anybody noticing, loses and repeats messages, and puts another life in the place of the last one,
//! with all it knew, without its latest, or without anything. Before, every request is answered at once.
//!
//! It keeps a log of everything that it ever stored in any life, which says what was behind what: by
//! that clients are judged.

mod life;
mod line;
mod link;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use campanile_protocol::{Epoch, Payload, Position};

use self::life::{Context, Life};
use self::line::{Answer, Line, Operation, Outcome, Reply, Request};
use super::ManualClock;
use crate::broker::remote::{Generation, Hearing, Sighting};
use crate::broker::{Attendance, BrokerError, NewPublication};
use crate::channel::ChannelName;
use crate::delivery::Event;
use crate::time::{Clock as _, Moment};

pub use line::Silence;
pub use link::StubLink;

/// How long a node waits for an answer.
pub const PATIENCE: Duration = Duration::from_secs(4);

/// How long it takes a node to notice that its line is dead.
pub const PROBE: Duration = Duration::from_secs(6);

/// Earlier states that a lagging replica may have.
const LAG_MAX: usize = 8;

/// See the [module](self).
pub struct StubSequencer {
    world: Mutex<World>,
    clock: Arc<ManualClock>,
}

struct World {
    /// The last one is the present one; nodes whose line was not cut are with an earlier one.
    lives: Vec<Life>,
    /// What the present one was, oldest first.
    replicas: VecDeque<Life>,
    lines: Vec<Line>,
    log: Vec<Stored>,
    epochs: u64,
    is_by_hand: bool,
    believes_nobody: bool,
}

/// Something that was stored.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Where.
    pub channel: ChannelName,
    /// Where in its stream.
    pub position: Position,
    /// What.
    pub data: Payload,
    /// Its idempotency key.
    pub key: Option<Box<str>>,
    /// The place in the log of what was in front of it, in the life that stored it and in its epoch.
    pub behind: Option<usize>,
}

impl StubSequencer {
    /// An empty one.
    #[must_use]
    pub fn new(clock: Arc<ManualClock>) -> Arc<Self> {
        let world = World {
            lives: vec![Life::new(Generation(1))],
            replicas: VecDeque::new(),
            lines: Vec::new(),
            log: Vec::new(),
            epochs: 0,
            is_by_hand: false,
            believes_nobody: false,
        };
        Arc::new(Self {
            world: Mutex::new(world),
            clock,
        })
    }

    /// A link of a node, connected. Its line's number is told by [`StubLink::line`].
    #[must_use]
    pub fn link(self: &Arc<Self>, hearing: Hearing) -> Arc<StubLink> {
        let mut world = self.world();
        let number = world.lines.len();
        let life = Some(world.lives.len() - 1);
        world.lines.push(Line {
            life,
            ..Line::new(hearing)
        });
        Arc::new(StubLink::new(Arc::clone(self), number))
    }

    /// From now on nothing moves by itself.
    pub fn move_by_hand(&self) {
        self.world().is_by_hand = true;
    }

    /// From now on it does not care what nodes have seen of earlier lives. For trying whether what
    /// judges clients notices.
    pub fn believe_nobody(&self) {
        self.world().believes_nobody = true;
    }

    /// Everything that was ever stored, in order, but for the first so many.
    #[must_use]
    pub fn log_since(&self, count: usize) -> Vec<Stored> {
        self.world().log[count..].to_vec()
    }

    /// Where a channel's stream is, in the present life, and where its top stands in the log.
    #[must_use]
    pub fn top(&self, channel: &ChannelName) -> Option<(Position, Option<usize>)> {
        let world = self.world();
        world.lives.last().and_then(|life| life.top(channel))
    }

    /// Whether a line is connected, as far as its node knows.
    #[must_use]
    pub fn is_connected(&self, line: usize) -> bool {
        self.world().lines[line].life.is_some()
    }

    /// Whether a line is connected with the present life, and alive.
    #[must_use]
    pub fn is_sound(&self, line: usize) -> bool {
        let world = self.world();
        let line = &world.lines[line];
        line.life == Some(world.lives.len() - 1) && line.silence == Silence::None
    }

    /// Whether nothing is on its way on a line.
    #[must_use]
    pub fn is_idle(&self, line: usize) -> bool {
        self.world().lines[line].is_idle()
    }

    /// Lets the sequencer read one request; `false` if there is none that it can read.
    pub fn serve(&self, line: usize) -> bool {
        self.world().serve(line, self.now())
    }

    /// Lets the node read one answer.
    pub fn answer(&self, line: usize) -> bool {
        let mut world = self.world();
        let line = &mut world.lines[line];
        if line.silence == Silence::Both {
            return false;
        }
        let Some(reply) = line.replies.pop_front() else {
            return false;
        };
        let hearing = line.hearing.clone();
        drop(world);
        if let Some(to) = reply.to {
            // Who asked may wait no longer.
            let _ = to.send(reply.outcome);
        }
        if let Some(channels) = reply.resumed {
            hearing.resumed(&channels);
        }
        true
    }

    /// Lets the node hear one message.
    pub fn tell(&self, line: usize) -> bool {
        let mut world = self.world();
        let line = &mut world.lines[line];
        if line.silence != Silence::None {
            return false;
        }
        let Some((channel, event, generation)) = line.heard.pop_front() else {
            return false;
        };
        let hearing = line.hearing.clone();
        drop(world);
        hearing.heard(channel.as_str(), event, generation);
        true
    }

    /// Loses the next message.
    pub fn lose(&self, line: usize) {
        self.world().lines[line].heard.pop_front();
    }

    /// Brings the next message once more, behind those that wait.
    pub fn repeat(&self, line: usize) {
        let heard = &mut self.world().lines[line].heard;
        if let Some(next) = heard.front().cloned() {
            heard.push_back(next);
        }
    }

    /// Ends a line, which its node notices. Up to so many of its requests are carried out before,
    /// and nobody is told of it.
    pub fn cut(&self, line: usize, carried_out: usize) {
        let now = self.now();
        let mut world = self.world();
        for _ in 0..carried_out {
            world.serve(line, now);
        }
        world.lines[line].sever();
    }

    /// Ends a line, which nobody notices for a while.
    pub fn silence(&self, line: usize, silence: Silence) {
        let now = self.now();
        let line = &mut self.world().lines[line];
        line.silence = silence;
        line.silent_since = now;
    }

    /// Has a node find its way to the present life again.
    pub fn connect(&self, line: usize) {
        let hearing = self.world().lines[line].hearing.clone();
        // Without the lock: a channel's place is locked where a link is told to ignore it.
        let mut wanted = hearing.wanted();
        wanted.sort();
        let at = self.now();
        let mut world = self.world();
        let life = Some(world.lives.len() - 1);
        let line = &mut world.lines[line];
        line.sever();
        line.life = life;
        line.requests.push_back(Request {
            at,
            operation: Operation::Resume(wanted),
            reply: None,
        });
    }

    /// Lets nodes notice what time tells: answers that do not come, lines that are dead.
    pub fn tick(&self) {
        let now = self.now();
        for line in &mut self.world().lines {
            let is_due = PROBE <= now.since(line.silent_since);
            if line.silence != Silence::None && is_due {
                line.sever();
            }
            if Moment::START + PATIENCE <= now {
                line.give_up(Moment::START + (now.since(Moment::START) - PATIENCE));
            }
        }
    }

    /// Begins another life that knows everything. Lines stay with the one before until they are cut.
    pub fn restart(&self) {
        let mut world = self.world();
        let life = world.present().clone();
        world.begin(life);
    }

    /// Begins another life that knows nothing.
    pub fn restart_empty(&self) {
        self.world().begin(Life::new(Generation(0)));
    }

    /// Has a replica take over that lags behind by so many changes.
    pub fn fail_over(&self, lag: usize) {
        let mut world = self.world();
        let index = world.replicas.len().checked_sub(lag);
        let life = match index {
            Some(index) if index < world.replicas.len() => world.replicas[index].clone(),
            _ => world.present().clone(),
        };
        world.begin(life);
    }

    fn request(&self, line: usize, operation: Operation) -> Asked {
        let at = self.now();
        let mut world = self.world();
        let is_by_hand = world.is_by_hand;
        let line = &mut world.lines[line];
        line.life.ok_or(BrokerError::Unreachable)?;
        let (reply, answer) = tokio::sync::oneshot::channel();
        line.requests.push_back(Request {
            at,
            operation,
            reply: Some(reply),
        });
        drop(world);
        if !is_by_hand {
            self.settle();
        }
        Ok(answer)
    }

    /// Nothing more is to be heard of the channel. Its place is locked: nothing is carried here.
    fn ignore(&self, line: usize, channel: &ChannelName) {
        let at = self.now();
        let line = &mut self.world().lines[line];
        if line.life.is_some() {
            line.requests.push_back(Request {
                at,
                operation: Operation::Ignore(channel.clone()),
                reply: None,
            });
        }
    }

    /// Carries everything that is on its way.
    pub fn settle(&self) {
        let count = self.world().lines.len();
        while (0..count).any(|line| self.serve(line) || self.tell(line) || self.answer(line)) {}
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Moment {
        self.clock.now().moment
    }
}

type Asked = Result<tokio::sync::oneshot::Receiver<Outcome>, BrokerError>;

impl World {
    fn present(&self) -> &Life {
        self.lives.last().expect("there is always one")
    }

    fn begin(&mut self, life: Life) {
        let generation = Generation(self.lives.len() as u64 + 1);
        self.lives.push(life.under(generation));
        self.replicas.clear();
    }

    fn serve(&mut self, number: usize, now: Moment) -> bool {
        let line = &mut self.lines[number];
        let Some(life) = line.life.filter(|_| line.silence != Silence::Both) else {
            return false;
        };
        let Some(Request {
            at,
            operation,
            reply,
        }) = line.requests.pop_front()
        else {
            return false;
        };
        let mut resumed = None;
        let outcome = match operation {
            Operation::Publish(new, seen) => self.publish(life, new, seen, now),
            Operation::Announce(channel, attendance) => {
                let event = match attendance {
                    Attendance::Join(info) => Event::Join(info),
                    Attendance::Leave(info) => Event::Leave(info),
                };
                self.send(life, &channel, &event);
                Answer::Done
            }
            Operation::Listen(channel) => {
                self.lines[number].listened.insert(channel);
                Answer::Done
            }
            Operation::Ignore(channel) => {
                self.lines[number].listened.remove(&channel);
                return true;
            }
            Operation::History(channel, query, seen) => {
                let context = self.context(seen, now);
                let (page, sighting) = self.lives[life].history(&channel, query, context);
                Answer::Page(page, sighting)
            }
            Operation::RemoveHistory(channel) => {
                let context = self.context(None, now);
                self.lives[life].remove_history(&channel, context);
                Answer::Done
            }
            Operation::Resume(channels) => {
                self.lines[number].listened.extend(channels.iter().cloned());
                resumed = Some(channels);
                Answer::Done
            }
        };
        self.lines[number].replies.push_back(Reply {
            at,
            to: reply,
            outcome: Ok(outcome),
            resumed,
        });
        true
    }

    fn publish(
        &mut self,
        life: usize,
        new: NewPublication,
        seen: Option<Sighting>,
        now: Moment,
    ) -> Answer {
        let context = self.context(seen, now);
        let is_present = life + 1 == self.lives.len();
        if is_present {
            self.replicas.push_back(self.lives[life].clone());
            if self.replicas.len() > LAG_MAX {
                self.replicas.pop_front();
            }
        }
        let (channel, data, key) = (
            new.channel.clone(),
            new.data.clone(),
            new.idempotency_key.clone(),
        );
        let done = self.lives[life].publish(new, context);
        if let (Some(behind), Some(position)) =
            (done.stored_behind, done.accepted.published.position)
        {
            self.lives[life].note_last(&channel, self.log.len());
            self.log.push(Stored {
                channel: channel.clone(),
                position,
                data,
                key,
                behind,
            });
        }
        if let Some(event) = &done.event {
            self.send(life, &channel, event);
        }
        Answer::Accepted(done.accepted)
    }

    fn send(&mut self, life: usize, channel: &ChannelName, event: &Event) {
        let generation = match event.offset() {
            Some(_) => self.lives[life].generation,
            None => Generation(0),
        };
        for line in &mut self.lines {
            if line.life == Some(life) && line.listened.contains(channel) {
                let message = (channel.clone(), event.clone(), generation);
                line.heard.push_back(message);
            }
        }
    }

    fn context(&mut self, seen: Option<Sighting>, now: Moment) -> Context {
        self.epochs += 1;
        Context {
            now,
            seen,
            epoch: Epoch::new(&format!("e{}", self.epochs)),
            believes_nobody: self.believes_nobody,
        }
    }
}
