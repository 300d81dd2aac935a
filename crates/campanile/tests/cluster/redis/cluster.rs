//! A Redis Cluster: three shards with a replica each.

use std::process::Command;
use std::sync::{Arc, LazyLock};

use campanile::redis::{Servers, Settings};
use campanile::vitals::Vitals as _;
use campanile_engine::broker::Broker;
use campanile_engine::testkit::contract::{Fixture, kept};
use futures_util::future::join_all;

use crate::support::redis::{Peer, RedisServer, broker, keep_soon, settings};
use crate::support::{eventually, run};

struct Cluster {
    /// Primaries first, at the beginning.
    servers: Vec<RedisServer>,
}

impl Cluster {
    fn start(replicas: usize) -> Self {
        let options = [
            "--cluster-enabled",
            "yes",
            "--cluster-config-file",
            "nodes",
            "--cluster-node-timeout",
            "1500",
            "--cluster-require-full-coverage",
            "no",
            "--cluster-replica-validity-factor",
            "0",
        ];
        let count = 3 * (1 + replicas);
        let servers: Vec<_> = (0..count).map(|_| RedisServer::with(&options)).collect();
        let addresses = servers.iter().map(|server| server.address().to_string());
        let created = Command::new("redis-cli")
            .args(["--cluster", "create"])
            .args(addresses)
            .args(["--cluster-replicas", &replicas.to_string(), "--cluster-yes"])
            .output()
            .expect("apt-get install redis-tools");
        assert!(
            created.status.success(),
            "{}",
            String::from_utf8_lossy(&created.stdout)
        );
        let cluster = Self { servers };
        eventually("all know the cluster", || {
            let is_ok = |server: &RedisServer| {
                let info = server.ask(&["CLUSTER", "INFO"]);
                let nodes = server.ask(&["CLUSTER", "NODES"]);
                info.contains("cluster_state:ok") && nodes.matches("slave").count() == 3 * replicas
            };
            cluster.servers.iter().all(is_ok)
        });
        cluster
    }

    fn settings(&self) -> Settings {
        settings(Servers::Cluster(
            self.servers.iter().map(RedisServer::address).collect(),
        ))
    }

    /// Which server has the channel.
    fn owner(&self, settings: &Settings, name: &str) -> usize {
        let key = format!("{}.m.{{{name}}}", settings.prefix);
        let is_there = |server: &RedisServer| server.ask(&["EXISTS", &key]).starts_with(":");
        self.servers
            .iter()
            .position(is_there)
            .expect("somebody has it")
    }

    fn id(&self, server: usize) -> String {
        let answer = self.servers[server].ask(&["CLUSTER", "MYID"]);
        answer.lines().nth(1).expect("an id").to_owned()
    }

    /// Moves the slot of a channel, keys and all, with somebody asking in the middle.
    async fn move_slot(
        &self,
        settings: &Settings,
        name: &str,
        to: usize,
        meanwhile: impl AsyncFnOnce(),
    ) {
        let from = self.owner(settings, name);
        let ids = [self.id(from), self.id(to)];
        let key = format!("{}.m.{{{name}}}", settings.prefix);
        let slot = self.servers[from].ask(&["CLUSTER", "KEYSLOT", &key]);
        let slot = slot.trim().trim_start_matches(':');
        self.servers[to].ask(&["CLUSTER", "SETSLOT", slot, "IMPORTING", &ids[0]]);
        self.servers[from].ask(&["CLUSTER", "SETSLOT", slot, "MIGRATING", &ids[1]]);
        let keys = self.servers[from].ask(&["CLUSTER", "GETKEYSINSLOT", slot, "100"]);
        let keys: Vec<&str> = keys.lines().skip(2).step_by(2).collect();
        let port = self.servers[to].port.to_string();
        let mut command = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
        command.extend(&keys);
        assert!(self.servers[from].ask(&command).contains("OK"), "{keys:?}");
        meanwhile().await;
        for server in [to, from] {
            self.servers[server].ask(&["CLUSTER", "SETSLOT", slot, "NODE", &ids[1]]);
        }
    }
}

static CLUSTER: LazyLock<Cluster> = LazyLock::new(|| Cluster::start(0));

fn shared(fixture: &Fixture) -> Arc<dyn Broker> {
    broker(fixture, CLUSTER.settings())
}

fn share() -> impl Fn(&Fixture) -> Arc<dyn Broker> {
    let settings = CLUSTER.settings();
    move |fixture| broker(fixture, settings.clone())
}

campanile_engine::nodes_contract!(share, run);
campanile_engine::broker_contract!(shared, run; subscriptions, history, keys);

/// A channel on each of the first three servers.
async fn spread(cluster: &Cluster, settings: &Settings, peer: &Peer) -> [String; 3] {
    let mut found = [const { String::new() }; 3];
    for number in 0.. {
        let name = format!("c{number}");
        peer.keep(&name, "1").await.expect("all shards are there");
        let owner = cluster.owner(settings, &name);
        found[owner] = name;
        if found.iter().all(|name| !name.is_empty()) {
            break;
        }
    }
    found
}

#[test]
fn a_shard_fails_over_and_the_others_go_on() {
    let mut cluster = Cluster::start(1);
    let settings = cluster.settings();
    let mut peer = Peer::start(settings.clone());
    run(async {
        let names = spread(&cluster, &settings, &peer).await;
        for name in &names {
            peer.subscribe(name).await.unwrap();
        }
        // So that the replicas have it.
        eventually("replicas have it", || {
            let info = cluster.servers[0].ask(&["WAIT", "1", "1000"]);
            info.contains(":1") || info.contains(":0")
        });
        cluster.servers[0].kill();
        eventually("it is noticed", || peer.node.link.obstacle().is_some());
        for name in &names[1..] {
            assert_eq!(peer.keep(name, "2").await.unwrap().offset, 2);
            assert_eq!(peer.publication().await.offset, 2);
        }
        let after = keep_soon(&peer, &names[0], "2").await;
        assert_eq!(after.offset, 2);
        peer.node.wait();
        let all = peer.keep(&names[0], "3").await.unwrap();
        while peer.publication().await.offset != all.offset {}
    });
}

#[test]
fn channels_of_a_slot_that_moves_go_on() {
    let cluster = Cluster::start(0);
    let settings = cluster.settings();
    let mut peer = Peer::start(settings.clone());
    run(async {
        let names = spread(&cluster, &settings, &peer).await;
        for name in &names {
            peer.subscribe(name).await.unwrap();
        }
        let meanwhile = async || {
            // Its keys are at the new place, and the slot is still at the old one.
            assert_eq!(peer.keep(&names[0], "2").await.unwrap().offset, 2);
        };
        cluster.move_slot(&settings, &names[0], 1, meanwhile).await;
        let after = keep_soon(&peer, &names[0], "3").await;
        assert_eq!(after.offset, 3);
        assert_eq!(cluster.owner(&settings, &names[0]), 1);
        // It was not listened to for a moment, which is told.
        peer.lapse(&names[0]).await;
        let last = peer.keep(&names[0], "4").await.unwrap();
        while peer.publication().await.offset != last.offset {}
        let all = names.iter().map(|name| peer.publish(kept(name, "5")));
        for published in join_all(all).await {
            published.unwrap();
        }
    });
}
