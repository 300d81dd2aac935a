//! What a stream becomes by what is published, told from its last message alone: offsets, versions,
//! lifetimes, epochs, and whether its end was lost.
//!
//! Every node decides by these rules, and whoever is first with its message was right. Nothing here
//! speaks to a server.

use std::sync::Arc;
use std::time::Duration;

use campanile_engine::broker::remote::{Generation, Sighting};
use campanile_engine::broker::{NewPublication, Published, Retention, Version, epoch_of};
use campanile_protocol::{Epoch, Position, Publication};

use super::record::{Entry, GENERATIONS_MAX, Stream};

/// What holds for all channels at a moment.
#[derive(Clone, Debug)]
pub(super) struct Scene {
    /// Milliseconds since 1970.
    pub(super) now: u64,
    /// The life of the stream that histories are in.
    pub(super) life: Arc<str>,
    /// Which life of its leader this is.
    pub(super) generation: u64,
    /// The shortest lifetime of metadata of any channel, in milliseconds.
    pub(super) meta_ttl_min: u64,
}

/// The last message of a channel, as far as that is known.
#[derive(Clone, Debug)]
pub(super) struct Head {
    /// Its number in the stream of histories.
    pub(super) sequence: u64,
    pub(super) stream: Stream,
}

/// Where a channel stands.
#[derive(Debug, PartialEq)]
pub(super) struct Standing {
    pub(super) stream: Stream,
    /// The end of what was there is lost: this is another stream, and has to be stored as such.
    pub(super) is_renewed: bool,
}

/// What is published together.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) stream: Stream,
    pub(super) entries: Vec<Entry>,
    /// Of each publication, in order.
    pub(super) outcomes: Vec<Published>,
}

impl Scene {
    /// Where a channel stands whose last message is `head`, for a node that has `seen` that much.
    pub(super) fn standing(&self, head: Option<&Head>, seen: Option<Sighting>) -> Standing {
        let known = head.filter(|head| !head.stream.is_forgotten(self.now));
        if let Some(head) = known {
            let mut stream = head.stream.clone();
            stream.expire(self.now);
            let is_renewed = seen.is_some_and(|seen| stream.has_lost(seen));
            return match is_renewed {
                true => self.renewed(stream.meta_ttl),
                false => Standing { stream, is_renewed },
            };
        }
        let epoch = match (head, seen) {
            // It was forgotten: by its last message everybody finds the same next epoch.
            (Some(head), _) => epoch_for(&self.life, head.sequence, u64::MAX),
            // What was told when the era before was young stays true while nothing is published.
            (None, Some(seen)) if seen.position.offset == 0 && self.is_recent(seen) => {
                seen.position.epoch
            }
            (None, _) => self.unborn(0),
        };
        if seen.is_some_and(|seen| seen.position.epoch == epoch && seen.position.offset > 0) {
            return self.renewed(self.meta_ttl_min);
        }
        Standing {
            stream: self.begin(epoch),
            is_renewed: false,
        }
    }

    /// The epoch of channels without a message, so many eras ago. An era is half as long as the
    /// shortest lifetime of metadata: whatever is born in one is forgotten when the one after next
    /// has come at the earliest, also where clocks differ.
    fn unborn(&self, eras_ago: u64) -> Epoch {
        let length = (self.meta_ttl_min / 2).max(1);
        epoch_for(
            &self.life,
            length,
            (self.now / length).saturating_sub(eras_ago),
        )
    }

    fn is_recent(&self, seen: Sighting) -> bool {
        seen.position.epoch == self.unborn(1)
    }

    fn begin(&self, epoch: Epoch) -> Stream {
        Stream {
            epoch,
            offset: 0,
            floor: 0,
            at: self.now,
            ttl: 0,
            meta_ttl: self.meta_ttl_min,
            generations: vec![(self.generation, 0)],
            version: None,
        }
    }

    fn renewed(&self, meta_ttl: u64) -> Standing {
        let mut random = [0; 8];
        getrandom::fill(&mut random).expect("the system has random numbers");
        let mut stream = self.begin(epoch_for(&self.life, u64::from_ne_bytes(random), 0));
        stream.meta_ttl = meta_ttl;
        Standing {
            stream,
            is_renewed: true,
        }
    }

