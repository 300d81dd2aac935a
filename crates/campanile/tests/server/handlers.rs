//! An application's own code decides about its clients, over real sockets.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use campanile::handlers::{
    Arrival, Credentials, Decision, Grant, Handlers, Interests, Lapse, Renewal, Revision,
    SessionHandle, Verdict,
};
use campanile::payload::{self, Payload};
use campanile::protocol::command::SubscribeRequest;
use campanile::protocol::{Disconnect, Refusal};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::support::client::{Client, WEBSOCKET};
use crate::support::embedded::Embedded;

/// Rooms are for users with a name; some methods.
struct Club {
    /// Without a permit, `wait` does not return, and the end of `quiet` is not noted.
    gate: Arc<Semaphore>,
    told: Arc<Mutex<Vec<String>>>,
}

#[derive(Deserialize)]
struct Sum {
    terms: Vec<i64>,
}

#[derive(Serialize)]
struct Total {
    total: i64,
}

impl Club {
    fn note(&self, line: String) {
        self.told.lock().expect("nobody panics here").push(line);
    }
}

impl Handlers for Club {
    async fn connecting(&self, arrival: Arrival<'_>) -> Decision<Credentials> {
        match arrival.request.token.as_str() {
            "" => Ok(Verdict::AsConfigured),
            "banned" => Err(Disconnect::new(4503, "banned").into()),
            name => {
                let mut credentials = Credentials::of(name);
                credentials.info = Some(payload::json(&json!({"name": name}))?);
                credentials.meta = Some(payload::json("kept")?);
                credentials.data = Some(payload::json("welcome")?);
                Ok(Verdict::Allowed(credentials))
            }
        }
    }

    async fn connected(&self, session: &SessionHandle) {
        self.note(format!("{} came", session.user().as_str()));
    }

    async fn subscribe(
        &self,
        session: &SessionHandle,
        wanted: &SubscribeRequest,
    ) -> Decision<Grant> {
        match wanted.channel.as_str() {
            "as-configured" => Ok(Verdict::AsConfigured),
            _ if session.user().is_anonymous() => Err(Refusal::new(1000, "who are you?").into()),
            _ => Ok(Verdict::Allowed(Grant::as_configured())),
        }
    }

    async fn publish(&self, session: &SessionHandle, _: &str, data: &[u8]) -> Decision<Revision> {
        let text: String = payload::parse(data)?;
        let line = format!("[{}]: {text}", session.user().as_str());
        Ok(Verdict::Allowed(Revision::of(payload::json(&line)?)))
    }

    async fn rpc(&self, session: &SessionHandle, method: &str, data: &[u8]) -> Decision<Payload> {
        let answer = match method {
            "sum" => {
                let Sum { terms } = payload::parse(data)?;
                payload::json(&Total {
                    total: terms.iter().sum(),
                })?
            }
            "echo" => data.into(),
            "meta" => session.meta().cloned().unwrap_or_default(),
            "panic" => panic!("as asked"),
            "wait" => {
                self.note("somebody waits".into());
                let permit = self.gate.acquire().await;
                permit.map_err(|_| Refusal::INTERNAL)?.forget();
                payload::json("waited")?
            }
            "everywhere" => {
                let published = session.node().broadcast(&["a", "b"], data).await;
                payload::json(&published.iter().filter(|one| one.is_ok()).count())?
            }
            "devices" => {
                let sessions = session.node().sessions(session.user().as_str()).await;
                for other in &sessions {
                    other.send(payload::json("ring")?).await;
                }
                payload::json(&sessions.len())?
            }
            _ => return Ok(Verdict::AsConfigured),
        };
        Ok(Verdict::Allowed(answer))
    }

    async fn message(
        &self,
        session: &SessionHandle,
        data: &[u8],
    ) -> Result<Verdict<()>, Disconnect> {
        if data == b"\"rude\"" {
            return Err(Disconnect::new(4500, "rude"));
        }
        session.send(data).await;
        Ok(Verdict::Allowed(()))
    }

    async fn presence(&self, _: &SessionHandle, channel: &str) -> Decision<()> {
        match channel {
            "open" => Ok(Verdict::Allowed(())),
            _ => Err(Refusal::PERMISSION_DENIED.into()),
        }
    }

    async fn disconnected(&self, session: &SessionHandle, reason: &Disconnect) {
        if session.user().as_str() == "quiet" {
            let permit = self.gate.acquire().await;
            permit.expect("it is never closed").forget();
        }
        self.note(format!("{} left: {reason}", session.user().as_str()));
    }
}

