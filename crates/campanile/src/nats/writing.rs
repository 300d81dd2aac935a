//! Writing to channels: one message at a time for each, and into the next one what came meanwhile.
//!
//! A message is stored only behind the one that it was made from. If another node was faster,
//! nothing was stored, and it is made again.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use campanile_engine::broker::remote::{Accepted, Sighting};
use campanile_engine::broker::{BrokerError, NewPublication, Published};
use campanile_engine::channel::ChannelName;
use campanile_protocol::Publication;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::{Instant, sleep};

use super::plan::{Head, Scene, Standing};
use super::record::{self, Message, Stream};
use super::shared::Shared;
use super::store::{StoreError, Stored};
use super::subjects;

/// Publications of one message.
const TOGETHER_MAX: usize = 64;

/// Bytes from which on a message takes no further publication.
const TOGETHER_BYTES_MAX: usize = 256 * 1024;

/// Before a channel is tried again that another node was faster in: longer each time.
const CONFLICT_PAUSE: Duration = Duration::from_micros(300);
const CONFLICT_PAUSE_MAX: Duration = Duration::from_millis(50);

/// What is to be done in a channel.
pub(super) struct Job {
    pub(super) channel: ChannelName,
    pub(super) seen: Option<Sighting>,
    pub(super) work: Work,
    pub(super) reply: oneshot::Sender<Result<Accepted, BrokerError>>,
    /// Its share of what may wait.
    pub(super) _place: OwnedSemaphorePermit,
}

/// The kinds of it.
pub(super) enum Work {
    Publish(Box<NewPublication>),
    /// Ends the history. Says where the stream is.
    Remove,
    /// Begins the stream anew if its end was lost. Says where it is then.
    Compare,
}

impl Work {
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Publish(new) => new.bytes(),
            Self::Remove | Self::Compare => 0,
        }
    }
}

impl Job {
    fn publication(&self) -> Option<&NewPublication> {
        match &self.work {
            Work::Publish(new) => Some(new),
            Work::Remove | Work::Compare => None,
        }
    }

    /// Whether it can be in one message with others.
    fn is_plain(&self) -> bool {
        self.publication()
            .is_some_and(|new| new.idempotency_key.is_none())
    }

    fn bytes(&self) -> usize {
        self.work.bytes()
    }
}

/// Why a message was not stored.
enum Failure {
    /// It can be made again: another node was faster, or knew better.
    Again,
    Final(BrokerError),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Final(match error {
            StoreError::Mute(mute) => mute.into(),
            StoreError::Full => BrokerError::StorageFull,
            StoreError::Refused => BrokerError::StorageFailed,
        })
    }
}

/// Does all jobs that come, until nobody can send any more.
pub(super) async fn write(shared: Arc<Shared>, mut jobs: mpsc::UnboundedReceiver<Job>) {
    let mut waiting = HashMap::<ChannelName, VecDeque<Job>>::new();
    let mut running = FuturesUnordered::new();
    loop {
        let next = tokio::select! {
            job = jobs.recv() => {
                let Some(job) = job else { return };
                let channel = job.channel.clone();
                // A channel that is being written to has an entry, and is looked at when that ends.
                match waiting.get_mut(&channel) {
                    Some(queue) => { queue.push_back(job); continue }
                    None => { waiting.insert(channel.clone(), VecDeque::from([job])); channel }
                }
            }
            Some(channel) = running.next() => channel,
        };
        let queue = waiting.get_mut(&next).expect("as long as it is written to");
        let batch = batch(queue);
        if batch.is_empty() {
            waiting.remove(&next);
            continue;
        }
        let shared = Arc::clone(&shared);
        running.push(async move {
            shared.write_all(&next, batch).await;
            next
        });
    }
}

/// What goes into the next message.
fn batch(queue: &mut VecDeque<Job>) -> Vec<Job> {
    let mut batch = Vec::new();
    let mut bytes = 0;
    while let Some(job) = queue.front() {
        bytes += job.bytes();
        let fits = batch.is_empty()
            || batch.len() < TOGETHER_MAX
                && bytes <= TOGETHER_BYTES_MAX
                && job.is_plain()
                && batch.last().is_some_and(Job::is_plain);
        if !fits {
            break;
        }
        batch.extend(queue.pop_front());
    }
    batch
}

/// One try at the next message of a channel.
struct Step {
    /// Whether there is anything to store.
    is_needed: bool,
    stream: Stream,
    bytes: Vec<u8>,
    /// For each job, if this is stored.
    accepted: Vec<Accepted>,
}

