//! Who has what: shards with the addresses of their primaries, found out by asking.
//!
//! One Redis, one behind Sentinels, and a Redis Cluster differ in how that is found out, and in
//! nothing else.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::dial::{Access, Address, DialError, dial};
use super::reply::Reply;
use super::slots::SLOTS;

/// Where to begin.
#[derive(Clone, Debug)]
pub enum Servers {
    /// One Redis.
    Single(Address),
    /// One Redis, and who knows which it is.
    Sentinel {
        sentinels: Vec<Address>,
        master: String,
        access: Access,
    },
    /// Some of a cluster.
    Cluster(Vec<Address>),
}

/// Shards that have all slots together, or as many as anybody has.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Topology {
    pub(super) shards: Vec<Shard>,
}

/// One primary and what it has.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Shard {
    pub(super) primary: Address,
    pub(super) slots: Vec<RangeInclusive<u16>>,
}

/// Why nobody says who has what.
#[derive(Debug)]
pub(crate) enum Unknown {
    /// This one does not, and no other.
    Unreachable(Address, DialError),
    /// No sentinel knows a primary of this name.
    NoSuchMaster(String),
    /// The cluster's answer is not one.
    Nonsense(Address),
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(address, error) => write!(f, "{address}: {error}"),
            Self::NoSuchMaster(name) => write!(f, "no sentinel knows a primary {name:?}"),
            Self::Nonsense(address) => write!(f, "{address}: no list of a cluster's slots"),
        }
    }
}

impl Servers {
    /// Whether shards have slots of their own, and pub/sub channels with them.
    pub(crate) const fn is_cluster(&self) -> bool {
        matches!(self, Self::Cluster(_))
    }

    /// Finds out who has what. `known` are addresses from before, asked first where any may answer.
    pub(super) async fn discover(
        &self,
        known: &[Address],
        access: &Access,
        patience: Duration,
    ) -> Result<Topology, Unknown> {
        match self {
            Self::Single(address) => Ok(Topology::of_one(address.clone())),
            Self::Sentinel {
                sentinels,
                master,
                access,
            } => ask_sentinels(sentinels, master, access, patience).await,
            Self::Cluster(seeds) => {
                let mut last = None;
                for address in known.iter().chain(seeds) {
                    match ask_cluster(address, access, patience).await {
                        Ok(topology) => return Ok(topology),
                        Err(unknown) => last = Some(unknown),
                    }
                }
                Err(last.expect("a cluster is configured with an address"))
            }
        }
    }
}

async fn ask_sentinels(
    sentinels: &[Address],
    master: &str,
    access: &Access,
    patience: Duration,
) -> Result<Topology, Unknown> {
    let question = [
        &b"SENTINEL"[..],
        b"get-master-addr-by-name",
        master.as_bytes(),
    ];
    let mut last = None;
    for sentinel in sentinels {
        match ask(sentinel, access, patience, &question).await {
            Ok(reply) => {
                if let Some(primary) = named_address(&reply) {
                    return Ok(Topology::of_one(primary));
                }
                last = Some(Unknown::NoSuchMaster(master.to_owned()));
            }
            Err(error) => last = Some(Unknown::Unreachable(sentinel.clone(), error)),
        }
    }
    Err(last.expect("sentinels are configured with an address"))
}

fn named_address(reply: &Reply) -> Option<Address> {
    let [host, port] = reply.list()? else {
        return None;
    };
    Some(Address {
        host: host.text()?.into(),
        port: u16::try_from(port.integer()?).ok()?,
    })
}

async fn ask_cluster(
    address: &Address,
    access: &Access,
    patience: Duration,
) -> Result<Topology, Unknown> {
    let reply = ask(address, access, patience, &[b"CLUSTER", b"SLOTS"]).await;
    let reply = reply.map_err(|error| Unknown::Unreachable(address.clone(), error))?;
    Topology::of_slots(&reply, address).ok_or_else(|| Unknown::Nonsense(address.clone()))
}

