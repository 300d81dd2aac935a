//! One session under test, and a short spelling of its effects.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use campanile_engine::ask::{Answer, Joined, Ticket};
use campanile_engine::authority::{Credentials, Grant, Handshake, TokenGrant};
use campanile_engine::broker::HistoryPage;
use campanile_engine::channel::Namespaces;
use campanile_engine::channel::options::{ChannelOptions, NameRules};
use campanile_engine::recovery;
use campanile_engine::session::{Context, Effect, Input, Order, Session};
use campanile_engine::settings::Settings;
use campanile_engine::testkit::ManualClock;
use campanile_engine::time::Clock;
use campanile_protocol::command::{ConnectRequest, Request, SubscribeRequest};
use campanile_protocol::wire::{Encoding, Wire};
use campanile_protocol::{
    ClientId, Command, Disconnect, Epoch, Position, Publication, Refusal, UserId,
};

use super::spelling::{spell_ask, spell_body, spell_membership, spell_notice, spell_tell};

pub(crate) struct Desk {
    pub(crate) session: Session,
    pub(crate) clock: ManualClock,
    pub(crate) settings: Settings,
    pub(crate) namespaces: Namespaces,
    questions: VecDeque<Ticket>,
    next_id: u32,
}

/// What the effects of one input look like.
pub(crate) type Said = Vec<String>;

impl Desk {
    pub(crate) fn new(options: ChannelOptions) -> Self {
        Self::with(Settings::default(), options)
    }

    pub(crate) fn with(settings: Settings, options: ChannelOptions) -> Self {
        Self::over(Wire::WebSocket(Encoding::Json), settings, options)
    }

    pub(crate) fn over(wire: Wire, settings: Settings, options: ChannelOptions) -> Self {
        Self::opened(wire, settings, options, None)
    }

    pub(crate) fn opened(
        wire: Wire,
        settings: Settings,
        options: ChannelOptions,
        handshake: Option<Box<Handshake>>,
    ) -> Self {
        let private = ChannelOptions {
            allow_subscribe_for_client: false,
            ..options.clone()
        };
        let namespaces = Namespaces::new(NameRules::default(), options, [("ns".into(), private)]);
        let clock = ManualClock::default();
        let context = Context {
            now: clock.now(),
            settings: &settings,
            namespaces: &namespaces,
        };
        let session = Session::open(&context, wire, client(), 0, handshake);
        Self {
            session,
            clock,
            settings,
            namespaces,
            questions: VecDeque::new(),
            next_id: 1,
        }
    }

    /// A session of user 42 that is live, in a channel space where clients may do everything.
    pub(crate) fn live() -> Self {
        Self::live_with(everything())
    }

    pub(crate) fn live_with(options: ChannelOptions) -> Self {
        let mut desk = Self::new(options);
        desk.go_live();
        desk
    }

    pub(crate) fn go_live(&mut self) {
        self.ask(Request::Connect(Box::default()));
        let said = self.answer(Answer::Connect(Ok((credentials(), None))));
        assert_eq!(said[0], "enroll 42");
        self.next_id = 1;
    }

    /// A live session that is subscribed to `c`, with the stream's top at 3.
    pub(crate) fn subscribed() -> Self {
        let mut desk = Self::live();
        desk.ask(subscribe("c"));
        desk.answer(joined(3));
        desk.next_id = 1;
        desk
    }

    pub(crate) fn feed(&mut self, input: Input) -> Said {
        let mut effects = Vec::new();
        let context = Context {
            now: self.clock.now(),
            settings: &self.settings,
            namespaces: &self.namespaces,
        };
        self.session.handle(&context, input, &mut effects);
        effects
            .into_iter()
            .map(|effect| self.spell(effect))
            .collect()
    }

    /// The client's next command; ids count from 1.
    pub(crate) fn ask(&mut self, request: Request) -> Said {
        let id = self.next_id;
        self.next_id += 1;
        self.feed(Input::Command(Command::Request { id, request }))
    }

    pub(crate) fn command(&mut self, command: Command) -> Said {
        self.feed(Input::Command(command))
    }

    pub(crate) fn order(&mut self, order: Order) -> Said {
        self.feed(Input::Order(order))
    }

    /// Answers the oldest question.
    pub(crate) fn answer(&mut self, answer: Answer) -> Said {
        let ticket = self.questions.pop_front().expect("a question is open");
        self.feed(Input::Answer(ticket, answer))
    }

    /// Lets time pass and the timeout come.
    pub(crate) fn pass(&mut self, seconds: f64) -> Said {
        self.clock.advance(Duration::from_secs_f64(seconds));
        self.feed(Input::Timeout)
    }

    /// Seconds until the next timeout.
    pub(crate) fn patience(&self) -> Option<f64> {
        let now = self.clock.now().moment;
        let timeout = self.session.next_timeout()?;
        Some(timeout.since(now).as_secs_f64())
    }

