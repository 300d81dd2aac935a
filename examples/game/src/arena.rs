//! Between the players' connections and the world: who plays whom, and what they may do.
//!
//! The world is behind one lock. Everything under it takes microseconds and awaits nothing, so
//! players and ticks wait for each other no longer than that.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use campanile::Node;
use campanile::handlers::{
    Arrival, Credentials, Decision, Grant, Handlers, Interests, SessionHandle, Verdict,
};
use campanile::payload::Payload;
use campanile::protocol::command::SubscribeRequest;
use campanile::protocol::wire::Encoding;
use campanile::protocol::{ClientId, Disconnect, Refusal};
use tokio::time::{MissedTickBehavior, interval};

use crate::frame::PlayerId;
use crate::world::{Keys, World};

/// Where the frames are published.
pub(crate) const CHANNEL: &str = "arena:main";

/// Time between two ticks: 20 in a second.
pub(crate) const TICK: Duration = Duration::from_millis(50);

/// Room for a frame that is being made.
const FRAME_BYTES: usize = 4096;

/// The arena, as all connections share it.
#[derive(Clone)]
pub(crate) struct Arena(Arc<Mutex<State>>);

struct State {
    world: World,
    players: HashMap<ClientId, PlayerId>,
}

impl Arena {
    pub(crate) fn new(world: World) -> Self {
        let players = HashMap::new();
        Self(Arc::new(Mutex::new(State { world, players })))
    }

    /// Goes on from tick to tick, and tells everybody. A tick that is late is left out: the game
    /// becomes slower, and does not hurry afterwards.
    pub(crate) async fn run(self, node: Arc<Node>) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            ticks.tick().await;
            let mut frame = Vec::with_capacity(FRAME_BYTES);
            self.state().world.step().encode(&mut frame);
            // Those who play see that a tick is missing, and ask for a keyframe.
            if let Err(refusal) = node.publish(CHANNEL, frame).await {
                tracing::warn!(%refusal, "a frame is lost");
            }
        }
    }

    /// Lets a client in, and gives it what it needs to play: its number, and everything there is.
    fn enter(&self, client: ClientId) -> Result<Payload, Refusal> {
        let state = &mut *self.state();
        let id = match state.players.get(&client) {
            Some(id) => *id,
            None => state.world.enter().ok_or_else(full)?,
        };
        state.players.insert(client, id);
        let mut start = id.to_le_bytes().to_vec();
        state.world.keyframe().encode(&mut start);
        Ok(start.into())
    }

    fn keyframe(&self) -> Payload {
        let mut frame = Vec::with_capacity(FRAME_BYTES);
        self.state().world.keyframe().encode(&mut frame);
        frame.into()
    }

    /// A panic with the lock held has cost one request; the world is used as it was left.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Temporary: the SDK tries again, and is let in when there is a place.
fn full() -> Refusal {
    Refusal {
        code: 1000,
        message: "the arena is full".into(),
        temporary: true,
    }
}

/// For clients that speak JSON, which has no bytes.
fn binary_only() -> Refusal {
    Refusal {
        code: 1001,
        message: "frames are binary: use the Protobuf protocol".into(),
        temporary: false,
    }
}

impl Handlers for Arena {
    fn interests(&self) -> Interests {
        Interests::CONNECTING
            | Interests::SUBSCRIBE
            | Interests::MESSAGE
            | Interests::RPC
            | Interests::DISCONNECTED
    }

    /// Everybody may come. Channels that a client wishes for already here are not looked at: who
    /// enters before being connected, and never is, would not be told of as having left.
    async fn connecting(&self, _: Arrival<'_>) -> Decision<Credentials> {
        let mut guest = Credentials::of("");
        guest.considers_wishes = false;
        Ok(Verdict::Allowed(guest))
    }

    /// Who watches plays. There is no await here: a future that is dropped at one, because its
    /// client went away, would leave a player whom nobody takes out.
    async fn subscribe(
        &self,
        session: &SessionHandle,
        wanted: &SubscribeRequest,
    ) -> Decision<Grant> {
        if wanted.channel != CHANNEL {
            return Err(Refusal::PERMISSION_DENIED.into());
        }
        if session.wire().encoding() != Encoding::Protobuf {
            return Err(binary_only().into());
        }
        let start = self.enter(session.client())?;
        Ok(Verdict::Allowed(Grant::as_configured().with_data(start)))
    }

    /// The keys that a player holds from now on.
    async fn message(
        &self,
        session: &SessionHandle,
        message: &[u8],
    ) -> Result<Verdict<()>, Disconnect> {
        let keys = Keys::parse(message).ok_or(Disconnect::BAD_REQUEST)?;
        let state = &mut *self.state();
        if let Some(id) = state.players.get(&session.client()) {
            state.world.steer(*id, keys);
        }
        Ok(Verdict::Allowed(()))
    }

    /// `ping` measures the way to here and back, through everything that inputs go through;
    /// `keyframe` is for who missed a tick.
    async fn rpc(&self, session: &SessionHandle, method: &str, _: &[u8]) -> Decision<Payload> {
        let plays = || self.state().players.contains_key(&session.client());
        match method {
            "ping" => Ok(Verdict::Allowed(Payload::default())),
            "keyframe" if plays() => Ok(Verdict::Allowed(self.keyframe())),
            "keyframe" => Err(Refusal::PERMISSION_DENIED.into()),
            _ => Err(Refusal::METHOD_NOT_FOUND.into()),
        }
    }

    async fn disconnected(&self, session: &SessionHandle, _: &Disconnect) {
        let state = &mut *self.state();
        if let Some(id) = state.players.remove(&session.client()) {
            state.world.leave(id);
        }
    }
}
