//! Nodes, lines, clients and publishers, and everything that can befall them.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use campanile_engine::application::NoApplication;
use campanile_engine::broker::RemoteBroker;
use campanile_engine::channel::options::ChannelOptions;
use campanile_engine::cluster::{Cluster, NodeId};
use campanile_engine::delivery::{Admission, Inboxes};
use campanile_engine::limits::LEASE;
use campanile_engine::testkit::sequencer::Silence;
use campanile_engine::testkit::{
    Driver, ManualClock, Place, Random, Setup, StubBus, StubSequencer,
};
use campanile_engine::time::{Clock as _, Moment};

use crate::client::{Client, Heard};
use crate::judge::Judge;
use crate::orders::{Deed, Order};
use crate::publisher::{Acknowledged, Publisher};

pub(crate) const CHANNELS: [&str; 2] = ["a", "b"];
const CLIENTS: usize = 4;
const PUBLISHERS: usize = 2;

/// What comes to rest at all does so long before.
const ROUNDS_MAX: usize = 10_000;

/// A node and its line. Its number is new after it was killed, so that what it acknowledged is told
/// from what its successor does.
pub(crate) struct Site {
    pub(crate) driver: Driver,
    pub(crate) line: usize,
    pub(crate) number: usize,
    /// Stopped, with everything that is in it.
    pub(crate) is_suspended: bool,
    id: NodeId,
    inboxes: Inboxes,
    /// All the room of its inboxes, while there is none for what is heard.
    crowd: Option<Admission>,
    /// Since when it has been there for the others all the time.
    reachable_since: Moment,
}

