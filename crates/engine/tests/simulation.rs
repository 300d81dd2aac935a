//! A node under a seeded storm: clients come, recover and vanish, errands take their time and fail,
//! deliveries are lost and repeated. Whatever a client with a position is told has to be true, and
//! whatever payload it is told as a difference from another, it has to have that.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use campanile_engine::channel::options::{ChannelOptions, DeltaType};
use campanile_engine::node::PublishRequest;
use campanile_engine::testkit::{Driver, PayloadReader, Peer, Random, Setup, StubApplication};
use serde_json::Value;

const CHANNELS: [&str; 2] = ["a", "b"];
const CLIENTS: usize = 4;
const STEPS: usize = 150;

/// The longest time until a loss is noticed: the delay, and the time between two pings.
const NOTICED_SECONDS: usize = 40 + 25 + 1;

/// What a client knows of one channel.
#[derive(Clone, Debug)]
struct Place {
    epoch: String,
    offset: u64,
    is_subscribed: bool,
    /// Set when payloads come as deltas.
    reader: Option<PayloadReader>,
}

/// What was published, by channel and offset.
type Documents = BTreeMap<(&'static str, u64), String>;

/// What clients have been told.
#[derive(Clone, Copy, Default)]
struct Heard {
    /// Recoveries with something to bring.
    recoveries: usize,
    deltas: usize,
}

#[derive(Default)]
struct Client {
    peer: Option<Peer>,
    /// Survives the connection.
    places: BTreeMap<&'static str, Place>,
    /// Subscribe commands without a reply yet, with the offset to recover from.
    asked: BTreeMap<u64, (&'static str, Option<u64>)>,
    /// Unsubscribe commands without a reply yet.
    leaving: BTreeMap<u64, &'static str>,
    next_id: u64,
}

struct Storm {
    driver: Driver,
    /// Where there is one, it takes its time too.
    application: Option<Arc<StubApplication>>,
    random: Random,
    clients: Vec<Client>,
    published: BTreeMap<&'static str, u64>,
    documents: Documents,
    heard: Heard,
}

impl Storm {
    fn new(seed: u64, has_application: bool) -> Self {
        let setup = Setup::default();
        let random = Random::new(seed);
        let options = ChannelOptions {
            force_recovery: true,
            join_leave: true,
            force_push_join_leave: random.one_in(2),
            history_size: [1, 3, 1000][random.below(3)],
            allowed_delta_types: vec![DeltaType::Fossil],
            delta_publish: random.one_in(2),
            ..setup.options.clone()
        };
        let setup = Setup {
            options,
            shards: 1 + random.below(3),
            seed,
            ..setup
        };
        let application =
            has_application.then(|| Arc::new(StubApplication::new(seed, random.below(4))));
        let driver = match &application {
            Some(application) => Driver::with(setup, application.clone()),
            None => Driver::new(setup),
        };
        driver.broker.hesitate(random.below(8));
        Self {
            driver,
            application,
            random,
            clients: (0..CLIENTS).map(|_| Client::default()).collect(),
            published: BTreeMap::new(),
            documents: BTreeMap::new(),
            heard: Heard::default(),
        }
    }

    fn step(&mut self) {
        self.driver.manual = true;
        let shard = self.random.below(self.driver.workers.len());
        match self.random.below(25) {
            0..=3 => self.publish(CHANNELS[self.random.below(CHANNELS.len())]),
            4..=10 => self.act(),
            11..=14 => self.driver.begin(shard),
            15..=18 => {
                let running = self.driver.workers[shard].running_count();
                self.driver.poll(shard, self.random.below(running.max(1)));
            }
            19..=21 => self.driver.deliver(shard),
            22 => self.disturb(shard),
            23 => self.driver.pass(Duration::from_secs(7)),
            _ => self.driver.broker.set_unreachable(self.random.one_in(4)),
        }
        for client in 0..CLIENTS {
            self.read(client);
        }
    }

    fn publish(&mut self, channel: &'static str) {
        let faces = "🙂🙃".repeat(self.random.below(3));
        let number = self.random.below(1000);
        let text = format!(r#"{{"number":{number},"text":"much of it stays","faces":"{faces}"}}"#);
        let mut publication = PublishRequest::from(text.as_bytes());
        publication.wants_delta = self.random.one_in(2);
        publication.skips_history = self.random.one_in(6);
        if let Some(offset) = self.driver.publish_as(channel, publication) {
            if offset != 0 {
                self.published.insert(channel, offset);
            }
            self.documents.insert((channel, offset), text);
        }
    }

    /// Loses or repeats a delivery.
    fn disturb(&mut self, shard: usize) {
        self.driver.workers[shard].pull();
        let line = &mut self.driver.workers[shard].line;
        if let Some(delivery) = line.pop_front().filter(|_| self.random.one_in(2)) {
            line.push_front(delivery.clone());
            line.push_back(delivery);
        }
    }

    fn act(&mut self) {
        let number = self.random.below(CLIENTS);
        let Some(mut peer) = self.clients[number].peer.take() else {
            let shard = self.random.below(self.driver.workers.len());
            self.clients[number].peer = Some(self.driver.connect(shard, "42"));
            self.clients[number].next_id = 2;
            return;
        };
        if self.random.one_in(8) {
            self.driver.release(&peer);
            return self.clients[number].forget_subscriptions();
        }
        let channel = CHANNELS[self.random.below(CHANNELS.len())];
        let client = &mut self.clients[number];
        let id = client.next_id;
        client.next_id += 1;
        let is_subscribed = client
            .places
            .get(channel)
            .is_some_and(|place| place.is_subscribed);
        let mut pending = client.asked.values().map(|(asked, _)| *asked);
        let is_pending = pending.any(|asked| asked == channel)
            || client.leaving.values().any(|leaving| *leaving == channel);
        if is_subscribed && !is_pending && self.random.one_in(3) {
            client.leaving.insert(id, channel);
            let command = format!(r#"{{"id":{id},"unsubscribe":{{"channel":"{channel}"}}}}"#);
            self.driver.send(&mut peer, &command);
        } else if !is_subscribed && !is_pending {
            let place = client
                .places
                .get(channel)
                .filter(|_| !self.random.one_in(4));
            let recover = place.map_or(String::new(), |place| {
                format!(
                    r#","recover":true,"epoch":"{}","offset":{}"#,
                    place.epoch, place.offset
                )
            });
            let delta = ["", r#","delta":"fossil""#][self.random.below(2)];
            client
                .asked
                .insert(id, (channel, place.map(|place| place.offset)));
            let command =
                format!(r#"{{"id":{id},"subscribe":{{"channel":"{channel}"{recover}{delta}}}}}"#);
            self.driver.send(&mut peer, &command);
        }
        self.clients[number].peer = Some(peer);
    }

    fn read(&mut self, number: usize) {
        let Some(mut peer) = self.clients[number].peer.take() else {
            return;
        };
        self.driver.resume(&mut peer);
        let mut is_open = true;
        for message in self.driver.read(&mut peer) {
            if message == "{}" {
                self.driver.send(&mut peer, "{}");
                continue;
            }
            // It may have taken the node too long to let the client in.
            assert!(
                !message.starts_with("close 35") || message == "close 3502",
                "client {number} broke no rule: {message}"
            );
            is_open &= !message.starts_with("close");
            if let Ok(value) = serde_json::from_str::<Value>(&message) {
                self.clients[number].hear(&value, &self.documents, &mut self.heard);
            }
        }
        if is_open {
            self.clients[number].peer = Some(peer);
        } else {
            self.driver.release(&peer);
            self.clients[number].forget_subscriptions();
        }
    }

    /// Lets everything come to rest, and makes sure that nobody misses anything.
    fn settle(&mut self) {
        self.driver.broker.set_unreachable(false);
        self.driver.broker.hesitate(0);
        self.driver.manual = false;
        self.driver.settle();
        self.lose_the_last();
        // Nothing comes that would show a loss: quiet channels have to be looked at, and again if
        // what is found out makes a client come back.
        for _ in 0..2 * NOTICED_SECONDS / 5 {
            self.driver.pass(Duration::from_secs(5));
            for client in 0..CLIENTS {
                self.read(client);
            }
        }
        for (number, client) in self.clients.iter().enumerate() {
            for (channel, place) in &client.places {
                let top = self.published.get(channel).copied().unwrap_or(0);
                assert!(
                    !place.is_subscribed || place.offset == top,
                    "client {number} misses something: {channel} is at {top}, it at {place:?}"
                );
            }
            assert!(
                client.asked.is_empty() || client.peer.is_none(),
                "{:?}",
                client.asked
            );
        }
    }

    /// Publishes once more in each channel, for some shards in vain.
    fn lose_the_last(&mut self) {
        self.driver.manual = true;
        for channel in CHANNELS {
            self.publish(channel);
        }
        for worker in &mut self.driver.workers {
            worker.pull();
            let is_lost = |_: &_| self.random.one_in(2);
            worker.line.retain(|delivery| !is_lost(delivery));
        }
        self.driver.manual = false;
        self.driver.settle();
    }

    fn end(mut self) -> Heard {
        for client in &mut self.clients {
            if let Some(peer) = client.peer.take() {
                self.driver.release(&peer);
            }
        }
        self.driver.settle();
        for channel in CHANNELS {
            let before = self.deliveries();
            self.publish(channel);
            self.driver.settle();
            assert_eq!(self.deliveries(), before, "nobody is there");
        }
        assert!(self.driver.presence.is_empty(), "nobody is present");
        let told = self.application.as_ref().map(|app| app.session_count());
        assert_eq!(told.unwrap_or_default(), 0, "the application knows it");
        for worker in &self.driver.workers {
            assert_eq!(worker.shard.stats(), Default::default());
            assert_eq!(worker.shard.connection_count(), 0);
        }
        self.heard
    }

    fn deliveries(&self) -> u64 {
        let workers = self.driver.workers.iter();
        workers.map(|worker| worker.shard.totals().deliveries).sum()
    }
}

impl Client {
    fn forget_subscriptions(&mut self) {
        self.asked.clear();
        self.leaving.clear();
        for place in self.places.values_mut() {
            place.is_subscribed = false;
        }
    }

    /// Takes notice of a message.
    fn hear(&mut self, message: &Value, documents: &Documents, heard: &mut Heard) {
        let left = message["id"]
            .as_u64()
            .and_then(|id| self.leaving.remove(&id));
        if let Some(channel) = left {
            assert!(message.get("unsubscribe").is_some(), "always succeeds");
            self.end(channel);
        }
        if let Some(id) = message["id"]
            .as_u64()
            .filter(|id| self.asked.contains_key(id))
        {
            let (channel, from) = self.asked.remove(&id).expect("just seen");
            if message.get("subscribe").is_some() {
                let result = &message["subscribe"];
                self.begin(channel, from, result);
                let publications = result["publications"].as_array();
                for publication in publications.into_iter().flatten() {
                    self.take(channel, publication, documents, heard);
                }
                let is_brought = result["recovered"] == true && publications.is_some();
                heard.recoveries += usize::from(is_brought);
                return;
            }
            assert_eq!(message["error"]["code"], 100, "{message}");
        }
        let push = &message["push"];
        let Some(name) = push["channel"].as_str() else {
            return;
        };
        let channel = CHANNELS
            .into_iter()
            .find(|known| *known == name)
            .expect("a known one");
        if push.get("unsubscribe").is_some() {
            self.end(channel);
        } else if push.get("pub").is_some() {
            self.take(channel, &push["pub"], documents, heard);
        }
    }

    fn take(
        &mut self,
        channel: &'static str,
        publication: &Value,
        documents: &Documents,
        heard: &mut Heard,
    ) {
        let place = self.places.get_mut(channel).expect("a reply comes first");
        assert!(place.is_subscribed, "{channel}: {publication}");
        let offset = publication["offset"].as_u64().unwrap_or(0);
        let text = place.take(offset, publication);
        if offset != 0 {
            let published: Value =
                serde_json::from_str(&documents[&(channel, offset)]).expect("JSON");
            assert_eq!(text, published, "{channel} {offset}");
        }
        heard.deltas += usize::from(publication["delta"] == true);
    }

    fn end(&mut self, channel: &'static str) {
        self.places
            .entry(channel)
            .and_modify(|place| place.is_subscribed = false);
    }

    fn begin(&mut self, channel: &'static str, from: Option<u64>, result: &Value) {
        let offset = result["offset"].as_u64().unwrap_or(0);
        let is_recovered = result["recovered"] == true;
        assert_eq!(result["was_recovering"] == true, from.is_some());
        if is_recovered {
            assert_eq!(Some(offset), from, "goes on where the client stood");
        }
        let place = Place {
            epoch: result["epoch"].as_str().expect("positioned").into(),
            offset,
            is_subscribed: true,
            // What it had before it counts for nothing.
            reader: (result["delta"] == true).then(PayloadReader::default),
        };
        self.places.insert(channel, place);
    }
}

impl Place {
    /// Gives the payload.
    fn take(&mut self, offset: u64, publication: &Value) -> Value {
        if offset != 0 {
            assert_eq!(offset, self.offset + 1, "offsets are consecutive");
            self.offset = offset;
        }
        let data = &publication["data"];
        let is_delta = publication["delta"] == true;
        match &mut self.reader {
            None => {
                assert!(!is_delta, "{publication} to who did not ask for it");
                data.clone()
            }
            Some(reader) => {
                let data = data.as_str().expect("always a string");
                serde_json::from_str(reader.read(data, is_delta)).expect("JSON")
            }
        }
    }
}

/// Names the seed of a storm that panics.
struct Named(u64);

impl Drop for Named {
    #[expect(
        clippy::print_stdout,
        reason = "whoever repeats a failure needs its seed"
    )]
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("the storm of seed {} failed", self.0);
        }
    }
}

fn storm(seed: u64, has_application: bool) -> Heard {
    let _named = Named(seed);
    let mut storm = Storm::new(seed, has_application);
    for _ in 0..STEPS {
        storm.step();
    }
    storm.settle();
    storm.end()
}

/// Storms with seeds up to `most`, or as many as it is asked for.
fn storms(most: u64, has_application: bool) -> Vec<Heard> {
    let seeds = std::env::var("STORM_SEEDS")
        .ok()
        .and_then(|seeds| seeds.parse().ok());
    let seeds = 0..seeds.unwrap_or(most);
    seeds.map(|seed| storm(seed, has_application)).collect()
}

#[test]
fn nobody_is_told_anything_untrue() {
    let heard = storms(1500, false);
    let recoveries: usize = heard.iter().map(|heard| heard.recoveries).sum();
    let deltas: usize = heard.iter().map(|heard| heard.deltas).sum();
    assert!(recoveries > 100, "storms reach recoveries: {recoveries}");
    assert!(deltas > 1000, "storms reach deltas: {deltas}");
}

#[test]
fn nor_when_the_application_has_a_say() {
    let heard = storms(400, true);
    let deltas: usize = heard.iter().map(|heard| heard.deltas).sum();
    assert!(deltas > 100, "storms reach deltas: {deltas}");
}