    /// What `stream` becomes by publications, of which those with an old version are left out.
    pub(super) fn plan<'a>(
        &self,
        mut stream: Stream,
        all: impl Iterator<Item = (&'a NewPublication, Retention)>,
    ) -> Plan {
        let (mut entries, mut outcomes) = (Vec::new(), Vec::new());
        for (new, retention) in all {
            let is_old = new.version.as_ref().is_some_and(|new| stream.has_seen(new));
            if !is_old {
                entries.push(self.append(&mut stream, new, retention));
            }
            outcomes.push(Published {
                position: Some(stream.top()),
                is_suppressed: is_old,
            });
        }
        Plan {
            stream,
            entries,
            outcomes,
        }
    }

    fn append(&self, stream: &mut Stream, new: &NewPublication, retention: Retention) -> Entry {
        // Before it makes room: a history of one is enough for deltas.
        let has_previous = new.wants_delta && stream.offset > stream.floor;
        self.sign(stream);
        stream.offset += 1;
        let size = u64::try_from(retention.size).unwrap_or(u64::MAX);
        stream.floor = stream.floor.max(stream.offset.saturating_sub(size));
        stream.at = stream.at.max(self.now);
        stream.ttl = millis(retention.ttl);
        stream.meta_ttl = millis(retention.meta_ttl).max(stream.ttl);
        if let Some(version) = &new.version {
            stream.version = Some(version.clone());
        }
        let publication = Arc::new(Publication {
            offset: stream.offset,
            data: new.data.clone(),
            info: new.info.clone(),
            tags: new.tags.clone(),
        });
        Entry {
            publication,
            has_previous,
        }
    }

    /// Notes in which life of the leader the stream goes on.
    pub(super) fn sign(&self, stream: &mut Stream) {
        let last = stream.generations.last();
        if last.is_some_and(|(generation, _)| *generation == self.generation) {
            return;
        }
        if stream.generations.len() == GENERATIONS_MAX {
            stream.generations.remove(0);
        }
        stream.generations.push((self.generation, stream.offset));
    }
}

impl Stream {
    pub(super) const fn top(&self) -> Position {
        Position {
            epoch: self.epoch,
            offset: self.offset,
        }
    }

    /// What is to be remembered of it, to notice when its end is lost.
    pub(super) fn sighting(&self) -> Sighting {
        let generation = self
            .generations
            .last()
            .map_or(0, |(generation, _)| *generation);
        Sighting {
            position: self.top(),
            generation: Generation(generation),
        }
    }

    /// Whether epoch and offset are past their time.
    const fn is_forgotten(&self, now: u64) -> bool {
        self.at.saturating_add(self.meta_ttl) <= now
    }

    /// Lets the history go if it is past its time.
    const fn expire(&mut self, now: u64) {
        if self.at.saturating_add(self.ttl) <= now {
            self.floor = self.offset;
        }
    }

    fn has_seen(&self, new: &Version) -> bool {
        self.version.as_ref().is_some_and(|seen| {
            (new.epoch.is_empty() || new.epoch == seen.epoch) && new.number <= seen.number
        })
    }

