//! The load: so many publishers, each with one publication in flight, over so many threads.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Builder;
use tokio::task::{JoinSet, LocalSet};

use crate::Failure;
use crate::lane::{Lane, Way};

/// Publications that a publisher makes before it lets the others of its thread go on, where nothing
/// makes it wait. Without this, tokio would interrupt it within the time that is taken.
const TURN: u64 = 32;

/// How much is published, and how.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    /// Publishers: publications in flight.
    pub(crate) publishers: usize,
    /// Threads, each with a single-threaded runtime and a set of local tasks, as Actix-Web's workers
    /// are.
    pub(crate) threads: usize,
    /// Channels, published to in turn.
    pub(crate) channels: usize,
    /// When it ends.
    pub(crate) until: Until,
}

/// When a load ends.
#[derive(Clone, Copy)]
pub(crate) enum Until {
    /// After this time. Latencies are kept.
    Elapsed(Duration),
    /// When each publisher has published so often. Latencies are not kept.
    Each(u64),
}

/// What a load came to.
pub(crate) struct Measured {
    /// Publications a second.
    pub(crate) rate: f64,
    /// Publications.
    pub(crate) count: u64,
    /// Of each of them, ascending, in nanoseconds.
    latencies: Vec<u32>,
}

impl Measured {
    /// The latency that `share` of the publications did not exceed, in microseconds.
    pub(crate) fn latency(&self, share: f64) -> f64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index, rounded"
        )]
        let index = (self.latencies.len() as f64 * share) as usize;
        let last = self.latencies.len().saturating_sub(1);
        let nanoseconds = self.latencies.get(index.min(last));
        nanoseconds.map_or(f64::NAN, |nanoseconds| f64::from(*nanoseconds) / 1e3)
    }
}

/// What one thread has done.
#[derive(Default)]
struct Done {
    count: u64,
    latencies: Vec<u32>,
}

impl Load {
    /// Publishes over `way`.
    pub(crate) fn run(self, way: &Way) -> Result<Measured, Failure> {
        let channels: Arc<[String]> = (0..self.channels).map(channel).collect();
        let began = Instant::now();
        let done = thread::scope(|scope| {
            let threads: Vec<_> = (0..self.threads)
                .map(|index| {
                    let channels = &channels;
                    scope.spawn(move || {
                        let runtime = Builder::new_current_thread().enable_all().build()?;
                        LocalSet::new().block_on(&runtime, self.thread(index, way, channels))
                    })
                })
                .collect();
            let mut all = Done::default();
            for thread in threads {
                let done = thread
                    .join()
                    .map_err(|_| "a publishing thread panicked")??;
                all.count += done.count;
                all.latencies.extend(done.latencies);
            }
            Ok::<_, Failure>(all)
        })?;
        let elapsed = began.elapsed();
        let mut latencies = done.latencies;
        latencies.sort_unstable();
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let rate = done.count as f64 / elapsed.as_secs_f64();
        Ok(Measured {
            rate,
            count: done.count,
            latencies,
        })
    }

    async fn thread(
        self,
        index: usize,
        way: &Way,
        channels: &Arc<[String]>,
    ) -> Result<Done, Failure> {
        let first = way.lane().await?;
        let mut publishers = JoinSet::new();
        for publisher in (index..self.publishers).step_by(self.threads) {
            let lane = first.another().await?;
            publishers.spawn_local(self.publisher(publisher, lane, Arc::clone(channels)));
        }
        let mut all = Done::default();
        while let Some(done) = publishers.join_next().await {
            let done = done??;
            all.count += done.count;
            all.latencies.extend(done.latencies);
        }
        Ok(all)
    }

    async fn publisher(
        self,
        index: usize,
        mut lane: Lane,
        channels: Arc<[String]>,
    ) -> Result<Done, Failure> {
        let payload = payload();
        let began = Instant::now();
        let mut done = Done::default();
        let mut next = index;
        loop {
            let asked = Instant::now();
            match self.until {
                Until::Elapsed(time) if asked - began >= time => return Ok(done),
                Until::Each(count) if done.count >= count => return Ok(done),
                _ => {}
            }
            lane.publish(&channels[next % channels.len()], &payload)
                .await?;
            done.count += 1;
            next += self.publishers;
            if matches!(self.until, Until::Elapsed(_)) {
                let nanoseconds = asked.elapsed().as_nanos();
                let nanoseconds = u32::try_from(nanoseconds).unwrap_or(u32::MAX);
                done.latencies.push(nanoseconds);
            }
            if done.count.is_multiple_of(TURN) {
                tokio::task::yield_now().await;
            }
        }
    }
}

/// The name of a channel.
fn channel(index: usize) -> String {
    format!("room-{index}")
}

/// JSON of 128 bytes.
fn payload() -> String {
    let payload = format!(r#"{{"input":"{}"}}"#, "1234567 ".repeat(14) + "1234");
    debug_assert_eq!(payload.len(), 128, "what the documentation says");
    payload
}

/// Publishes `publications` to `channels`, the same number to each.
pub(crate) fn fill(way: &Way, channels: usize, publications: usize) -> Result<(), Failure> {
    /// Many, so that a broker which syncs is not waited for once for each.
    const PUBLISHERS: usize = 1000;
    let each = publications.div_ceil(PUBLISHERS);
    let load = Load {
        publishers: PUBLISHERS,
        threads: 1,
        channels,
        until: Until::Each(each as u64),
    };
    let expected = each * PUBLISHERS;
    if load.run(way)?.count == expected as u64 {
        Ok(())
    } else {
        Err(io::Error::other("not everything was published").into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_json_of_128_bytes() {
        assert_eq!(payload().len(), 128);
        assert!(serde_json::from_str::<serde_json::Value>(&payload()).is_ok());
    }

    #[test]
    fn latencies_are_told_by_the_share_that_was_not_slower() {
        let measured = Measured {
            rate: 0.0,
            count: 100,
            latencies: (0..100).map(|index| index * 1000).collect(),
        };
        assert!((measured.latency(0.5) - 50.0).abs() < 1e-9);
        assert!((measured.latency(1.0) - 99.0).abs() < 1e-9);
    }
}
