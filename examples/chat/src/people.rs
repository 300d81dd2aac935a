//! Who is here, beyond what the server keeps: names that people gave themselves, and in which rooms
//! their terminals are. Bounded by the sessions that there are; nobody is kept who has none.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::words::MAIN;

/// Everybody who has a session.
#[derive(Default)]
pub(crate) struct People(Mutex<Here>);

#[derive(Default)]
struct Here {
    /// By user.
    people: HashMap<String, Person>,
    /// Users with terminals, by room.
    terminals: BTreeMap<String, BTreeSet<String>>,
}

#[derive(Default)]
struct Person {
    sessions: usize,
    /// How many of them are terminals. They are all in the same room, as they share a screen.
    terminals: usize,
    /// The room of the terminals, where they have been told to be in another than the first.
    room: Option<String>,
    /// Another name than the user's.
    name: Option<String>,
}

impl Person {
    fn room(&self) -> &str {
        self.room.as_deref().unwrap_or(MAIN)
    }
}

impl People {
    /// A session begins.
    pub(crate) fn came(&self, user: &str, is_terminal: bool) {
        let here = &mut *self.here();
        let person = here.people.entry(user.to_owned()).or_default();
        person.sessions += 1;
        person.terminals += usize::from(is_terminal);
        if is_terminal {
            let room = here.terminals.entry(person.room().to_owned()).or_default();
            room.insert(user.to_owned());
        }
    }

    /// A session that came is over.
    pub(crate) fn went(&self, user: &str, is_terminal: bool) {
        let here = &mut *self.here();
        let Some(person) = here.people.get_mut(user) else {
            return;
        };
        person.sessions -= 1;
        person.terminals -= usize::from(is_terminal);
        if is_terminal && person.terminals == 0 {
            let room = person.room.take().unwrap_or_else(|| MAIN.to_owned());
            leave(&mut here.terminals, &room, user);
        }
        if person.sessions == 0 {
            here.people.remove(user);
        }
    }

    /// Puts the terminals of a user into another room; returns the one where they were.
    pub(crate) fn take_to(&self, user: &str, room: &str) -> String {
        let here = &mut *self.here();
        let Some(person) = here.people.get_mut(user) else {
            return MAIN.to_owned();
        };
        let before = person.room.replace(room.to_owned());
        let before = before.unwrap_or_else(|| MAIN.to_owned());
        leave(&mut here.terminals, &before, user);
        let terminals = here.terminals.entry(room.to_owned()).or_default();
        terminals.insert(user.to_owned());
        before
    }

    /// The room of a user's terminals.
    pub(crate) fn room_of(&self, user: &str) -> String {
        let here = self.here();
        let person = here.people.get(user);
        person.map_or(MAIN, Person::room).to_owned()
    }

    /// Whether a user has terminals.
    pub(crate) fn has_terminals(&self, user: &str) -> bool {
        let here = self.here();
        here.people
            .get(user)
            .is_some_and(|person| person.terminals > 0)
    }

    /// Users with terminals in a room.
    pub(crate) fn terminals_in(&self, room: &str) -> Vec<String> {
        let here = self.here();
        let users = here.terminals.get(room);
        users.into_iter().flatten().cloned().collect()
    }

    /// Rooms with terminals, and of how many users.
    pub(crate) fn terminal_rooms(&self) -> Vec<(String, usize)> {
        let here = self.here();
        let rooms = here.terminals.iter();
        rooms
            .map(|(room, users)| (room.clone(), users.len()))
            .collect()
    }

    /// Gives a user another name, for as long as they have a session; whether it is another one.
    pub(crate) fn rename(&self, user: &str, name: &str) -> bool {
        let here = &mut *self.here();
        let Some(person) = here.people.get_mut(user) else {
            return false;
        };
        let before = person.name.replace(name.to_owned());
        before.as_deref().unwrap_or(user) != name
    }

    /// As which a user is shown.
    pub(crate) fn name_of(&self, user: &str) -> String {
        let here = self.here();
        let name = here.people.get(user).and_then(|person| person.name.clone());
        name.unwrap_or_else(|| user.to_owned())
    }

    /// Nothing that is done under the lock can leave it half done.
    fn here(&self) -> MutexGuard<'_, Here> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn leave(terminals: &mut BTreeMap<String, BTreeSet<String>>, room: &str, user: &str) {
    if let Some(users) = terminals.get_mut(room) {
        users.remove(user);
        if users.is_empty() {
            terminals.remove(room);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_lasts_as_long_as_its_user_is_here() {
        let people = People::default();
        people.came("ann", false);
        people.came("ann", true);
        assert!(!people.rename("ann", "ann") && people.rename("ann", "queen"));
        assert!(!people.rename("ann", "queen") && !people.rename("eve", "queen"));
        people.went("ann", false);
        assert_eq!(people.name_of("ann"), "queen");
        people.went("ann", true);
        people.came("ann", false);
        assert_eq!(people.name_of("ann"), "ann");
    }

    #[test]
    fn terminals_are_in_one_room_and_leave_nothing_behind() {
        let people = People::default();
        people.came("ann", true);
        people.came("ann", true);
        people.came("bob", true);
        assert_eq!(people.terminals_in(MAIN), ["ann", "bob"]);
        assert_eq!(people.take_to("ann", "attic"), MAIN);
        assert_eq!(people.terminals_in("attic"), ["ann"]);
        people.went("ann", true);
        assert_eq!(people.room_of("ann"), "attic");
        assert!(people.has_terminals("ann"));
        people.went("ann", true);
        people.went("bob", true);
        assert!(people.terminal_rooms().is_empty());
        assert!(people.here().people.is_empty());
    }
}