impl Step {
    fn make(scene: &Scene, standing: Standing, jobs: &[Job]) -> Self {
        let Standing {
            mut stream,
            is_renewed,
        } = standing;
        let mut is_needed = is_renewed;
        if jobs.iter().any(|job| matches!(job.work, Work::Remove)) && stream.offset > stream.floor {
            is_needed = true;
            scene.sign(&mut stream);
            stream.floor = stream.offset;
        }
        let publications = jobs.iter().filter_map(|job| match &job.work {
            Work::Publish(new) => Some((&**new, new.retention?)),
            Work::Remove | Work::Compare => None,
        });
        let mut plan = scene.plan(stream, publications);
        if plan.outcomes.is_empty() {
            plan.outcomes = vec![Published {
                position: Some(plan.stream.top()),
                is_suppressed: false,
            }];
        }
        let sighting = Some(plan.stream.sighting());
        let accepted = plan.outcomes.into_iter();
        let accepted = accepted.map(|published| Accepted {
            published,
            sighting,
        });
        Self {
            is_needed: is_needed || !plan.entries.is_empty(),
            bytes: record::kept(&plan.stream, &plan.entries),
            accepted: accepted.collect(),
            stream: plan.stream,
        }
    }
}

impl Shared {
    async fn write_all(&self, channel: &ChannelName, jobs: Vec<Job>) {
        let deadline = Instant::now() + self.line.patience();
        let mut pause = CONFLICT_PAUSE;
        let outcome = loop {
            match self.try_to_write(channel, &jobs).await {
                Ok(outcome) => break Ok(outcome),
                Err(Failure::Final(error)) => break Err(error),
                // Nothing was stored: that is certain here.
                Err(Failure::Again) if Instant::now() >= deadline => break Err(BrokerError::Busy),
                Err(Failure::Again) => {
                    self.counts.conflict();
                    sleep(pause).await;
                    pause = (pause * 2).min(CONFLICT_PAUSE_MAX);
                }
            }
        };
        match outcome {
            Ok(accepted) => {
                for (job, accepted) in jobs.into_iter().zip(accepted) {
                    let _ = job.reply.send(Ok(accepted));
                }
            }
            Err(error) => {
                self.heads.forget(channel, u64::MAX);
                for job in jobs {
                    let _ = job.reply.send(Err(error));
                }
            }
        }
    }

    /// Writes, and looks for the stream when it is not where it was.
    async fn try_to_write(
        &self,
        channel: &ChannelName,
        jobs: &[Job],
    ) -> Result<Vec<Accepted>, Failure> {
        let before = self.store.known();
        match self.write_once(channel, jobs).await {
            // It is gone, or another one has its place, or it has no leader for now.
            Err(Failure::Final(BrokerError::Unreachable)) if self.line.is_up() => {
                match self.store.ensure().await? {
                    known if before.as_ref() != Some(&known) => Err(Failure::Again),
                    _ => Err(Failure::Final(BrokerError::Unreachable)),
                }
            }
            outcome => outcome,
        }
    }

