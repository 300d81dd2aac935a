//! What happens in a world, and what must be seen of it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use campanile_engine::broker::{
    Broker as _, BrokerError, HistoryQuery, Published, Retention, Version,
};
use campanile_engine::delivery::{Event, ShardId};
use campanile_engine::testkit::channel;
use campanile_protocol::{Epoch, Publication};
use futures_util::future::{join, join_all};

use crate::stream::{Attempt, Change, brief};
use crate::world::{
    CHANNELS, END_OF_ALL, End, Lossy, META_TTL_MIN, Outcome, SHARDS, World, ensure,
};

/// Publications per shard, channel, and whether they are kept.
type Deliveries = BTreeMap<(usize, usize, bool), VecDeque<(Option<Epoch>, Publication)>>;

const EVERYTHING: HistoryQuery = HistoryQuery {
    since: None,
    reverse: false,
    limit: usize::MAX,
    bytes: usize::MAX,
};

/// Shorter than every lifetime, longer than some, longer than all of a history.
const TIMES: [u64; 5] = [100, 5_000, 31_000, 290_000, 700_000];

fn name(number: usize) -> String {
    format!("c{number}")
}

fn shard(number: usize) -> ShardId {
    ShardId::new(number).expect("worlds have few shards")
}

impl World {
    /// Something happens.
    pub(crate) fn step(&mut self) -> Outcome {
        self.counts.operations += 1;
        if self.disk.is_off() {
            let is_power_cut = self.random.one_in(2);
            return self.restart(if is_power_cut {
                End::PowerCut
            } else {
                End::Kill
            });
        }
        match self.random.below(100) {
            0..53 => self.change(),
            53..61 => {
                let number = self.random.below(CHANNELS);
                self.subscribe(number)
            }
            61..63 => self.unsubscribe(),
            63..72 => self.query(),
            72..79 => {
                let time = TIMES[self.random.below(TIMES.len())];
                self.diary.push(format!("{time} ms pass"));
                self.pass(Duration::from_millis(time));
                Ok(())
            }
            79..85 => {
                self.diary.push("swept".to_owned());
                self.process().broker.sweep();
                Ok(())
            }
            85..87 => self.restart(End::Clean),
            87..89 => self.restart(End::Kill),
            89..92 => self.restart(End::PowerCut),
            92..95 => {
                self.inject_fault();
                Ok(())
            }
            95..97 => {
                let room = self.random.below(6000);
                self.diary.push(format!("{room} bytes are left"));
                self.disk.set_capacity(self.disk.used() + room);
                Ok(())
            }
            _ => {
                self.disk.set_capacity(usize::MAX);
                Ok(())
            }
        }
    }

    /// The last look: nothing is left of anything when its time is over.
    pub(crate) fn finish(&mut self) -> Outcome {
        self.disk.set_capacity(usize::MAX);
        self.disk.fail_no_more();
        self.restart(End::Clean)?;
        self.pass(END_OF_ALL);
        // What compaction has in hand is forgotten a little later.
        for _ in 0..1000 {
            self.process().broker.sweep();
            if self.process().budget.stored() == 0 || self.disk.is_off() {
                return Ok(());
            }
            std::thread::yield_now();
        }
        let left = self.process().budget.stored();
        Err(format!("{left} bytes are never given back"))
    }

    fn change(&mut self) -> Outcome {
        let count = if self.random.one_in(3) {
            1 + self.random.below(6)
        } else {
            1
        };
        let changes: Vec<_> = (0..count)
            .map(|_| {
                let number = self.random.below(CHANNELS);
                let change = if self.random.one_in(15) {
                    Change::Remove
                } else {
                    Change::Publish(self.attempt())
                };
                (number, change)
            })
            .collect();
        self.change_all(&changes)
    }

