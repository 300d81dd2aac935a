//! What may be a name, a room, a text: the one place where these are checked, and what people are
//! told when they are not.

use std::borrow::Cow;
use std::time::{SystemTime, UNIX_EPOCH};

use campanile::protocol::Refusal;
use serde::{Deserialize, Serialize};

const NAME_CHARS_MAX: usize = 20;
const TEXT_CHARS_MAX: usize = 500;

/// Where terminals begin, as in the tutorials of Actix.
pub(crate) const MAIN: &str = "main";

const ROOM: &str = "room:";
const TERMINAL: &str = "terminal:";

/// What clients receive.
#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(crate) enum Event {
    /// Somebody said something in the room. The only kind that the room's history keeps.
    Text {
        /// The user. Set here and never taken from a client.
        from: String,
        /// As which they are shown.
        name: String,
        /// What they said.
        text: String,
        /// When, in Unix milliseconds.
        at: u64,
    },
    /// Somebody is typing in the room.
    Typing { from: String, name: String },
    /// Somebody in the room has another name, or terminals came or went: ask who is there.
    People,
    /// Somebody told one user something.
    Private {
        from: String,
        name: String,
        to: String,
        text: String,
        at: u64,
    },
}

/// An error of the application's own, to be shown to people.
pub(crate) fn refusal(code: u32, message: impl Into<Cow<'static, str>>) -> Refusal {
    Refusal {
        code,
        message: message.into(),
        temporary: false,
    }
}

/// The name of a user or of a room.
pub(crate) fn name(said: &str) -> Result<&str, Refusal> {
    let is_fine = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if (1..=NAME_CHARS_MAX).contains(&said.len()) && said.chars().all(is_fine) {
        Ok(said)
    } else {
        let rule = format!("a name is 1 to {NAME_CHARS_MAX} letters, digits, - and _");
        Err(refusal(400, rule))
    }
}

/// What somebody says. No control characters: terminals obey them. Nor any that nobody sees and
/// that end the line or turn the text around them: with these one says what looks as if another
/// had.
pub(crate) fn text(said: &str) -> Result<&str, Refusal> {
    let said = said.trim();
    if said.is_empty() {
        Err(refusal(401, "an empty message says nothing"))
    } else if said.chars().count() > TEXT_CHARS_MAX {
        let rule = format!("a message has {TEXT_CHARS_MAX} characters at most");
        Err(refusal(402, rule))
    } else if said.chars().any(|c| c.is_control() || is_layout(c)) {
        Err(refusal(403, "a message is one line of text"))
    } else {
        Ok(said)
    }
}

/// Separators of lines and paragraphs; embeddings, overrides and isolates of directions (Unicode
/// Standard Annex 9, section 2). Letters that are written from right to left need none of them.
const fn is_layout(c: char) -> bool {
    matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The room behind a channel.
pub(crate) fn room(channel: &str) -> Result<&str, Refusal> {
    let room = channel.strip_prefix(ROOM);
    name(room.ok_or(Refusal::PERMISSION_DENIED)?)
}

/// The user behind the channel of terminals.
pub(crate) fn user(channel: &str) -> Result<&str, Refusal> {
    let user = channel.strip_prefix(TERMINAL);
    name(user.ok_or(Refusal::PERMISSION_DENIED)?)
}

/// The channel of a room.
pub(crate) fn room_channel(room: &str) -> String {
    format!("{ROOM}{room}")
}

/// The channel of a user's terminals.
pub(crate) fn terminal_channel(user: &str) -> String {
    format!("{TERMINAL}{user}")
}

/// A channel's room, of those that exist.
pub(crate) fn is_room(channel: &str) -> bool {
    channel.starts_with(ROOM)
}

/// How somebody is shown: nobody passes for another by taking their name.
pub(crate) fn shown(user: &str, name: &str) -> String {
    if user == name {
        name.to_owned()
    } else {
        format!("{name} ({user})")
    }
}

/// Now, in Unix milliseconds.
pub(crate) fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_plain() {
        for fine in ["a", "Ann-2", "x_y", &"x".repeat(20)] {
            assert_eq!(name(fine), Ok(fine));
        }
        for bad in [
            "",
            "a b",
            "a:b",
            "#a",
            "ä",
            "a,b",
            "\u{1b}",
            &"x".repeat(21),
        ] {
            assert_eq!(name(bad).expect_err(bad).code, 400);
        }
    }

    #[test]
    fn a_text_is_a_line_that_terminals_may_show() {
        assert_eq!(text("  hello ä \n"), Ok("hello ä"));
        assert_eq!(text(&"ä".repeat(500)), Ok(&*"ä".repeat(500)));
        let code = |said: &str| text(said).expect_err(said).code;
        assert_eq!(code(" \n"), 401);
        assert_eq!(code(&"ä".repeat(501)), 402);
        assert_eq!(text("שלום, abc"), Ok("שלום, abc"));
        for unseen in "\u{1b}\u{85}\u{2028}\u{2029}\u{202a}\u{202e}\u{2066}\u{2069}".chars() {
            assert_eq!(code(&format!("a{unseen}b")), 403);
        }
    }

    #[test]
    fn a_room_is_not_a_terminal() {
        assert_eq!(room("room:main"), Ok("main"));
        assert!(room("terminal:ann").is_err() && user("room:main").is_err());
    }
}
