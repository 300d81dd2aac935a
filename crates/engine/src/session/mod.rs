//! The protocol state of one connection: sections 4 to 9 of the client protocol.
//!
//! A session is a state machine. It is told what happened and what time it is, and says what must
//! happen; it never waits, never reads a clock, and has never heard of sockets, hubs and brokers.
//! It knows messages, but not how they are spelled.
//!
//! ```text
//!              connect            answer: credentials, joins
//!   Opened ───────────────► Connecting ───────────────► Live
//!     │                         │ refused                │
//!     │ stale, bad request      ▼                        │ expiry, no pong, bad request, order
//!     └──────────────────► Refused ─────► Closed ◄───────┘
//! ```

mod bequest;
mod claim;
mod connect;
mod consult;
mod effect;
mod manner;
mod order;
mod pending;
mod plain;
mod plan;
mod query;
mod refresh;
mod renew;
mod subscribe;
mod timeout;
mod wishes;

use std::sync::Arc;

use campanile_protocol::codec::DecodeError;
use campanile_protocol::command::Request;
use campanile_protocol::reply::Expiry;
use campanile_protocol::wire::Wire;
use campanile_protocol::{
    ClientId, ClientInfo, Command, Disconnect, Payload, Refusal, Reply, ReplyBody, UserId,
};

use crate::ask::{Answer, Ask, Tell, Ticket, Wanted};
use crate::authority::Handshake;
use crate::channel::{ChannelName, Namespaces};
use crate::node::UserSeat;
use crate::settings::Settings;
use crate::time::{Moment, Now};

use bequest::Bequest;
pub use claim::Claim;
use claim::ClaimedAt;
pub use effect::{Deltas, Effect, Membership, Notice};
pub use order::Order;
use pending::{Open, Pending};
use subscribe::Subscription;

/// What a session is judged by, the same for all of a shard.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The present.
    pub now: Now,
    /// The operator's rules.
    pub settings: &'a Settings,
    /// The channels' rules.
    pub namespaces: &'a Namespaces,
}

/// Something that happened to a session.
#[derive(Debug)]
pub enum Input {
    /// The client sent a command.
    Command(Command),
    /// The client sent something else.
    Malformed(DecodeError),
    /// The client sent something to publish, over a transport without commands.
    Message(Payload),
    /// A question was answered.
    Answer(Ticket, Answer),
    /// The moment that [`Session::next_timeout`] named has come, or may have.
    Timeout,
    /// The application wants something of this session.
    Order(Order),
    /// Publications of a channel were missed and cannot be brought back.
    Lost(ChannelName),
    /// The connection is gone, or must go.
    Close(Disconnect),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Opened,
    Connecting,
    Live,
    /// The connect command was answered with an error, which the client has yet to read.
    Refused,
    Closed,
}

/// How long a client may take to read why its connect command was refused.
const REFUSED_LINGER: std::time::Duration = std::time::Duration::from_secs(5);

/// See the [module](self).
#[derive(Debug)]
pub struct Session {
    state: State,
    wire: Wire,
    client: ClientId,
    /// Shared with presence, publications and announcements; anonymous until the session is live.
    info: Arc<ClientInfo>,
    /// Where the first ping falls between half an interval and a whole one, in 65,536ths.
    jitter: u16,
    has_unanswered_ping: bool,
    /// Since when it is, or was, the only one of its user, where only one may be.
    claimed: ClaimedAt,
    /// While opened, connecting or refused: when that ends.
    /// While live: when the next ping or the pong for the last one is due.
    deadline: Moment,
    /// When the connection's credentials run out, delay included.
    expires: Option<Moment>,
    /// By channel name. A vector, since most sessions have few and all have to be small.
    subscriptions: Vec<Subscription>,
    pending: Vec<Open>,
    next_ticket: u32,
    /// What is known from before the connect command, until that comes.
    handshake: Option<Box<Handshake>>,
    /// What the session's credentials left to remember, where they left anything.
    bequest: Option<Box<Bequest>>,
    /// The session's share of its user's connections, given back when it closes.
    seat: Option<UserSeat>,
}

const _: () = assert!(size_of::<Session>() <= 144, "there are a million of them");

impl Session {
    /// A session whose connection was just opened, and speaks `wire`. `jitter` is any random number.
    #[must_use]
    pub fn open(
        context: &Context<'_>,
        wire: Wire,
        client: ClientId,
        jitter: u16,
        handshake: Option<Box<Handshake>>,
    ) -> Self {
        let info = ClientInfo {
            user: UserId::new(""),
            client,
            conn_info: None,
            chan_info: None,
        };
        Self {
            state: State::Opened,
            wire,
            client,
            info: Arc::new(info),
            jitter,
            has_unanswered_ping: false,
            claimed: ClaimedAt::default(),
            deadline: context.now.moment + context.settings.stale_close_delay,
            expires: None,
            subscriptions: Vec::new(),
            pending: Vec::new(),
            next_ticket: 0,
            handshake,
            bequest: None,
            seat: None,
        }
    }

    /// The session's identity.
    #[must_use]
    pub const fn client(&self) -> ClientId {
        self.client
    }