    /// Whether somebody saw what is not in this stream, although it was said in its epoch.
    fn has_lost(&self, seen: Sighting) -> bool {
        if seen.position.epoch != self.epoch {
            return false;
        }
        let same = |(generation, _): &(u64, u64)| *generation == seen.generation.0;
        let next = match self.generations.iter().rposition(same) {
            Some(index) => index + 1,
            None => 0,
        };
        let end = self
            .generations
            .get(next)
            .map_or(self.offset, |(_, began)| *began);
        seen.position.offset > end
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// An epoch for what is told by a life and two numbers: the same on every node.
fn epoch_for(life: &str, a: u64, b: u64) -> Epoch {
    let mut bytes = life.as_bytes().to_vec();
    bytes.extend(a.to_be_bytes());
    bytes.extend(b.to_be_bytes());
    epoch_of(hash(&bytes).to_be_bytes())
}

/// FNV-1a with the last step of splitmix: no secret is kept by it, and it must never change.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in bytes {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use campanile_engine::testkit::contract::{RETENTION, kept};

    use super::*;

    fn scene() -> Scene {
        Scene {
            now: 1_700_000_000_000,
            life: "life".into(),
            generation: 1,
            meta_ttl_min: millis(RETENTION.meta_ttl),
        }
    }

    fn head(stream: Stream) -> Head {
        Head {
            sequence: 7,
            stream,
        }
    }

    fn published(scene: &Scene, stream: Stream, count: usize) -> Stream {
        let new = kept("c", "1");
        let all = std::iter::repeat_n((&new, RETENTION), count);
        scene.plan(stream, all).stream
    }

    fn unpublished(scene: &Scene) -> Stream {
        scene.standing(None, None).stream
    }

    #[test]
    fn a_stream_goes_on_where_its_last_message_says() {
        let scene = scene();
        let stream = published(&scene, unpublished(&scene), 6);
        assert_eq!((stream.offset, stream.floor), (6, 2));
        let standing = scene.standing(Some(&head(stream.clone())), Some(stream.sighting()));
        assert_eq!(standing.stream, stream);
        assert!(!standing.is_renewed);
    }

    #[test]
    fn whoever_saw_more_than_there_is_renews_the_stream() {
        let scene = scene();
        let short = published(&scene, unpublished(&scene), 2);
        let long = published(&scene, short.clone(), 1);
        let standing = scene.standing(Some(&head(short.clone())), Some(long.sighting()));
        assert!(standing.is_renewed);
        assert_ne!(standing.stream.epoch, short.epoch);
        assert_eq!(standing.stream.offset, 0);
        let gone = scene.standing(None, Some(long.sighting()));
        assert!(gone.is_renewed, "nothing is left of it");
        assert_ne!(gone.stream.epoch, short.epoch);
    }

    #[test]
    fn a_lost_end_is_noticed_when_as_much_was_written_since() {
        let first = scene();
        let short = published(&first, unpublished(&first), 2);
        let long = published(&first, short.clone(), 2);
        let mut later = first.clone();
        let mut again = short.clone();
        for generation in 2..=3 {
            later.generation = generation;
            again = published(&later, again, 2);
        }
        assert_eq!(again.offset, 6);
        let lost = later.standing(Some(&head(again.clone())), Some(long.sighting()));
        assert!(lost.is_renewed, "3 and 4 were given again");
        let kept = later.standing(Some(&head(again)), Some(short.sighting()));
        assert!(!kept.is_renewed, "1 and 2 are what they were");
    }

    #[test]
    fn generations_that_are_too_many_are_forgotten_oldest_first() {
        let mut scene = scene();
        let mut stream = unpublished(&scene);
        for generation in 2..10 {
            scene.generation = generation;
            stream = published(&scene, stream, 1);
        }
        let expected: Vec<_> = (6..10)
            .map(|generation| (generation, generation - 2))
            .collect();
        assert_eq!(stream.generations, expected);
    }

    #[test]
    fn an_unpublished_channel_has_one_epoch_for_everybody_and_changes_it_in_time() {
        let scene = scene();
        let before = unpublished(&scene);
        let mut later = scene.clone();
        later.now += scene.meta_ttl_min / 2;
        assert_ne!(unpublished(&later).epoch, before.epoch);
        let told = later.standing(None, Some(before.sighting())).stream;
        assert_eq!(told.epoch, before.epoch, "it was told, and nothing came");
        later.now += scene.meta_ttl_min / 2;
        let told = later.standing(None, Some(before.sighting())).stream;
        assert_ne!(told.epoch, before.epoch, "it may have come and gone");
        let mut reborn = scene.clone();
        reborn.life = "another".into();
        assert_ne!(unpublished(&reborn).epoch, before.epoch);
    }

    #[test]
    fn a_forgotten_stream_comes_back_as_another_one() {
        let mut scene = scene();
        let stream = published(&scene, unpublished(&scene), 1);
        scene.now += millis(RETENTION.meta_ttl);
        let head = head(stream.clone());
        let standing = scene.standing(Some(&head), Some(stream.sighting()));
        assert_ne!(standing.stream.epoch, stream.epoch);
        assert_eq!(standing.stream.offset, 0);
        assert!(!standing.is_renewed, "everybody finds this epoch");
        assert_eq!(scene.standing(Some(&head), None), standing);
    }
}