    fn attempt(&mut self) -> Attempt {
        let random = &self.random;
        let size = [0, 10, 200, 800, 1500][random.below(5)];
        self.counts.attempts += 1;
        let payload = format!("{}:{}", self.counts.attempts, "x".repeat(size));
        let retentions = [(3, 60, 600), (1, 30, 300), (10, 290, 900)].map(|(size, ttl, meta)| {
            Some(Retention {
                size,
                ttl: Duration::from_secs(ttl),
                meta_ttl: META_TTL_MIN.max(Duration::from_secs(meta)),
            })
        });
        let version = || Version {
            number: 1 + random.below(30) as u64,
            epoch: ["", "e"][random.below(2)].into(),
        };
        let tags = || [("tag".to_owned(), payload.len().to_string())].into();
        Attempt {
            publication: Publication {
                offset: 0,
                data: payload.as_bytes().into(),
                info: None,
                tags: random.one_in(4).then(|| Box::new(tags())),
            },
            retention: if random.one_in(5) {
                None
            } else {
                retentions[random.below(3)]
            },
            key: random.one_in(3).then(|| self.key()),
            version: random.one_in(6).then(version),
        }
    }

    fn key(&self) -> Box<str> {
        ["a", "b", "c"][self.random.below(3)].into()
    }

    /// Asks at the same time for what comes in this order.
    fn change_all(&mut self, changes: &[(usize, Change)]) -> Outcome {
        let was_failed = self.process().broker.status().is_failed;
        let is_swept = self.random.one_in(4);
        let broker = &self.process.as_ref().expect("one is running").broker;
        let requests = changes.iter().map(async |(number, change)| {
            let name = name(*number);
            match change {
                Change::Publish(attempt) => broker.publish(attempt.to_new(&name)).await.map(Some),
                Change::Remove => broker.remove_history(&channel(&name)).await.map(|()| None),
            }
        });
        // While the commit thread is at work.
        let sweep = async {
            if is_swept {
                broker.sweep();
            }
        };
        let (results, ()) = self.runtime.block_on(join(join_all(requests), sweep));

        let mut expected = Deliveries::new();
        let mut failed: BTreeMap<usize, Vec<Change>> = BTreeMap::new();
        for ((number, change), result) in changes.iter().zip(results) {
            self.diary
                .push(format!("c{number}: {change:?} -> {result:?}"));
            match result {
                Ok(published) => {
                    let is_written = change.is_stored()
                        && !published.is_some_and(|published| published.is_suppressed);
                    ensure!(
                        !was_failed || !is_written || matches!(change, Change::Remove),
                        "accepted after a failed sync: {change:?}"
                    );
                    if is_written {
                        self.note_failed(*number, failed.remove(number));
                    }
                    self.acknowledged(*number, change, published)?;
                    self.expect_deliveries(*number, change, published, &mut expected);
                }
                Err(error) => {
                    self.refused(change, error)?;
                    failed.entry(*number).or_default().push(change.clone());
                }
            }
        }
        for (number, changes) in failed {
            self.note_failed(number, Some(changes));
        }
        self.check_deliveries(expected)
    }

    fn refused(&mut self, change: &Change, error: BrokerError) -> Outcome {
        self.counts.refused += 1;
        ensure!(change.is_stored(), "{error} for what is not stored");
        ensure!(
            !matches!(error, BrokerError::OutOfMemory | BrokerError::TooManyKeys),
            "refused for want of what there is: {error}"
        );
        Ok(())
    }

    fn note_failed(&mut self, number: usize, changes: Option<Vec<Change>>) {
        // What was refused by an intact disk was never written.
        let is_harmless =
            !self.disk.is_off() && !self.disk.log().iter().any(|step| step.has_failed);
        let now = self.now();
        if let Some(changes) = changes.filter(|_| !is_harmless) {
            self.channels[number].fail(&changes, now);
        }
    }