    pub(crate) fn is_waiting(&self) -> bool {
        self.session.is_waiting(&self.settings)
    }

    fn spell(&mut self, effect: Effect) -> String {
        match effect {
            Effect::Reply(reply) => match reply.body {
                Ok(body) => format!("{}: {}", reply.id, spell_body(&body)),
                Err(refusal) => {
                    let again = if refusal.temporary { ", try again" } else { "" };
                    format!("{}: error {}{again}", reply.id, refusal.code)
                }
            },
            Effect::Push(notice) => format!("push {}", spell_notice(&notice)),
            Effect::Ping => "ping".into(),
            Effect::Ask(ticket, ask) => {
                self.questions.push_back(ticket);
                format!("ask {}", spell_ask(&ask))
            }
            Effect::Tell(tell) => spell_tell(&tell),
            Effect::Enroll(user) => format!("enroll {}", user.as_str()),
            Effect::Await(channel) => format!("await {}", channel.as_str()),
            Effect::Enter(channel, membership) => {
                format!(
                    "enter {}{}",
                    channel.as_str(),
                    spell_membership(&membership)
                )
            }
            Effect::Leave(channel) => format!("leave {}", channel.as_str()),
            Effect::Close(disconnect) => format!("close {}", disconnect.code),
        }
    }
}

pub(crate) fn client() -> ClientId {
    ClientId::from_random([1; 16], 0)
}

/// Options under which clients may do everything, and nothing is switched on by itself.
pub(crate) fn everything() -> ChannelOptions {
    ChannelOptions {
        presence: true,
        history_size: 10,
        history_ttl: Duration::from_secs(60),
        allow_subscribe_for_client: true,
        allow_publish_for_client: true,
        allow_presence_for_client: true,
        allow_history_for_client: true,
        ..ChannelOptions::default()
    }
}

/// Options without presence and history.
pub(crate) fn plain() -> ChannelOptions {
    ChannelOptions {
        allow_subscribe_for_client: true,
        ..ChannelOptions::default()
    }
}

pub(crate) fn credentials() -> Credentials {
    Credentials {
        user: UserId::new("42"),
        expire_at: None,
        info: None,
        meta: None,
        data: None,
        subscriptions: Vec::new(),
        considers_wishes: true,
    }
}

pub(crate) fn connected(credentials: Credentials) -> Answer {
    Answer::Connect(Ok((credentials, None)))
}

pub(crate) fn token_grant(channel: &str, grant: Grant) -> TokenGrant {
    TokenGrant {
        channel: channel.into(),
        user: "42".into(),
        client: None,
        grant,
    }
}

pub(crate) fn at(epoch: &str, offset: u64) -> Position {
    Position {
        epoch: Epoch::new(epoch),
        offset,
    }
}

/// The join was successful, with the stream's top at `top` of epoch e.
pub(crate) fn joined(top: u64) -> Answer {
    Answer::Join(Ok(vec![join_of(top)]))
}

pub(crate) fn join_of(top: u64) -> Joined {
    Joined {
        top: at("e", top),
        recovery: None,
    }
}

/// The same, after a recovery from `from` in a history that keeps `kept`.
pub(crate) fn recovered(from: Position, kept: std::ops::RangeInclusive<u64>) -> Answer {
    let top = at("e", *kept.end());
    let newer = kept.filter(|offset| *offset > from.offset);
    let publications = newer.map(|offset| Arc::new(publication(offset))).collect();
    let page = HistoryPage { publications, top };
    Answer::Join(Ok(vec![Joined {
        top,
        recovery: Some(recovery::judge(from, page)),
    }]))
}

pub(crate) fn publication(offset: u64) -> Publication {
    Publication {
        offset,
        data: b"1".as_slice().into(),
        info: None,
        tags: None,
    }
}

pub(crate) fn failed() -> Answer {
    Answer::Join(Err(Refusal::INTERNAL))
}

pub(crate) fn subscribe(channel: &str) -> Request {
    subscribe_with(SubscribeRequest {
        channel: channel.into(),
        ..SubscribeRequest::default()
    })
}

pub(crate) fn subscribe_with(request: SubscribeRequest) -> Request {
    Request::Subscribe(Box::new(request))
}

pub(crate) fn connect_with(subs: &[(&str, Option<Position>)]) -> Request {
    let sub = |recover| SubscribeRequest {
        recover,
        ..SubscribeRequest::default()
    };
    let subs = subs
        .iter()
        .map(|(name, recover)| ((*name).into(), sub(*recover)));
    Request::Connect(Box::new(ConnectRequest {
        subs: subs.collect(),
        ..ConnectRequest::default()
    }))
}

pub(crate) fn unsubscribe(channel: &str) -> Request {
    Request::Unsubscribe {
        channel: channel.into(),
    }
}

pub(crate) fn close(desk: &mut Desk) -> Said {
    desk.feed(Input::Close(Disconnect::CONNECTION_CLOSED))
}