pub(crate) struct World {
    seed: u64,
    clock: Arc<ManualClock>,
    bus: Arc<StubBus>,
    pub(crate) sequencer: Arc<StubSequencer>,
    options: ChannelOptions,
    pub(crate) sites: Vec<Site>,
    pub(crate) clients: Vec<Client>,
    pub(crate) publishers: Vec<Publisher>,
    pub(crate) random: Random,
    /// Of so many faults only one happens: some storms are milder.
    calm: usize,
    pub(crate) judge: Judge,
    pub(crate) heard: Heard,
    pub(crate) acknowledged: Vec<Acknowledged>,
    order: Option<Order>,
    /// Orders of which it was seen that they were carried out.
    pub(crate) obeyed: usize,
    next_site: usize,
    /// Whether the sequencer may have forgotten what it acknowledged.
    pub(crate) is_lossy: bool,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let random = Random::new(seed);
        let clock = Arc::new(ManualClock::default());
        let sequencer = StubSequencer::new(Arc::clone(&clock));
        sequencer.move_by_hand();
        let options = ChannelOptions {
            force_recovery: true,
            join_leave: random.one_in(3),
            history_size: [2, 6, 1000][random.below(3)],
            ..Setup::default().options
        };
        let bus = StubBus::new(Arc::clone(&clock), seed);
        bus.delay(Duration::from_millis(700));
        bus.lose_one_in(if random.one_in(2) { 50 } else { 0 });
        bus.repeat_one_in(if random.one_in(2) { 50 } else { 0 });
        let calm = [1, 2, 5][random.below(3)];
        let mut world = Self {
            seed,
            calm,
            clock,
            bus,
            sequencer,
            options,
            sites: Vec::new(),
            clients: (0..CLIENTS).map(Client::new).collect(),
            publishers: (0..PUBLISHERS).map(Publisher::new).collect(),
            random,
            judge: Judge::default(),
            heard: Heard::default(),
            acknowledged: Vec::new(),
            order: None,
            obeyed: 0,
            next_site: 0,
            is_lossy: false,
        };
        let count = 2 + world.random.below(2);
        for _ in 0..count {
            let site = world.start();
            world.sites.push(site);
        }
        world
    }

    /// Starts a node.
    fn start(&mut self) -> Site {
        let setup = Setup {
            options: self.options.clone(),
            shards: 1 + self.random.below(2),
            seed: self.seed + self.next_site as u64,
            ..Setup::default()
        };
        let (mut line, mut inboxes) = (0, None);
        let id = NodeId::from_random(self.random.bytes());
        let clock = Arc::clone(&self.clock);
        let join = |ear| Ok::<_, Infallible>(self.bus.join(id, ear));
        let Ok(cluster) = Cluster::new(id, clock.clone(), join);
        let place = Some(Place { clock, cluster });
        let mut driver = Driver::over(setup, Arc::new(NoApplication), place, |ways, _, clock| {
            inboxes = Some(ways.clone());
            let broker = RemoteBroker::new(ways, clock, |hearing| {
                let link = self.sequencer.link(hearing);
                line = link.line();
                Ok::<_, Infallible>(link)
            });
            let Ok(broker) = broker;
            Arc::new(broker)
        });
        driver.manual = true;
        self.next_site += 1;
        Site {
            driver,
            line,
            number: self.next_site,
            is_suspended: false,
            id,
            inboxes: inboxes.expect("just made"),
            crowd: None,
            reachable_since: self.clock.now().moment,
        }
    }

    pub(crate) fn step(&mut self) {
        let site = self.random.below(self.sites.len());
        match self.random.below(40) {
            0..=5 => self.publish(site),
            6..=13 => self.act(),
            14 => self.give_order(site),
            15..=16 => self.pass(1 + self.random.below(7)),
            17..=25 if self.random.one_in(self.calm) => self.befall(site),
            _ => self.work(40),
        }
        self.listen();
    }

    /// Lets something happen to a node, its line, or what is at its other end.
    fn befall(&mut self, site: usize) {
        let line = self.sites[site].line;
        match self.random.below(20) {
            0..=1 => self.sequencer.lose(line),
            2..=3 => self.sequencer.repeat(line),
            4..=5 => self.sequencer.cut(line, self.random.below(3)),
            6..=9 if !self.sequencer.is_connected(line) => self.sequencer.connect(line),
            10 => self.sequencer.silence(line, Silence::Heard),
            11 => self.sequencer.silence(line, Silence::Both),
            12 => self.begin_another_life(),
            13 => self.kill(site),
            14..=16 => {
                let is_suspended = !self.sites[site].is_suspended && self.random.one_in(2);
                self.suspend(site, is_suspended);
            }
            17..=18 => {
                let site = &mut self.sites[site];
                let room = site.inboxes.try_admit(usize::MAX / 2);
                site.crowd = room.filter(|_| site.crowd.is_none());
            }
            _ => self.sequencer.connect(line),
        }
    }

    fn begin_another_life(&mut self) {
        // A second loss may bring an epoch back that the first had ended: nobody can tell then.
        let kind = self.random.below(if self.is_lossy { 2 } else { 6 });
        self.is_lossy |= kind > 0;
        match kind {
            // What is restarted is no more, and everybody notices.
            0 => {
                self.cut_lines(1);
                self.sequencer.restart();
            }
            1 => {
                self.cut_lines(1);
                self.sequencer.restart_empty();
            }
            // What is deposed goes on for a while for those who have not noticed.
            lag => {
                self.sequencer.fail_over(lag - 2);
                self.cut_lines(4);
            }
        }
    }

    /// Cuts the lines of all nodes but of one in so many; of all, if that is one.
    fn cut_lines(&self, spared: usize) {
        for site in &self.sites {
            if spared == 1 || !self.random.one_in(spared) {
                self.sequencer.cut(site.line, self.random.below(3));
            }
        }
    }

    /// Ends a node at once and starts it again, empty.
    fn kill(&mut self, index: usize) {
        let successor = self.start();
        let dead = std::mem::replace(&mut self.sites[index], successor);
        self.sequencer.cut(dead.line, self.random.below(3));
        self.bus.leave(dead.id);
        self.order.take_if(|order| order.node == dead.number);
        for client in &mut self.clients {
            if client.home.as_ref().is_some_and(|(at, _)| *at == index) {
                client.lose_connection();
            }
        }
        for publisher in &mut self.publishers {
            publisher.lose_node(dead.number);
        }
    }

    fn suspend(&mut self, index: usize, is_suspended: bool) {
        let site = &mut self.sites[index];
        if site.is_suspended != is_suspended {
            site.is_suspended = is_suspended;
            self.bus.hold(site.id, is_suspended);
        }
        site.reachable_since = self.clock.now().moment;
    }

    /// Has a user disconnected or unsubscribed, wherever it is.
    fn give_order(&mut self, site: usize) {
        let client = &self.clients[self.random.below(CLIENTS)];
        let channel = CHANNELS[self.random.below(CHANNELS.len())];
        let deed = [Deed::Disconnect, Deed::Unsubscribe(channel)][self.random.below(2)];
        let is_there = match deed {
            Deed::Disconnect => client.is_live,
            Deed::Unsubscribe(channel) => client.is_subscribed(channel),
        };
        if is_there && self.order.is_none() && !self.sites[site].is_suspended {
            let Site { driver, number, .. } = &self.sites[site];
            let (now, to) = (self.clock.now().moment, (*number, Arc::clone(&driver.node)));
            self.order = Some(Order::give(deed, client.number, client.session, now, to));
        }
    }

    /// Sees whether an order was carried out, where it is said to be.
    fn check_order(&mut self) {
        let Some(order) = &mut self.order else { return };
        let site = self.sites.iter().find(|site| site.number == order.node);
        if site.is_none_or(|site| site.is_suspended) {
            return;
        }
        let Some(is_done) = order.poll() else { return };
        let Order {
            deed,
            client,
            session,
            at,
            ..
        } = self.order.take().expect("just seen");
        let client = &self.clients[client];
        if !is_done || client.session != session {
            self.obeyed += usize::from(is_done);
            return;
        }
        // Who was away for longer than a lease was asked by nobody, or knew of nobody to ask.
        let is_reachable = |site: &Site| site.reachable_since + 2 * LEASE < at;
        let home = client.home.as_ref().map(|(at, _)| &self.sites[*at]);
        let is_excused =
            !self.sites.iter().all(is_reachable) || home.is_none_or(|it| it.is_suspended);
        assert!(
            is_excused,
            "{deed:?} is said to be done to {}",
            client.number
        );
    }

    fn publish(&mut self, site: usize) {
        let Site { driver, number, .. } = &self.sites[site];
        let channel = CHANNELS[self.random.below(CHANNELS.len())];
        let publisher = self.random.below(PUBLISHERS);
        let publisher = &mut self.publishers[publisher];
        if publisher.is_idle() {
            publisher.publish(*number, &driver.node, &self.random, channel);
        }
    }

    /// Lets a client do something.
    fn act(&mut self) {
        let client = self.random.below(CLIENTS);
        let channel = CHANNELS[self.random.below(CHANNELS.len())];
        let client = &mut self.clients[client];
        let Some((at, peer)) = &client.home else {
            let node = self.random.below(self.sites.len());
            let Site { driver, number, .. } = &mut self.sites[node];
            let shard = self.random.below(driver.workers.len());
            return client.connect(node, *number, driver, shard);
        };
        let driver = &mut self.sites[*at].driver;
        if self.random.one_in(12) {
            driver.release(peer);
            client.lose_connection();
        } else if client.is_waiting(channel) {
        } else if !client.is_subscribed(channel) {
            let recovers = !self.random.one_in(5);
            client.subscribe(driver, channel, recovers);
        } else if self.random.one_in(5) {
            client.unsubscribe(driver, channel);
        }
    }

    /// Lets so many small things happen: on lines, in nodes.
    fn work(&mut self, moves: usize) {
        for _ in 0..moves {
            let index = self.random.below(self.sites.len());
            let site = &mut self.sites[index];
            let shard = self.random.below(site.driver.workers.len());
            match self.random.below(11) {
                0..=1 => _ = self.sequencer.serve(site.line),
                _ if site.is_suspended => {}
                2 => _ = self.sequencer.answer(site.line),
                3 => _ = self.sequencer.tell(site.line),
                4 => site.driver.begin(shard),
                5 => {
                    let running = site.driver.workers[shard].running_count();
                    site.driver.poll(shard, self.random.below(running.max(1)));
                }
                6..=7 => site.driver.deliver(shard),
                8 => site.driver.obey(shard),
                9 => site.driver.attend(),
                _ => {
                    self.bus.deliver();
                    self.ask_publishers(index);
                }
            }
        }
    }

    fn ask_publishers(&mut self, site: usize) {
        let number = self.sites[site].number;
        for publisher in &mut self.publishers {
            let a = publisher.poll(number);
            if let Some(a) = &a
                && std::env::var("TRACE").is_ok()
            {
                eprintln!(
                    "ACK site {site} number {number} {} {:?}",
                    a.data, a.published
                );
            }
            self.acknowledged.extend(a);
        }
    }

    fn pass(&mut self, seconds: usize) {
        for _ in 0..seconds {
            self.clock.advance(Duration::from_secs(1));
            self.sequencer.tick();
            // Hellos come through whatever else waits, so that nobody is given up for nothing.
            for _ in 0..2 {
                self.bus.deliver();
                for site in self.sites.iter_mut().filter(|site| !site.is_suspended) {
                    site.driver.attend();
                }
            }
            for site in self.sites.iter_mut().filter(|site| !site.is_suspended) {
                site.driver.age();
            }
        }
    }

    /// Lets clients read.
    fn listen(&mut self) {
        self.judge.learn(&self.sequencer);
        for client in &mut self.clients {
            let Some((at, _)) = client.home else { continue };
            let site = &mut self.sites[at];
            if !site.is_suspended {
                client.read(&mut site.driver, &self.judge, &mut self.heard);
            }
        }
        self.check_order();
    }

    /// Repairs everything that is broken and stays so.
    pub(crate) fn heal(&mut self) {
        for index in 0..self.sites.len() {
            self.suspend(index, false);
            let site = &mut self.sites[index];
            site.crowd = None;
            // Also those that are sound: what they lost on the way shows at once then.
            self.sequencer.cut(site.line, 0);
            self.sequencer.connect(site.line);
        }
    }

    /// Lets everything that can happen without time passing happen.
    pub(crate) fn settle(&mut self) {
        for _ in 0..ROUNDS_MAX {
            let mut is_quiet = !self.bus.deliver();
            for index in 0..self.sites.len() {
                let site = &mut self.sites[index];
                is_quiet &= !self.sequencer.serve(site.line);
                is_quiet &= !self.sequencer.tell(site.line);
                is_quiet &= !self.sequencer.answer(site.line);
                is_quiet &= !site.driver.step();
                self.ask_publishers(index);
            }
            let before = self.heard;
            self.listen();
            is_quiet &= before == self.heard;
            if is_quiet {
                return;
            }
        }
        panic!("it never comes to rest");
    }

    /// Has everybody who is away come back to where it was, and lets some seconds pass.
    pub(crate) fn come_back(&mut self, seconds: usize) {
        for client in &mut self.clients {
            if client.home.is_none() {
                let node = self.random.below(self.sites.len());
                let Site { driver, number, .. } = &mut self.sites[node];
                client.connect(node, *number, driver, 0);
            }
        }
        self.settle();
        for client in &mut self.clients {
            let Some((at, _)) = client.home else { continue };
            let driver = &mut self.sites[at].driver;
            for channel in CHANNELS {
                if !client.is_subscribed(channel) && !client.is_waiting(channel) {
                    client.subscribe(driver, channel, true);
                }
            }
        }
        self.settle();
        self.pass(seconds);
        self.settle();
    }

    /// Has a node hear something when it has no room for it.
    pub(crate) fn crowd(&mut self) {
        self.settle();
        let site = self.random.below(self.sites.len());
        let site = &mut self.sites[site];
        site.crowd = site.inboxes.try_admit(usize::MAX / 2);
        self.publish_everywhere();
        for site in &mut self.sites {
            site.crowd = None;
        }
    }

    /// Publishes once more in each channel, and loses it on the way to some nodes.
    pub(crate) fn lose_the_last(&mut self) {
        for channel in CHANNELS {
            let site = self.random.below(self.sites.len());
            self.publish_once(site, channel);
            while self.sequencer.serve(self.sites[site].line) {}
            for site in &self.sites {
                if self.random.one_in(2) {
                    self.sequencer.lose(site.line);
                }
            }
        }
    }

    /// Publishes once through each node in each channel.
    pub(crate) fn publish_everywhere(&mut self) {
        for channel in CHANNELS {
            for site in 0..self.sites.len() {
                self.publish_once(site, channel);
                self.settle();
            }
        }
    }

    fn publish_once(&mut self, site: usize, channel: &'static str) {
        let mut publisher = Publisher::thorough(self.publishers.len());
        let Site { driver, number, .. } = &self.sites[site];
        publisher.publish(*number, &driver.node, &self.random, channel);
        // It begins at its first poll.
        self.acknowledged.extend(publisher.poll(*number));
        self.publishers.push(publisher);
    }
}