    fn acknowledged(
        &mut self,
        number: usize,
        change: &Change,
        published: Option<Published>,
    ) -> Outcome {
        self.counts.acknowledged += 1;
        self.counts.checks += 1;
        let (now, steps) = (self.now(), self.disk.steps());
        let channel = &mut self.channels[number];
        let before = channel.possible.clone();
        let agrees = channel.acknowledge(change, now, steps, |stream, outcome| {
            published.is_none_or(|published| stream.would_say(outcome, published))
        });
        ensure!(
            agrees,
            "{published:?} for {change:?} in c{number} at {now}, which was {before:#?}"
        );
        let is_suppressed = published.is_some_and(|published| published.is_suppressed);
        self.process().has_stored |= change.is_stored() && !is_suppressed;
        let Some(position) = published.and_then(|published| published.position) else {
            return Ok(());
        };
        self.witness.see_epoch(position.epoch);
        match change {
            Change::Publish(attempt) if !is_suppressed => {
                let publication = attempt.at(Some(position));
                self.witness
                    .see(number, position.epoch, &Arc::new(publication))
            }
            _ => Ok(()),
        }
    }

    fn expect_deliveries(
        &self,
        number: usize,
        change: &Change,
        published: Option<Published>,
        expected: &mut Deliveries,
    ) {
        let fresh = published.filter(|published| !published.is_suppressed);
        let (Some(Published { position, .. }), Change::Publish(attempt)) = (fresh, change) else {
            return;
        };
        for shard in &self.channels[number].shards {
            let queue = expected.entry((*shard, number, position.is_some()));
            let epoch = position.map(|position| position.epoch);
            queue.or_default().push_back((epoch, attempt.at(position)));
        }
    }

    /// What came to the shards is this, in this order, and nothing else.
    fn check_deliveries(&mut self, mut expected: Deliveries) -> Outcome {
        for shard in 0..SHARDS {
            while let Ok(delivery) = self.process().inboxes[shard].try_recv() {
                self.counts.deliveries += 1;
                let Event::Publication {
                    publication,
                    epoch,
                    previous,
                } = &delivery.event
                else {
                    return Err(format!("nobody came or left: {delivery:?}"));
                };
                let number =
                    (0..CHANNELS).find(|number| channel(&name(*number)) == delivery.channel);
                let number = number.ok_or("a channel that nobody knows")?;
                let is_kept = publication.offset != 0;
                if is_kept {
                    self.witness.see(number, *epoch, publication)?;
                }
                if let Some(previous) = previous {
                    let is_next = previous.offset + 1 == publication.offset;
                    ensure!(is_next, "c{number}: {} is not the next", publication.offset);
                    self.witness.see(number, *epoch, previous)?;
                }
                let queue = expected.entry((shard, number, is_kept)).or_default();
                // What no history keeps may overtake what has to wait for the disk.
                let is_this = |(_, expected): &(_, Publication)| *expected == **publication;
                let index = if is_kept {
                    Some(0)
                } else {
                    queue.iter().position(is_this)
                };
                let next = index.and_then(|index| queue.remove(index));
                let agrees = next.as_ref().is_some_and(|(told, expected)| {
                    told.is_none_or(|told| told == *epoch) && *expected == **publication
                });
                ensure!(
                    agrees,
                    "shard {shard} got {} of c{number} {epoch:?} instead of {:?}",
                    brief([&**publication]),
                    next.map(|(epoch, next)| (epoch, brief([next])))
                );
            }
        }
        expected.retain(|_, queue| !queue.is_empty());
        let missing = expected
            .values()
            .flatten()
            .map(|(_, publication)| publication);
        ensure!(expected.is_empty(), "not delivered: {}", brief(missing));
        Ok(())
    }

