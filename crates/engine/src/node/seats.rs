//! How many connections each user has on this node, where that is limited.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use campanile_protocol::UserId;

/// Connections by user. One lock: it is taken once when a session connects and once when it ends,
/// and only on nodes that limit their users.
#[derive(Debug, Default)]
pub struct UserSeats(Mutex<HashMap<UserId, usize>>);

/// A user's share of the limit; given back when dropped.
#[derive(Debug)]
pub struct UserSeat {
    user: UserId,
    seats: Arc<UserSeats>,
}

impl UserSeats {
    /// Takes a seat for `user`; `None` when `limit` are taken.
    #[must_use]
    pub fn take(this: &Arc<Self>, user: &UserId, limit: usize) -> Option<UserSeat> {
        let mut seats = this.0.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = seats.entry(user.clone()).or_default();
        if *taken >= limit {
            if *taken == 0 {
                seats.remove(user);
            }
            return None;
        }
        *taken += 1;
        Some(UserSeat {
            user: user.clone(),
            seats: Arc::clone(this),
        })
    }
}

impl Drop for UserSeat {
    fn drop(&mut self) {
        let mut seats = self.seats.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(taken) = seats.get_mut(&self.user) {
            *taken -= 1;
            if *taken == 0 {
                seats.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_no_more_seats_than_the_limit_and_gives_them_back() {
        let seats = Arc::<UserSeats>::default();
        let user = UserId::new("42");
        let first = UserSeats::take(&seats, &user, 2).unwrap();
        let _second = UserSeats::take(&seats, &user, 2).unwrap();
        assert!(UserSeats::take(&seats, &user, 2).is_none());
        assert!(
            UserSeats::take(&seats, &UserId::new("43"), 2).is_some(),
            "others are not affected"
        );
        drop(first);
        assert!(UserSeats::take(&seats, &user, 2).is_some());
    }

    #[test]
    fn nothing_is_remembered_of_users_that_are_gone() {
        let seats = Arc::<UserSeats>::default();
        drop(UserSeats::take(&seats, &UserId::new("42"), 1));
        assert!(UserSeats::take(&seats, &UserId::new("43"), 0).is_none());
        assert!(seats.0.lock().unwrap().is_empty());
    }
}
