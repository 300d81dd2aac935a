//! Who is signed in: a signed cookie, and what makes it void before the browser forgets it.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use cookie::{Cookie, CookieJar, Key, SameSite};
use serde::{Deserialize, Serialize};

/// Who may sign in. There are no passwords here: this is not what the example is about.
pub(crate) const STAFF: [&str; 4] = ["alice", "bob", "carol", "dave"];

const COOKIE: &str = "desk";
const KEY_BYTES: usize = 64;

/// What a cookie says.
pub(crate) struct Session {
    pub(crate) user: String,
    /// How often this user had signed out before.
    round: u64,
}

/// How often each user has signed out. Cookies of earlier rounds are void, on whichever device they
/// are.
#[derive(Clone, Serialize, Deserialize, Default)]
pub(crate) struct Sessions {
    rounds: BTreeMap<String, u64>,
}

impl Sessions {
    pub(super) fn begin(&self, user: &str) -> Option<Session> {
        STAFF.contains(&user).then(|| Session {
            user: user.to_owned(),
            round: self.round(user),
        })
    }

    pub(super) fn end(&mut self, user: &str) {
        *self.rounds.entry(user.to_owned()).or_default() += 1;
    }

    pub(super) fn has(&self, session: &Session) -> bool {
        STAFF.contains(&&*session.user) && session.round == self.round(&session.user)
    }

    fn round(&self, user: &str) -> u64 {
        self.rounds.get(user).copied().unwrap_or_default()
    }
}

/// Signs cookies.
pub(super) struct Seal(Key);

impl Seal {
    /// With the key in this file, which is made if there is none.
    pub(super) fn open(file: &Path) -> io::Result<Self> {
        let key = match fs::read(file) {
            Ok(key) => key,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = Key::try_generate().ok_or_else(|| io::Error::other("no random bytes"))?;
                let mut options = OpenOptions::new();
                let mut file = options
                    .write(true)
                    .create_new(true)
                    .mode(0o600)
                    .open(file)?;
                file.write_all(key.master())?;
                key.master().to_vec()
            }
            Err(error) => return Err(error),
        };
        if key.len() != KEY_BYTES {
            return Err(io::Error::other("the file of the cookie key is damaged"));
        }
        Ok(Self(Key::from(&key)))
    }

    /// The header `Set-Cookie` for this session.
    pub(super) fn seal(&self, session: &Session) -> String {
        let value = format!("{}.{}", session.user, session.round);
        let mut jar = CookieJar::new();
        jar.signed_mut(&self.0).add(Cookie::new(COOKIE, value));
        let signed = jar.get(COOKIE).map(Cookie::value).unwrap_or_default();
        hardened(signed).to_string()
    }

    /// The header `Set-Cookie` that has the browser forget it.
    pub(super) fn forget() -> String {
        let mut cookie = hardened("");
        cookie.make_removal();
        cookie.to_string()
    }

    /// What the cookie in a header `Cookie` says, if it is one of ours.
    pub(super) fn read(&self, cookies: &str) -> Option<Session> {
        let cookies = Cookie::split_parse(cookies).filter_map(Result::ok);
        let mut ours = cookies.filter(|cookie| cookie.name() == COOKIE);
        let signed = ours.next()?.into_owned();
        let cookie = CookieJar::new().signed(&self.0).verify(signed)?;
        let (user, round) = cookie.value().split_once('.')?;
        Some(Session {
            user: user.to_owned(),
            round: round.parse().ok()?,
        })
    }
}

/// Unreadable for scripts, and not sent along by what pages of other sites post or open.
fn hardened(value: &str) -> Cookie<'_> {
    Cookie::build((COOKIE, value))
        .path("/")
        .http_only(true)
        .same_site(SameSite::Lax)
        .build()
}