    fn subscribe(&mut self, number: usize) -> Outcome {
        let shard_number = self.random.below(SHARDS);
        let process = self.process.as_ref().expect("one is running");
        let channel = channel(&name(number));
        let subscription = process.broker.subscribe(shard(shard_number), &channel);
        let top = self.runtime.block_on(subscription);
        let top = top.map_err(|error| format!("cannot subscribe: {error}"))?;
        self.diary.push(format!("c{number} subscribed at {top:?}"));
        let now = self.now();
        self.counts.checks += 1;
        let agrees = self.channels[number].observe(now, |stream| stream.stands_at(top));
        self.channels[number].shards.insert(shard_number);
        ensure!(agrees, "c{number} stands at {top:?}");
        Ok(())
    }

    fn unsubscribe(&mut self) -> Outcome {
        let (number, shard_number) = (self.random.below(CHANNELS), self.random.below(SHARDS));
        let process = self.process.as_ref().expect("one is running");
        let channel = channel(&name(number));
        let end = process.broker.unsubscribe(shard(shard_number), &channel);
        self.runtime.block_on(end);
        self.diary.push(format!("c{number} unsubscribed"));
        self.channels[number].shards.remove(&shard_number);
        Ok(())
    }

    fn query(&mut self) -> Outcome {
        let query = HistoryQuery {
            since: self.random.one_in(2).then(|| self.random.below(30) as u64),
            reverse: self.random.one_in(2),
            limit: self.random.below(12),
            bytes: usize::MAX,
        };
        let number = self.random.below(CHANNELS);
        self.look(number, query)
    }

    /// Reads a part of a history, which must be as it should be.
    fn look(&mut self, number: usize, query: HistoryQuery) -> Outcome {
        let process = self.process.as_ref().expect("one is running");
        let channel = channel(&name(number));
        let page = self
            .runtime
            .block_on(process.broker.history(&channel, query));
        let page = match page {
            Ok(page) => page,
            // The disk may have been turned off by whatever else goes on.
            Err(_) if self.disk.is_off() => return Ok(()),
            Err(error) => return Err(format!("cannot read: {error}")),
        };
        let now = self.now();
        self.counts.checks += 1;
        self.diary
            .push(format!("c{number} stands at {:?}", page.top));
        let before = self.channels[number].possible.clone();
        let agrees = self.channels[number].observe(now, |stream| {
            stream.page(query, now) == page.publications && stream.stands_at(page.top)
        });
        ensure!(
            agrees,
            "{:?} {} for {query:?} of c{number} at {now}, which was {before:#?}",
            page.top,
            brief(page.publications.iter().map(|kept| &**kept))
        );
        self.witness.see_epoch(page.top.epoch);
        for publication in &page.publications {
            self.witness.see(number, page.top.epoch, publication)?;
        }
        Ok(())
    }

    /// Looks at everything after an opening that may have found this lost.
    pub(crate) fn check_all(&mut self, lossy: Lossy) -> Outcome {
        let top = HistoryQuery {
            limit: 0,
            ..EVERYTHING
        };
        for number in 0..CHANNELS {
            let process = self.process.as_ref().expect("one is running");
            let channel = channel(&name(number));
            let page = self.runtime.block_on(process.broker.history(&channel, top));
            let epoch = page.map_err(|error| error.to_string())?.top.epoch;
            let is_known = self.witness.knows(epoch);
            ensure!(
                lossy != Lossy::Yes || !is_known,
                "c{number} has epoch {epoch:?} again after a loss"
            );
            // Who has the epoch that it had must have all that it had.
            self.channels[number].reopen(lossy != Lossy::No && !is_known);
        }
        for number in 0..CHANNELS {
            self.look(number, EVERYTHING)?;
            if self.random.one_in(2) {
                self.subscribe(number)?;
            }
        }
        if self.random.one_in(2) {
            return Ok(());
        }
        // Keys show in nothing but their use.
        for number in 0..CHANNELS {
            let key = Some(self.key());
            let attempt = Attempt {
                key,
                ..self.attempt()
            };
            self.change_all(&[(number, Change::Publish(attempt))])?;
        }
        Ok(())
    }
}