struct Place {
    embedded: Embedded,
    gate: Arc<Semaphore>,
    told: Arc<Mutex<Vec<String>>>,
}

impl Place {
    fn open(changes: Value) -> Self {
        let (gate, told) = (Arc::new(Semaphore::new(0)), Arc::default());
        let club = Club {
            gate: Arc::clone(&gate),
            told: Arc::clone(&told),
        };
        Self {
            embedded: Embedded::start(changes, move |server| server.handlers(club)),
            gate,
            told,
        }
    }

    fn member(&self, name: &str) -> Client {
        let mut client = self.embedded.client(WEBSOCKET);
        let reply = client.command(&json!({"id": 1, "connect": {"token": name}}));
        assert_eq!(reply["connect"]["data"], "welcome", "{reply}");
        client
    }
}

#[test]
fn who_comes_in_is_the_applications_decision() {
    let place = Place::open(json!({}));
    let mut ann = place.member("ann");
    let mut nobody = place.embedded.client(WEBSOCKET);
    nobody.log_in();
    let subscribe = |channel| json!({"id": 2, "subscribe": {"channel": channel}});
    nobody.expect_error(&subscribe("room"), 1000, "who are you?");
    assert!(nobody.command(&subscribe("as-configured"))["subscribe"].is_object());
    ann.subscribe("room");
    let mut banned = place.embedded.client(WEBSOCKET);
    banned.send_json(&json!({"id": 1, "connect": {"token": "banned"}}));
    assert_eq!(banned.expect_close(4503), "banned");
    place.embedded.stop();
}

#[test]
fn what_is_published_is_what_the_application_made_of_it() {
    let place = Place::open(json!({}));
    let (mut ann, mut bob) = (place.member("ann"), place.member("bob"));
    ann.subscribe("room");
    let publish = |data| json!({"id": 3, "publish": {"channel": "room", "data": data}});
    assert_eq!(
        bob.command(&publish(json!("hi"))),
        json!({"id": 3, "publish": {}})
    );
    ann.expect_publication("room", &json!("[bob]: hi"));
    bob.expect_error(&publish(json!({"no": "text"})), 107, "bad request");
    place.embedded.stop();
}

#[test]
fn calls_are_answered_with_values_and_a_panic_costs_one_of_them() {
    let place = Place::open(json!({}));
    let mut ann = place.member("ann");
    let call = |method, data| json!({"id": 4, "rpc": {"method": method, "data": data}});
    let mut answer = |method, data| ann.command(&call(method, data))["rpc"]["data"].clone();
    assert_eq!(
        answer("sum", json!({"terms": [1, 2, 39]})),
        json!({"total": 42})
    );
    assert_eq!(
        answer("echo", json!({"a": [1.50, null]})),
        json!({"a": [1.5, null]})
    );
    assert_eq!(answer("meta", json!(null)), json!("kept"));
    assert_eq!(answer("everywhere", json!(1)), json!(2));
    ann.expect_error(&call("panic", json!(1)), 100, "internal server error");
    ann.expect_error(&call("sum", json!({"terms": "none"})), 107, "bad request");
    ann.expect_error(&call("other", json!(1)), 108, "not available");
    assert_eq!(
        ann.command(&call("echo", json!("still here")))["rpc"]["data"],
        "still here"
    );
    place.embedded.stop();
}

/// Both sessions are on the only worker.
#[test]
fn a_slow_handler_holds_up_nobody_else() {
    let place = Place::open(json!({}));
    let (mut ann, mut bob) = (place.member("ann"), place.member("bob"));
    let call = |id, method| json!({"id": id, "rpc": {"method": method, "data": "x"}});
    ann.send_json(&call(5, "wait"));
    // In order behind what waits, and so not answered yet.
    ann.send_json(&call(6, "echo"));
    assert_eq!(bob.command(&call(7, "echo"))["id"], 7);
    place.gate.add_permits(1);
    assert_eq!(ann.reply(), json!({"id": 5, "rpc": {"data": "waited"}}));
    assert_eq!(ann.reply(), json!({"id": 6, "rpc": {"data": "x"}}));
    place.embedded.stop();
}