    async fn write_once(
        &self,
        channel: &ChannelName,
        jobs: &[Job],
    ) -> Result<Vec<Accepted>, Failure> {
        let single = match jobs {
            [job] => job.publication(),
            _ => None,
        };
        if let Some(new) = single.filter(|new| new.retention.is_none()) {
            return Ok(vec![self.write_key(new).await?]);
        }
        for retention in jobs.iter().filter_map(|job| job.publication()?.retention) {
            if self.store.widen(&retention) {
                self.store.ensure().await?;
            }
        }
        let scene = self.scene()?;
        let known = self.heads.get(channel, &scene.life, scene.generation);
        let is_fresh = known.is_none();
        let head = match known {
            Some(head) => Some(head),
            None => self.head(channel, &scene).await?,
        };
        let seen = jobs.iter().rev().find_map(|job| job.seen);
        let step = Step::make(&scene, scene.standing(head.as_ref(), seen), jobs);
        let after = head.map_or(0, |head| head.sequence);
        if !step.is_needed {
            // What is only believed to be the last message is no ground for doing nothing.
            if is_fresh {
                return Ok(step.accepted);
            }
            self.heads.forget(channel, after);
            return Err(Failure::Again);
        }
        let key = single.and_then(|new| new.idempotency_key.as_deref());
        let key = key.map(|key| subjects::key(channel, key));
        let subject = self.subjects.kept(&scene.life, channel);
        match self
            .store
            .store(subject, Some(after), key, step.bytes)
            .await
        {
            Ok(Stored::As(sequence)) => {
                let stream = step.stream;
                self.heads
                    .put(channel, &scene.life, Head { sequence, stream });
                Ok(step.accepted)
            }
            Ok(Stored::Before(sequence)) => {
                let first = self.first_outcome(channel, &scene, sequence).await?;
                Ok(vec![first])
            }
            Ok(Stored::Conflict) => {
                self.heads.forget(channel, after);
                Err(Failure::Again)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The last message of a channel, asked of the leader. What it says of another leader than the
    /// known one is a reason to ask who leads now.
    async fn head(&self, channel: &ChannelName, scene: &Scene) -> Result<Option<Head>, Failure> {
        let head = self.last(channel, scene).await?;
        let Some(head) = head else { return Ok(None) };
        let last = head.stream.generations.last();
        if last.is_some_and(|(generation, _)| *generation != scene.generation) {
            let known = self.store.ensure().await?;
            if *known.life != *scene.life || known.generation != scene.generation {
                return Err(Failure::Again);
            }
        }
        self.heads.put(channel, &scene.life, head.clone());
        Ok(Some(head))
    }

    /// What became of the publication that first had the key of this one.
    async fn first_outcome(
        &self,
        channel: &ChannelName,
        scene: &Scene,
        sequence: u64,
    ) -> Result<Accepted, Failure> {
        let first = self.store.at(sequence).await?;
        let first = first.and_then(|kept| Message::read(&kept.payload).ok());
        let position = match first {
            Some(Message::Kept(stream, _)) => stream.top(),
            // It is no longer kept: where the stream is now is what can be told.
            _ => {
                let head = self.last(channel, scene).await?;
                scene.standing(head.as_ref(), None).stream.top()
            }
        };
        let published = Published {
            position: Some(position),
            is_suppressed: true,
        };
        // No sighting: that was then.
        Ok(Accepted {
            published,
            sighting: None,
        })
    }

    /// Stores a publication for its key alone; what is stored is sent to the listeners.
    async fn write_key(&self, new: &NewPublication) -> Result<Accepted, Failure> {
        let channel = &new.channel;
        let key = new.idempotency_key.as_deref();
        let key = key.map(|key| subjects::key(channel, key));
        let bytes = record::passing(&Publication {
            offset: 0,
            data: new.data.clone(),
            info: new.info.clone(),
            tags: new.tags.clone(),
        });
        let subject = self.subjects.keyed(channel);
        let stored = self.store.store(subject, None, key, bytes).await?;
        let is_suppressed = match stored {
            Stored::As(_) => false,
            Stored::Before(_) => true,
            Stored::Conflict => return Err(Failure::Again),
        };
        let published = Published {
            position: None,
            is_suppressed,
        };
        Ok(Accepted {
            published,
            sighting: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use campanile_engine::testkit::contract::{kept, passing};
    use tokio::sync::Semaphore;

    use super::*;

    fn job(work: Work) -> Job {
        let places = Arc::new(Semaphore::new(1));
        Job {
            channel: campanile_engine::testkit::channel("c"),
            seen: None,
            work,
            reply: oneshot::channel().0,
            _place: places.try_acquire_owned().expect("there is one"),
        }
    }

    fn publish(new: NewPublication) -> Job {
        job(Work::Publish(Box::new(new)))
    }

    fn sizes(jobs: impl IntoIterator<Item = Job>) -> Vec<usize> {
        let mut queue: VecDeque<_> = jobs.into_iter().collect();
        let mut sizes = Vec::new();
        while !queue.is_empty() {
            sizes.push(batch(&mut queue).len());
        }
        sizes
    }

    #[test]
    fn what_waits_goes_together_up_to_a_bound() {
        let many = (0..TOGETHER_MAX + 1).map(|_| publish(kept("c", "1")));
        assert_eq!(sizes(many), [TOGETHER_MAX, 1]);
        let half = "x".repeat(TOGETHER_BYTES_MAX / 2);
        let large = (0..3).map(|_| publish(kept("c", &half)));
        assert_eq!(sizes(large), [2, 1]);
    }

    #[test]
    fn what_has_a_key_of_its_own_goes_alone_and_in_its_turn() {
        let keyed = NewPublication {
            idempotency_key: Some("k".into()),
            ..passing("c", "1")
        };
        let plain = || publish(kept("c", "1"));
        let jobs = [plain(), plain(), publish(keyed), job(Work::Remove), plain()];
        assert_eq!(sizes(jobs), [2, 1, 1, 1]);
    }
}
