//! A client that does what SDKs do: it remembers where it stands, and recovers wherever it comes back.

use std::collections::BTreeMap;

use campanile_engine::testkit::{Driver, Peer};
use serde_json::Value;

use crate::judge::{Judge, Standing};

/// What a client knows of one channel.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) epoch: String,
    pub(crate) offset: u64,
    pub(crate) is_subscribed: bool,
    pub(crate) standing: Standing,
    /// The node that told it so.
    node: usize,
}

/// What clients were told.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Heard {
    pub(crate) publications: usize,
    /// Recoveries that brought something.
    pub(crate) recoveries: usize,
    /// Recoveries that failed, and subscriptions and connections that ended for want of what is missing.
    pub(crate) losses: usize,
    /// Losses that were not told, and could not be: see [`Client::excuse`].
    pub(crate) excused: usize,
    /// Orders that were carried out.
    pub(crate) orders: usize,
}

#[derive(Default)]
pub(crate) struct Client {
    pub(crate) number: usize,
    pub(crate) home: Option<(usize, Peer)>,
    /// Its node, which is another one when it was started again.
    node: usize,
    /// Survives the connection.
    pub(crate) places: BTreeMap<&'static str, Place>,
    /// Subscribe commands without a reply yet, and whether they ask for recovery.
    asked: BTreeMap<u64, (&'static str, bool)>,
    leaving: BTreeMap<u64, &'static str>,
    next_id: u64,
    /// Grows with each connection, and each subscription that ends.
    pub(crate) session: u64,
    /// Whether its node has let it in.
    pub(crate) is_live: bool,
}

impl Client {
    pub(crate) fn new(number: usize) -> Self {
        Self {
            number,
            ..Self::default()
        }
    }

    /// The connection is gone, and everything that was under way with it.
    pub(crate) fn lose_connection(&mut self) {
        self.home = None;
        self.is_live = false;
        self.session += 1;
        self.asked.clear();
        self.leaving.clear();
        for place in self.places.values_mut() {
            place.is_subscribed = false;
        }
    }

    /// Connects to a shard of the node with this number, which is found at `site`.
    pub(crate) fn connect(&mut self, site: usize, node: usize, driver: &mut Driver, shard: usize) {
        let user = format!("user-{}", self.number);
        self.home = Some((site, driver.connect(shard, &user)));
        self.node = node;
        self.next_id = 2;
    }

    pub(crate) fn is_subscribed(&self, channel: &str) -> bool {
        self.places
            .get(channel)
            .is_some_and(|place| place.is_subscribed)
    }

    /// Whether an answer about this channel is still to come.
    pub(crate) fn is_waiting(&self, channel: &str) -> bool {
        let mut asked = self.asked.values().map(|(asked, _)| *asked);
        asked.any(|asked| asked == channel)
            || self.leaving.values().any(|leaving| *leaving == channel)
    }