    /// The user behind it; anonymous until it is live.
    #[must_use]
    pub fn user(&self) -> &UserId {
        &self.info.user
    }

    /// Whether the client has been told that it is connected.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.state == State::Live
    }

    /// Whether an answer is still needed after the session was closed, to undo what it brings.
    #[must_use]
    pub fn has_loose_ends(&self) -> bool {
        !self.pending.is_empty()
    }

    /// How many subscriptions it has or is about to have.
    #[must_use]
    pub fn subscription_count(&self) -> usize {
        self.subscriptions.len()
    }

    /// Whether the next command has to wait, since an earlier one does.
    #[must_use]
    pub fn is_waiting(&self, settings: &Settings) -> bool {
        let mut of_commands = self
            .pending
            .iter()
            .filter(|open| open.pending.holds_commands());
        let is_undoing = || self.subscriptions.iter().any(Subscription::is_revoked);
        match self.state {
            State::Connecting => true,
            _ if self.pending.is_empty() => false,
            // What a plain client says means nothing before it is subscribed.
            _ if self.is_plain() => of_commands.next().is_some(),
            // What is being undone has to be gone before it can begin anew.
            _ => of_commands.count() >= settings.concurrency.max(1) || is_undoing(),
        }
    }

    /// Takes one input and appends what must happen.
    pub fn handle(&mut self, context: &Context<'_>, input: Input, effects: &mut Vec<Effect>) {
        if self.state == State::Closed {
            self.handle_late(&input, effects);
            return;
        }
        let first = effects.len();
        self.handle_input(context, input, effects);
        if self.is_plain() {
            self.end_plainly(first, effects);
        }
    }

    fn handle_input(&mut self, context: &Context<'_>, input: Input, effects: &mut Vec<Effect>) {
        match input {
            Input::Command(command) => self.handle_command(context, command, effects),
            Input::Malformed(_) if self.has_said_everything() => {}
            Input::Malformed(_) => self.close(Disconnect::BAD_REQUEST, effects),
            Input::Message(data) => self.say(context, data, effects),
            Input::Answer(ticket, answer) => self.handle_answer(context, ticket, answer, effects),
            Input::Timeout => self.handle_timeout(context, effects),
            Input::Order(order) => self.handle_order(context, order, effects),
            Input::Lost(channel) => self.lose(&channel, effects),
            Input::Close(disconnect) => self.close(disconnect, effects),
        }
    }

    fn handle_command(
        &mut self,
        context: &Context<'_>,
        command: Command,
        effects: &mut Vec<Effect>,
    ) {
        match (self.state, command) {
            (
                State::Opened,
                Command::Request {
                    id,
                    request: Request::Connect(request),
                },
            ) => {
                self.connect(context, id, request, effects);
            }
            (State::Live, Command::Pong) if self.has_unanswered_ping => {
                self.has_unanswered_ping = false;
                // The deadline was that of the pong; the next ping is a whole interval after the
                // last one.
                let rest = context.settings.ping_interval - context.settings.pong_timeout;
                self.deadline = self.deadline + rest;
            }
            // One that is not a command may come at any time, and mean nothing.
            (_, Command::Pong) if !self.speaks_commands() => {}
            _ if self.has_said_everything() => {}
            (State::Live, Command::Send { data }) => self.message(context, data, effects),
            (State::Live, Command::Request { id, request }) => {
                self.handle_request(context, id, request, effects);
            }
            _ => self.close(Disconnect::BAD_REQUEST, effects),
        }
    }

    fn handle_request(
        &mut self,
        context: &Context<'_>,
        id: u32,
        request: Request,
        effects: &mut Vec<Effect>,
    ) {
        let outcome = match request {
            Request::Connect(_) => return self.close(Disconnect::BAD_REQUEST, effects),
            Request::Refresh { token } => return self.refresh(context, id, token, effects),
            Request::SubRefresh {
                channel,
                token,
                kind,
            } => return self.sub_refresh(context, id, (channel, token, kind), effects),
            Request::Rpc { method, data } => self.rpc(context, id, method, data, effects),
            request if names_no_channel(&request) => {
                return self.close(Disconnect::BAD_REQUEST, effects);
            }
            Request::Subscribe(request) => return self.subscribe(context, id, request, effects),
            Request::Unsubscribe { channel } => return self.unsubscribe(id, &channel, effects),
            Request::Publish {
                channel,
                data,
                kind: 0,
            } => self.publish(context, id, &channel, data, effects),
            Request::Publish { channel, kind, .. } => {
                query::refuse_publish(context, &channel, kind)
            }
            Request::Presence { channel } => self.presence(context, id, &channel, false, effects),
            Request::PresenceStats { channel } => {
                self.presence(context, id, &channel, true, effects)
            }
            Request::History(request) => self.history(context, id, request, effects),
        };
        if let Err(refusal) = outcome {
            effects.push(reply(id, Err(refusal)));
        }
    }

    fn handle_answer(
        &mut self,
        context: &Context<'_>,
        ticket: Ticket,
        answer: Answer,
        effects: &mut Vec<Effect>,
    ) {
        let Some(index) = self.pending.iter().position(|open| open.ticket == ticket) else {
            return;
        };
        let Open { pending, .. } = self.pending.swap_remove(index);
        if self.pending.is_empty() {
            self.pending = Vec::new();
        }
        match (pending, answer) {
            (
                Pending::Connect {
                    id,
                    request,
                    headers,
                },
                Answer::Connect(outcome),
            ) => self.connected(context, id, (&request, headers), outcome, effects),
            (Pending::ConnectJoins { id, plans, data }, Answer::Join(outcome)) => {
                self.connect_joined(context, id, (plans, data), outcome, effects);
            }
            (Pending::Refresh { id }, Answer::Refresh(outcome)) => {
                self.refreshed(context, id, outcome, effects);
            }
            (Pending::Grant { id, request }, Answer::Grant(outcome)) => {
                self.granted(context, id, &request, outcome, effects);
            }
            (Pending::Join { id, plan }, Answer::Join(outcome)) => {
                self.joined(context, id, &plan, outcome, effects);
            }
            (Pending::OrderedJoin { plan }, Answer::Join(outcome)) => {
                self.ordered_join(context, &plan, outcome, effects);
            }
            (Pending::SubRefresh { id, channel }, Answer::Grant(outcome)) => {
                self.sub_refreshed(context, id, &channel, outcome, effects);
            }
            (Pending::Reply { id }, Answer::Reply(body)) => effects.push(reply(id, body)),
            (pending, answer) => self.handle_verdict(context, pending, answer, effects),
        }
    }

    /// What a question brought about after its session was closed is undone.
    ///
    /// A join that failed is undone too: it may have begun with a part of its channels.
    fn handle_late(&mut self, input: &Input, effects: &mut Vec<Effect>) {
        let Input::Answer(ticket, _) = input else {
            return;
        };
        let Some(index) = self.pending.iter().position(|open| open.ticket == *ticket) else {
            return;
        };
        let plans = match self.pending.swap_remove(index).pending {
            Pending::ConnectJoins { plans, .. } => plans,
            Pending::Join { plan, .. } | Pending::OrderedJoin { plan } => vec![*plan],
            _ => return,
        };
        for plan in plans {
            self.undo_join(&plan, effects);
        }
    }

    /// Ends the session: what it began is undone, and nobody hears of it again.
    fn close(&mut self, disconnect: Disconnect, effects: &mut Vec<Effect>) {
        if self.state == State::Live
            && let Some(bequest) = self.bequest.as_ref().filter(|held| held.has_mourner)
            && let Some(caller) = &bequest.caller
        {
            let tell = Tell::Disconnected(Arc::clone(caller), disconnect.clone());
            effects.push(Effect::Tell(tell));
        }
        self.state = State::Closed;
        self.expires = None;
        drop(self.seat.take());
        for subscription in std::mem::take(&mut self.subscriptions) {
            self.end(subscription, effects);
        }
        // Joins that are under way are undone when they are answered; nothing else needs an answer.
        self.pending.retain(|open| open.pending.is_join());
        effects.push(Effect::Close(disconnect));
    }

    fn ask(&mut self, pending: Pending, ask: Ask, effects: &mut Vec<Effect>) {
        self.ask_while(None, pending, ask, effects);
    }

    fn ask_while(
        &mut self,
        wanted: Option<Wanted>,
        pending: Pending,
        ask: Ask,
        effects: &mut Vec<Effect>,
    ) {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket = self.next_ticket.wrapping_add(1);
        self.pending.push(Open {
            ticket,
            pending,
            _wanted: wanted,
        });
        effects.push(Effect::Ask(ticket, ask));
    }

    /// When something with this expiry ends if nobody renews it, and what the client is told.
    /// Its client has `delay` to renew it; without one it is renewed by the server, which is nothing
    /// that the client has to know.
    fn expiry(
        context: &Context<'_>,
        expire_at: Option<i64>,
        delay: Option<std::time::Duration>,
    ) -> (Option<Moment>, Expiry) {
        let Some(expire_at) = expire_at else {
            return (None, Expiry::default());
        };
        let left = expire_at
            .saturating_sub(context.now.unix())
            .clamp(0, TTL_SECONDS_MAX);
        let ttl = u32::try_from(left).expect("a year has fewer seconds");
        let end = context.now.moment_of(expire_at) + delay.unwrap_or_default();
        let ttl = delay.map(|_| ttl);
        (Some(end), Expiry { ttl })
    }
}

/// Longer times to live are told as a year (section 6.2).
const TTL_SECONDS_MAX: i64 = 365 * 24 * 60 * 60;

fn reply(id: u32, body: Result<ReplyBody, Refusal>) -> Effect {
    Effect::Reply(Reply { id, body })
}

/// Whether a request that is about a channel does not say which (section 4.3).
fn names_no_channel(request: &Request) -> bool {
    match request {
        Request::Subscribe(request) => request.channel.is_empty(),
        Request::History(request) => request.channel.is_empty(),
        Request::Unsubscribe { channel }
        | Request::Publish { channel, .. }
        | Request::Presence { channel }
        | Request::PresenceStats { channel } => channel.is_empty(),
        _ => false,
    }
}