async fn ask(
    address: &Address,
    access: &Access,
    patience: Duration,
    question: &[&[u8]],
) -> Result<Reply, DialError> {
    let asking = async { dial(address, access, patience).await?.ask(question).await };
    tokio::time::timeout(patience, asking)
        .await
        .unwrap_or(Err(DialError::Timeout))
}

impl Topology {
    pub(super) fn primaries(&self) -> Vec<Address> {
        let shards = self.shards.iter();
        shards.map(|shard| shard.primary.clone()).collect()
    }

    fn of_one(primary: Address) -> Self {
        let slots = vec![0..=SLOTS - 1];
        Self {
            shards: vec![Shard { primary, slots }],
        }
    }

    /// Reads the answer of `asked` to `CLUSTER SLOTS`; `None` when it is not one, or says that
    /// nobody has anything.
    fn of_slots(reply: &Reply, asked: &Address) -> Option<Self> {
        let mut shards: Vec<Shard> = Vec::new();
        for entry in reply.list()? {
            let [first, last, primary, ..] = entry.list()? else {
                return None;
            };
            let slot = |reply: &Reply| u16::try_from(reply.integer()?).ok();
            let range = slot(first)?..=slot(last)?;
            let [host, port, ..] = primary.list()? else {
                return None;
            };
            // One that does not know its own name is where it was asked.
            let host = host.text().filter(|host| !host.is_empty() && *host != "?");
            let primary = Address {
                host: host.unwrap_or(&asked.host).into(),
                port: u16::try_from(port.integer()?).ok()?,
            };
            match shards.iter_mut().find(|shard| shard.primary == primary) {
                Some(shard) => shard.slots.push(range),
                None => shards.push(Shard {
                    primary,
                    slots: vec![range],
                }),
            }
        }
        // So that a list in another order is the same topology.
        for shard in &mut shards {
            shard.slots.sort_unstable_by_key(|range| *range.start());
        }
        shards.sort_unstable_by(|a, b| a.primary.cmp(&b.primary));
        (!shards.is_empty()).then_some(Self { shards })
    }
}

#[cfg(test)]
mod tests {
    use bytes::{Bytes, BytesMut};

    use super::*;

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    fn read(text: &str) -> Option<Topology> {
        let reply = Reply::take(&mut BytesMut::from(text)).unwrap().unwrap();
        Topology::of_slots(&reply, &address("asked:1"))
    }

    #[test]
    fn a_list_of_slots_becomes_shards() {
        let entry = |first, last, host: &str, port| {
            let len = host.len();
            format!(
                "*4\r\n:{first}\r\n:{last}\r\n*3\r\n${len}\r\n{host}\r\n:{port}\r\n$1\r\nx\r\n\
                 *3\r\n$1\r\nr\r\n:9\r\n$1\r\ny\r\n"
            )
        };
        let (a, b, c) = (
            entry(0, 99, "a", 7),
            entry(200, 16383, "a", 7),
            entry(100, 199, "", 8),
        );
        let topology = read(&format!("*3\r\n{b}{c}{a}")).unwrap();
        let shard = |primary, slots| Shard {
            primary: address(primary),
            slots,
        };
        let expected = vec![
            shard("a:7", vec![0..=99, 200..=16383]),
            shard("asked:8", vec![100..=199]),
        ];
        assert_eq!(topology.shards, expected);
        assert_eq!(read(&format!("*3\r\n{a}{b}{c}")), Some(topology));
        assert_eq!(read("*0\r\n"), None);
        assert_eq!(read("*1\r\n*1\r\n:1\r\n"), None);
    }

    #[test]
    fn a_sentinel_names_an_address_or_nobody() {
        let bulk = |text: &'static str| Reply::Bulk(Bytes::from_static(text.as_bytes()));
        let named = named_address(&Reply::List(vec![bulk("h"), bulk("6379")]));
        assert_eq!(named, Some(address("h:6379")));
        assert_eq!(named_address(&Reply::Nil), None);
    }
}
