//! What there is to do: a list that everybody sees, in a file.
//!
//! It refuses to know about HTTP, and about who may do what.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::SystemTime;
use std::{fmt, fs, io};

use serde::{Deserialize, Serialize};

use super::sessions::Sessions;

/// So many orders fit on the board.
const ORDERS_MAX: usize = 50;
/// So long is an order, in characters.
const TEXT_MAX: usize = 120;

/// What is kept.
#[derive(Clone, Serialize, Deserialize, Default)]
pub(crate) struct State {
    /// Grows with every change, also from one file to the next: it follows the clock.
    pub(crate) version: u64,
    pub(crate) orders: Vec<Order>,
    /// Who has signed out when.
    pub(crate) sessions: Sessions,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) id: u64,
    pub(crate) text: String,
    /// Who took it.
    pub(crate) by: String,
}

/// The state, which changes as a whole.
pub(crate) struct Board {
    file: PathBuf,
    /// Whoever changes it waits for the disk here, so that who only looks does not.
    turn: Mutex<()>,
    state: RwLock<State>,
}

/// Why something did not change.
#[derive(Debug)]
pub(crate) enum ChangeError {
    /// Nothing to write down, or too much.
    Text,
    /// There are too many.
    Full,
    /// Somebody was faster.
    Gone,
    /// The disk.
    Io(io::Error),
}

impl fmt::Display for ChangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text => write!(f, "an order has 1 to {TEXT_MAX} characters"),
            Self::Full => write!(f, "there are {ORDERS_MAX} orders: do one first"),
            Self::Gone => f.write_str("this order is done already"),
            Self::Io(error) => write!(f, "it cannot be saved: {error}"),
        }
    }
}

impl Board {
    /// As it was left.
    pub(crate) fn open(file: PathBuf) -> io::Result<Self> {
        let state = match fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => State {
                version: milliseconds(),
                ..State::default()
            },
            Err(error) => return Err(error),
        };
        Ok(Self {
            file,
            turn: Mutex::default(),
            state: RwLock::new(state),
        })
    }

    pub(crate) fn look<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn add(&self, text: &str, by: &str) -> Result<(), ChangeError> {
        let text = text.trim();
        if text.is_empty() || text.chars().count() > TEXT_MAX {
            return Err(ChangeError::Text);
        }
        self.change(|state| {
            if state.orders.len() >= ORDERS_MAX {
                return Err(ChangeError::Full);
            }
            let (text, by) = (text.to_owned(), by.to_owned());
            let id = state.version;
            state.orders.push(Order { id, text, by });
            Ok(())
        })
    }

    pub(crate) fn finish(&self, id: u64) -> Result<(), ChangeError> {
        self.change(|state| {
            let before = state.orders.len();
            state.orders.retain(|order| order.id != id);
            (state.orders.len() < before)
                .then_some(())
                .ok_or(ChangeError::Gone)
        })
    }

    pub(crate) fn sign_out(&self, user: &str) -> Result<(), ChangeError> {
        self.change(|state| {
            state.sessions.end(user);
            Ok(())
        })
    }

    /// Saves the changed state before anybody sees it.
    fn change(
        &self,
        change: impl FnOnce(&mut State) -> Result<(), ChangeError>,
    ) -> Result<(), ChangeError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = self.look(State::clone);
        next.version = milliseconds().max(next.version + 1);
        change(&mut next)?;
        self.save(&next).map_err(ChangeError::Io)?;
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(())
    }

    fn save(&self, state: &State) -> io::Result<()> {
        let new = self.file.with_extension("new");
        fs::write(&new, serde_json::to_vec(state)?)?;
        fs::rename(new, &self.file)
    }
}

fn milliseconds() -> u64 {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
