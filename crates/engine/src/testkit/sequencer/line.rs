//! The line between one node and the sequencer: what is on its way, and how it breaks.

use std::collections::{BTreeSet, VecDeque};

use tokio::sync::oneshot;

use crate::broker::remote::{Accepted, Generation, Hearing, Sighting};
use crate::broker::{Attendance, BrokerError, HistoryPage, HistoryQuery, NewPublication};
use crate::channel::ChannelName;
use crate::delivery::Event;
use crate::time::Moment;

/// Two connections, as real links have: what is heard comes on one, what is answered on the other, and
/// neither waits for the other.
pub(super) struct Line {
    pub(super) hearing: Hearing,
    /// With which life it is connected, by its number.
    pub(super) life: Option<usize>,
    pub(super) silence: Silence,
    /// Since when it has been silent.
    pub(super) silent_since: Moment,
    /// What the node has sent and the sequencer has not read.
    pub(super) requests: VecDeque<Request>,
    /// What the sequencer has said and the node has not read.
    pub(super) replies: VecDeque<Reply>,
    pub(super) heard: VecDeque<(ChannelName, Event, Generation)>,
    /// What the sequencer sends here.
    pub(super) listened: BTreeSet<ChannelName>,
}

/// What of a line is dead without anybody having noticed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Silence {
    /// Nothing.
    #[default]
    None,
    /// What is published does not come; questions are answered.
    Heard,
    /// Both.
    Both,
}

pub(super) struct Request {
    pub(super) at: Moment,
    pub(super) operation: Operation,
    /// `None` once nobody waits any more.
    pub(super) reply: Option<oneshot::Sender<Outcome>>,
}

pub(super) enum Operation {
    Publish(NewPublication, Option<Sighting>),
    Announce(ChannelName, Attendance),
    Listen(ChannelName),
    Ignore(ChannelName),
    History(ChannelName, HistoryQuery, Option<Sighting>),
    RemoveHistory(ChannelName),
    /// All these are to be listened to again.
    Resume(Vec<ChannelName>),
}

pub(super) type Outcome = Result<Answer, BrokerError>;

pub(super) enum Answer {
    Done,
    Accepted(Accepted),
    Page(HistoryPage, Sighting),
}

pub(super) struct Reply {
    pub(super) at: Moment,
    pub(super) to: Option<oneshot::Sender<Outcome>>,
    pub(super) outcome: Outcome,
    /// Listened to again.
    pub(super) resumed: Option<Vec<ChannelName>>,
}

impl Line {
    pub(super) const fn new(hearing: Hearing) -> Self {
        Self {
            hearing,
            life: None,
            silence: Silence::None,
            silent_since: Moment::START,
            requests: VecDeque::new(),
            replies: VecDeque::new(),
            heard: VecDeque::new(),
            listened: BTreeSet::new(),
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.requests.is_empty() && self.replies.is_empty() && self.heard.is_empty()
    }

    /// Ends it: whoever waits for an answer learns that there will be none.
    pub(super) fn sever(&mut self) {
        self.life = None;
        self.silence = Silence::None;
        self.requests.clear();
        self.replies.clear();
        self.heard.clear();
        self.listened.clear();
    }

    /// Gives up what was asked before `deadline`.
    pub(super) fn give_up(&mut self, deadline: Moment) {
        let requests = self.requests.iter_mut();
        for request in requests.filter(|request| request.at <= deadline) {
            request.reply = None;
        }
        for reply in self.replies.iter_mut().filter(|it| it.at <= deadline) {
            reply.to = None;
        }
    }
}