    /// Subscribes, from where it stands if it has been there and is to recover.
    pub(crate) fn subscribe(&mut self, driver: &mut Driver, channel: &'static str, recovers: bool) {
        let place = self.places.get(channel).filter(|_| recovers);
        let recover = place.map_or(String::new(), |place| {
            let Place { epoch, offset, .. } = place;
            format!(r#","recover":true,"epoch":"{epoch}","offset":{offset}"#)
        });
        let id = self.next_id;
        self.asked.insert(id, (channel, place.is_some()));
        self.send(
            driver,
            &format!(r#"{{"id":{id},"subscribe":{{"channel":"{channel}"{recover}}}}}"#),
        );
    }

    pub(crate) fn unsubscribe(&mut self, driver: &mut Driver, channel: &'static str) {
        let id = self.next_id;
        self.leaving.insert(id, channel);
        self.send(
            driver,
            &format!(r#"{{"id":{id},"unsubscribe":{{"channel":"{channel}"}}}}"#),
        );
    }

    fn send(&mut self, driver: &mut Driver, command: &str) {
        self.next_id += 1;
        if let Some((_, peer)) = &mut self.home {
            driver.send(peer, command);
        }
    }

    /// Reads what its node has written.
    pub(crate) fn read(&mut self, driver: &mut Driver, judge: &Judge, heard: &mut Heard) {
        let Some((node, mut peer)) = self.home.take() else {
            return;
        };
        driver.resume(&mut peer);
        let mut is_open = true;
        for message in driver.read(&mut peer) {
            if message == "{}" {
                driver.send(&mut peer, "{}");
                continue;
            }
            heard.losses += usize::from(message == "close 3010");
            is_open &= !message.starts_with("close");
            if let Ok(value) = serde_json::from_str::<Value>(&message) {
                self.hear(&value, judge, heard);
            }
        }
        if is_open {
            self.home = Some((node, peer));
        } else {
            driver.release(&peer);
            self.lose_connection();
        }
    }

    fn hear(&mut self, message: &Value, judge: &Judge, heard: &mut Heard) {
        self.is_live |= message.get("connect").is_some();
        let id = message["id"].as_u64();
        if let Some(channel) = id.and_then(|id| self.leaving.remove(&id)) {
            assert!(message.get("unsubscribe").is_some(), "always succeeds");
            self.leave(channel);
        }
        if let Some((channel, recovers)) = id.and_then(|id| self.asked.remove(&id)) {
            if let Some(result) = message.get("subscribe") {
                self.enter(channel, recovers, result, judge, heard);
            } else {
                assert_eq!(message["error"]["code"], 100, "{message}");
            }
            return;
        }
        let push = &message["push"];
        let Some(name) = push["channel"].as_str() else {
            return;
        };
        let known = self.places.keys().copied();
        let channel = known.into_iter().find(|known| *known == name);
        let channel = channel.expect("a reply comes first");
        if push.get("unsubscribe").is_some() {
            heard.losses += usize::from(push["unsubscribe"]["code"] == 2500);
            self.leave(channel);
        } else if let Some(publication) = push.get("pub") {
            self.take(channel, publication, judge, heard);
        }
    }

    fn leave(&mut self, channel: &'static str) {
        self.session += 1;
        self.places
            .entry(channel)
            .and_modify(|place| place.is_subscribed = false);
    }

    fn enter(
        &mut self,
        channel: &'static str,
        recovers: bool,
        result: &Value,
        judge: &Judge,
        heard: &mut Heard,
    ) {
        let offset = result["offset"].as_u64().unwrap_or(0);
        let epoch = result["epoch"].as_str().expect("positioned").to_owned();
        let is_recovered = result["recovered"] == true;
        assert_eq!(result["was_recovering"] == true, recovers);
        let publications = result["publications"].as_array();
        if is_recovered {
            let place = self.places.get_mut(channel).expect("it was there before");
            assert_eq!(place.epoch, epoch, "{channel}: {result}");
            assert_eq!(place.offset, offset, "goes on where the client stood");
            place.is_subscribed = true;
            self.excuse(channel, judge, heard);
            heard.recoveries += usize::from(publications.is_some());
        } else {
            assert_eq!(publications, None, "nothing is brought behind a loss");
            heard.losses += usize::from(recovers);
            let standing = judge.standing(channel, &epoch, offset);
            assert!(!standing.is_empty(), "no such place: {channel} {result}");
            let is_subscribed = true;
            let place = Place {
                epoch,
                offset,
                is_subscribed,
                standing,
                node: self.node,
            };
            self.places.insert(channel, place);
        }
        for publication in publications.into_iter().flatten() {
            self.take(channel, publication, judge, heard);
        }
    }

    /// Lets go of what nobody can tell any more: a client that has something which the sequencer has
    /// lost recovers at a node that never knew of it, once there is something else at its offset. Its
    /// epoch and offset do not say which life of the sequencer told it. Whoever told it is another
    /// node, or no more; who comes back to the same one is told.
    fn excuse(&mut self, channel: &str, judge: &Judge, heard: &mut Heard) {
        let place = self.places.get_mut(channel).expect("it was there before");
        let Place { epoch, offset, .. } = place;
        let possible = judge.standing(channel, epoch, *offset);
        if place.node != self.node && !judge.is_in_stream(channel, &place.standing) {
            heard.excused += usize::from(possible.len() > 1);
            place.standing = possible;
        }
        place.node = self.node;
    }

    fn take(&mut self, channel: &str, publication: &Value, judge: &Judge, heard: &mut Heard) {
        let number = self.number;
        let place = self.places.get_mut(channel).expect("a reply comes first");
        assert!(place.is_subscribed, "{channel}: {publication}");
        heard.publications += 1;
        let Some(offset) = publication["offset"].as_u64().filter(|it| *it != 0) else {
            return;
        };
        assert_eq!(
            offset,
            place.offset + 1,
            "client {number} in {channel}: offsets are consecutive"
        );
        let data = publication["data"].to_string();
        let at = (place.epoch.as_str(), offset);
        let standing = judge.follow(&place.standing, channel, at, &data);
        assert!(
            !standing.is_empty(),
            "client {number} in {channel} at {place:?} is told {publication}, which is not what follows"
        );
        (place.offset, place.standing, place.node) = (offset, standing, self.node);
    }
}