#[test]
fn so_many_commands_of_a_session_may_wait_as_are_configured() {
    let place = Place::open(json!({"client": {"concurrency": 2}}));
    let mut ann = place.member("ann");
    let call = |id, method| json!({"id": id, "rpc": {"method": method, "data": "x"}});
    ann.send_json(&call(5, "wait"));
    assert_eq!(ann.command(&call(6, "echo"))["id"], 6);
    // Come together, so that the second one is there when the first one waits.
    ann.send_text(&format!("{}\n{}", call(7, "wait"), call(8, "echo")));
    // On the same worker, and so behind both.
    let mut bob = place.member("bob");
    assert_eq!(bob.command(&call(9, "echo"))["id"], 9);
    let told = place.told.lock().expect("nobody panics here").clone();
    let waiting = told.iter().filter(|line| *line == "somebody waits");
    assert_eq!(waiting.count(), 2, "{told:?}");
    place.gate.add_permits(1);
    let first = ann.reply();
    assert_eq!(first["rpc"]["data"], "waited");
    assert_eq!(ann.reply()["id"], 8);
    place.gate.add_permits(1);
    assert_eq!(ann.reply()["rpc"]["data"], "waited");
    place.embedded.stop();
}

#[test]
fn a_message_goes_to_every_device_of_its_user() {
    let place = Place::open(json!({}));
    let (mut phone, mut laptop) = (place.member("ann"), place.member("ann"));
    let mut bob = place.member("bob");
    phone.send_json(&json!({"id": 4, "rpc": {"method": "devices", "data": null}}));
    let said = [phone.reply(), phone.reply()];
    let ring = json!({"push": {"message": {"data": "ring"}}});
    assert!(said.contains(&ring), "{said:?}");
    assert!(
        said.contains(&json!({"id": 4, "rpc": {"data": 2}})),
        "{said:?}"
    );
    assert_eq!(laptop.reply(), ring);
    bob.send_json(&json!({"send": {"data": "back to me"}}));
    assert_eq!(
        bob.reply(),
        json!({"push": {"message": {"data": "back to me"}}})
    );
    place.embedded.stop();
}

#[test]
fn a_session_is_held_by_its_handle_and_told_when_it_is_gone() {
    let place = Place::open(json!({}));
    let mut ann = place.member("ann");
    let embedded = &place.embedded;
    let sessions = embedded.wait_for(embedded.node().sessions("ann"));
    let [session] = &sessions[..] else {
        panic!("one session");
    };
    let grant = || Grant::as_configured();
    assert_eq!(
        embedded.wait_for(session.subscribe("side", grant(), None)),
        Ok(true)
    );
    assert_eq!(ann.reply()["push"]["channel"], "side");
    assert_eq!(embedded.wait_for(session.unsubscribe("side")), Ok(true));
    assert_eq!(ann.reply()["push"]["unsubscribe"]["code"], 2000);
    let nowhere = embedded.wait_for(session.subscribe("no:where", grant(), None));
    assert_eq!(nowhere, Err(Refusal::UNKNOWN_CHANNEL));
    assert_eq!(embedded.wait_for(embedded.node().all_sessions()).len(), 1);
    assert!(embedded.wait_for(session.disconnect(Disconnect::FORCE_RECONNECT)));
    ann.expect_close(3011);
    assert!(!embedded.wait_for(session.send(*b"1")));
    assert_eq!(
        embedded.wait_for(session.subscribe("side", grant(), None)),
        Ok(false)
    );
    place.embedded.stop();
}

#[test]
fn permission_to_read_is_asked_for() {
    let place = Place::open(json!({"channel": {"without_namespace": {"presence": true}}}));
    let mut ann = place.member("ann");
    let presence = |channel| json!({"id": 8, "presence": {"channel": channel}});
    ann.expect_error(&presence("shut"), 103, "permission denied");
    assert_eq!(ann.command(&presence("open"))["id"], 8);
    place.embedded.stop();
}

#[test]
fn every_end_is_told_before_the_server_has_stopped() {
    let place = Place::open(json!({}));
    let (mut rude, mut quiet) = (place.member("rude"), place.member("quiet"));
    rude.send_json(&json!({"send": {"data": "rude"}}));
    rude.expect_close(4500);
    let told = Arc::clone(&place.told);
    let embedded = place.embedded;
    embedded.wait_for(embedded.server.drain());
    quiet.expect_close(3001);
    drop((rude, quiet));
    // Nobody is connected any more: a server that waited for nothing else would have stopped now.
    let (server, moment) = (embedded.server.clone(), Duration::from_millis(300));
    let early = embedded.wait_for(async { tokio::time::timeout(moment, server.stop()).await });
    assert!(early.is_err(), "it did not wait: {early:?}");
    place.gate.add_permits(1);
    embedded.stop();
    let mut told = told.lock().expect("nobody panics here").clone();
    told.sort();
    assert_eq!(
        told,
        [
            "quiet came",
            "quiet left: shutdown (3001)",
            "rude came",
            "rude left: rude (4500)"
        ]
    );
}

