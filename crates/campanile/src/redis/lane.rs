//! The way of requests to one primary: a line that is there or not, and made again when it is lost.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::{sleep, timeout};

use super::asking::{Asking, Request};
use super::backoff::Backoff;
use super::dial::{Address, DialError, Dialled, dial};
use super::failure::Failure;
use super::line::{Line, Loss};
use super::reply::Reply;
use super::{Settings, Trouble};
use crate::background::{Running, Spawner};

/// Bytes of requests under way to one primary, with [`REQUEST_OVERHEAD_BYTES`] each; more is
/// refused.
const UNDER_WAY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What a request takes of that beside its own bytes: who waits, and the answer.
const REQUEST_OVERHEAD_BYTES: usize = 1024;

/// A line that lasted as long was not lost for the reason that the one before it was.
pub(super) const STEADY: Duration = Duration::from_secs(5);

/// See the [module](self).
pub(super) struct Lane {
    pub(super) address: Address,
    state: Arc<State>,
    /// Ends with the lane.
    _keeping: Running<()>,
}

/// What the lane's task and those who ask share.
struct State {
    line: Mutex<Option<mpsc::UnboundedSender<Request>>>,
    room: Arc<Semaphore>,
    /// Why there is no line.
    trouble: Mutex<Option<DialError>>,
    is_up: watch::Sender<bool>,
    reconnects: AtomicU64,
}

impl Lane {
    /// The lane to `address`, where everything is answered only when so many replicas have it;
    /// `trouble` is told whenever it may be that somebody else is primary.
    pub(super) fn open(
        (address, replicas): (Address, Option<(u32, Duration)>),
        settings: &Arc<Settings>,
        trouble: &Trouble,
        spawner: &Spawner,
    ) -> Self {
        let state = Arc::new(State {
            line: Mutex::default(),
            room: Arc::new(Semaphore::new(UNDER_WAY_BYTES_MAX)),
            trouble: Mutex::default(),
            is_up: watch::Sender::new(false),
            reconnects: AtomicU64::new(0),
        });
        let keeping = keep(
            (address.clone(), replicas),
            Arc::clone(settings),
            trouble.clone(),
            Arc::clone(&state),
        );
        Self {
            address,
            state,
            _keeping: spawner.spawn(keeping),
        }
    }

    /// Sends a command; the answer comes over what is returned. If that ends without one, the line
    /// has.
    pub(super) fn send(
        &self,
        command: Bytes,
    ) -> Result<oneshot::Receiver<Result<Reply, Failure>>, Failure> {
        let line = lock(&self.state.line).clone();
        let line = line.ok_or(Failure::Unreachable)?;
        let bytes = (command.len() + REQUEST_OVERHEAD_BYTES).min(UNDER_WAY_BYTES_MAX);
        let bytes = u32::try_from(bytes).expect("the bound fits into u32");
        let share = Arc::clone(&self.state.room).try_acquire_many_owned(bytes);
        let share = share.map_err(|_| Failure::Busy)?;
        let (answer, answered) = oneshot::channel();
        let request = Request {
            command,
            answer,
            share,
        };
        line.send(request).map_err(|_| Failure::Unreachable)?;
        Ok(answered)
    }

    /// Sends a command and waits for its answer.
    pub(super) async fn ask(&self, command: Bytes) -> Result<Reply, Failure> {
        let answered = self.send(command)?;
        answered.await.unwrap_or(Err(Failure::Unanswered))
    }

    pub(super) fn is_up(&self) -> bool {
        *self.state.is_up.borrow()
    }

    /// Waits until it is up.
    pub(super) async fn wait(&self) {
        let mut is_up = self.state.is_up.subscribe();
        // Its other end is here.
        let _ = is_up.wait_for(|is_up| *is_up).await;
    }

    /// Why it is not up, if that is known.
    pub(super) fn trouble(&self) -> Option<String> {
        lock(&self.state.trouble).as_ref().map(ToString::to_string)
    }

    /// Lines after the first one.
    pub(super) fn reconnects(&self) -> u64 {
        self.state.reconnects.load(Relaxed)
    }

    /// Bytes of requests under way.
    pub(super) fn under_way(&self) -> usize {
        UNDER_WAY_BYTES_MAX - self.state.room.available_permits()
    }
}

async fn keep(
    (address, replicas): (Address, Option<(u32, Duration)>),
    settings: Arc<Settings>,
    trouble: Trouble,
    state: Arc<State>,
) {
    let mut backoff = Backoff::default();
    let mut is_first = true;
    loop {
        match dial_primary(&address, &settings).await {
            Ok(dialled) => {
                if !std::mem::take(&mut is_first) {
                    state.reconnects.fetch_add(1, Relaxed);
                }
                tracing::info!(%address, "connected to redis");
                *lock(&state.trouble) = None;
                let began = tokio::time::Instant::now();
                let asking = Asking::new(settings.io_timeout, replicas);
                let loss = serve(dialled, asking, &state).await;
                tracing::warn!(%address, "lost redis: {loss}");
                if began.elapsed() >= STEADY {
                    backoff.reset();
                }
            }
            Err(error) => state.note(&address, error),
        }
        trouble.tell();
        sleep(backoff.next()).await;
    }
}

impl State {
    /// Says why there is no line, once for each reason.
    fn note(&self, address: &Address, error: DialError) {
        let mut trouble = lock(&self.trouble);
        let text = error.to_string();
        if trouble.as_ref().map(ToString::to_string) != Some(text) {
            tracing::warn!(%address, "cannot connect to redis: {error}");
            *trouble = Some(error);
        }
    }
}

/// Carries requests until the line ends.
async fn serve(dialled: Dialled, mut asking: Asking, state: &State) -> Loss {
    let (sender, mut requests) = mpsc::unbounded_channel();
    *lock(&state.line) = Some(sender);
    state.is_up.send_replace(true);
    let mut line = Line::new(dialled.into_stream());
    let patience = asking.patience();
    let loss = line.carry(&mut requests, &mut asking, patience).await;
    state.is_up.send_replace(false);
    *lock(&state.line) = None;
    asking.end(&mut requests);
    loss
}

/// Connects to a primary.
pub(super) async fn dial_primary(
    address: &Address,
    settings: &Settings,
) -> Result<Dialled, DialError> {
    let patience = settings.connect_timeout;
    let dialling = async {
        let dialled = dial(address, &settings.access, patience).await?;
        dialled.expect_primary().await
    };
    timeout(patience, dialling)
        .await
        .unwrap_or(Err(DialError::Timeout))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