/// Decides nothing at all.
struct Shrug;

impl Handlers for Shrug {}

#[test]
fn handlers_that_decide_nothing_change_nothing() {
    let embedded = Embedded::start(json!({}), |server| server.handlers(Shrug));
    let mut client = embedded.client(WEBSOCKET);
    let wishes = json!({"room": {}, "$private": {}});
    let reply = client.command(&json!({"id": 1, "connect": {"subs": wishes}}));
    assert_eq!(reply["connect"]["subs"], json!({"room": {}}), "{reply}");
    client.expect_error(&json!({"id": 2, "rpc": {"data": 1}}), 108, "not available");
    client.send_json(&json!({"send": {"data": 1}}));
    client.expect_close(3508);
    embedded.stop();
}

/// Decides nothing about rooms, but renews.
struct Renewals;

impl Handlers for Renewals {
    fn interests(&self) -> Interests {
        Interests::CONNECTING | Interests::REFRESH
    }

    async fn connecting(&self, _: Arrival<'_>) -> Decision<Credentials> {
        let mut credentials = Credentials::of("42");
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.expect("it is after 1970").as_secs();
        credentials.expire_at = Some(i64::try_from(now).expect("it is not that late") + 1);
        Ok(Verdict::Allowed(credentials))
    }

    async fn refresh(&self, session: &SessionHandle) -> Result<Renewal, Lapse> {
        session.send(*b"\"asked\"").await;
        Err(Lapse::Ended)
    }
}

#[test]
fn whoever_names_renewals_takes_them_over() {
    let embedded = Embedded::start(json!({}), |server| server.handlers(Renewals));
    let mut client = embedded.client(WEBSOCKET);
    let reply = client.command(&json!({"id": 1, "connect": {}}));
    // Nothing tells the client that it would have to renew anything.
    assert_eq!(reply["connect"]["expires"], json!(null), "{reply}");
    assert_eq!(
        client.reply(),
        json!({"push": {"message": {"data": "asked"}}})
    );
    client.expect_close(3005);
    embedded.stop();
}

/// Lets everybody in as themselves, and says nothing else.
struct Names;

impl Handlers for Names {
    async fn connecting(&self, arrival: Arrival<'_>) -> Decision<Credentials> {
        match arrival.request.token.as_str() {
            "" | "club" => Ok(Verdict::AsConfigured),
            name => Ok(Verdict::Allowed(Credentials::of(name))),
        }
    }

    async fn rpc(&self, _: &SessionHandle, method: &str, _: &[u8]) -> Decision<Payload> {
        match method {
            "sum" => Ok(Verdict::Allowed(payload::json("the first decides")?)),
            _ => Ok(Verdict::AsConfigured),
        }
    }
}

#[test]
fn later_handlers_decide_what_the_first_leave_open() {
    let club = Club {
        gate: Arc::new(Semaphore::new(0)),
        told: Arc::default(),
    };
    let embedded = Embedded::start(json!({}), |server| server.handlers(Names).handlers(club));
    let mut client = embedded.client(WEBSOCKET);
    let reply = client.command(&json!({"id": 1, "connect": {"token": "club"}}));
    assert_eq!(reply["connect"]["data"], "welcome");
    let call = |method| json!({"id": 4, "rpc": {"method": method, "data": 1}});
    assert_eq!(
        client.command(&call("sum"))["rpc"]["data"],
        "the first decides"
    );
    assert_eq!(client.command(&call("echo"))["rpc"]["data"], 1);
    embedded.stop();
}

/// Never decides.
struct Undecided;

impl Handlers for Undecided {
    async fn connecting(&self, _: Arrival<'_>) -> Decision<Credentials> {
        std::future::pending().await
    }
}

#[test]
fn who_is_still_being_decided_about_is_told_of_the_end_too() {
    let changes = json!({"shutdown": {"drain": "2s"}});
    let embedded = Embedded::start(changes, |server| server.handlers(Undecided));
    let mut clients: Vec<_> = (0..20).map(|_| embedded.client(WEBSOCKET)).collect();
    for client in &mut clients {
        client.send_json(&json!({"id": 1, "connect": {}}));
    }
    let told = std::thread::spawn(move || {
        for client in &mut clients {
            client.expect_close(3001);
        }
    });
    embedded.stop();
    told.join().expect("everybody is told");
}
