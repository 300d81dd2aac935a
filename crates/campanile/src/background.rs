//! A thread beside the workers, for what waits on others and must not take the workers' time.
//!
//! Whoever needs an answer spawns the work here and awaits it from its own thread. What nobody
//! awaits any more is dropped, and so is everything at the end.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::{io, thread};

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Threads that look up host names, which the system offers in no other way. One is busy as long
/// as a name resolves slowly: with fewer than there are names, that would hold up the others.
/// They are started when they are needed, and end.
const LOOKUPS_MAX: usize = 256;

/// The thread. It ends with this value, and with it all that runs there.
#[derive(Debug)]
pub struct Background {
    spawner: Spawner,
    /// Dropped for the thread to end.
    stop: Option<oneshot::Sender<Infallible>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Background {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system has none left, or no descriptors.
    pub fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(LOOKUPS_MAX)
            .thread_name("background-lookup")
            .build()?;
        let spawner = Spawner(runtime.handle().clone());
        let (stop, stopped) = oneshot::channel::<Infallible>();
        let run = move || {
            let Err(_) = runtime.block_on(stopped);
            // A host name that is being looked up may take minutes, and is not waited for.
            runtime.shutdown_background();
        };
        let thread = thread::Builder::new()
            .name("background".into())
            .spawn(run)?;
        Ok(Self {
            spawner,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// The one in `place`, which is started if there is none yet.
    ///
    /// # Errors
    /// As [`Background::start`].
    pub fn of(place: &mut Option<Self>) -> io::Result<&Self> {
        Ok(match place {
            Some(background) => background,
            None => place.insert(Self::start()?),
        })
    }

    /// What starts work there. It outlives the thread, and then has nothing done.
    #[must_use]
    pub fn spawner(&self) -> Spawner {
        self.spawner.clone()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // What has panicked there has said so itself.
            let _ = thread.join();
        }
    }
}

/// Starts work on the thread of a [`Background`].
#[derive(Clone, Debug)]
pub struct Spawner(Handle);

impl Spawner {
    /// Runs `work` until it ends, or until what is returned is dropped.
    pub fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Running<T> {
        Running(self.0.spawn(work))
    }
}

/// Work under way; a future of its result, whatever runtime polls it. Dropped, the work is too.
#[derive(Debug)]
pub struct Running<T>(JoinHandle<T>);

/// The work came to no end: the thread has ended before, or the work has panicked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unfinished;

impl<T> Future for Running<T> {
    type Output = Result<T, Unfinished>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let result = Pin::new(&mut self.0).poll(context);
        result.map_err(|_| Unfinished)
    }
}

impl<T> Drop for Running<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::{Arc, Mutex, mpsc};
    use std::time::Duration;

    use tokio::task::spawn_blocking;
    use tokio::time::timeout;

    use super::*;

    /// Tells when it is dropped.
    struct Tell(#[expect(dead_code, reason = "its end is what is told")] oneshot::Sender<()>);

    fn waiting(spawner: &Spawner) -> (Running<()>, oneshot::Receiver<()>) {
        let (tell, told) = oneshot::channel();
        let tell = Tell(tell);
        let work = async move {
            let _tell = tell;
            pending::<()>().await;
        };
        (spawner.spawn(work), told)
    }

    #[tokio::test]
    async fn work_is_done_on_the_thread_and_awaited_from_another() {
        let background = Background::start().unwrap();
        let name = || thread::current().name().map(str::to_owned);
        let running = background.spawner().spawn(async move { name() });
        assert_eq!(running.await, Ok(Some("background".to_owned())));
    }

    #[tokio::test]
    async fn work_that_nobody_awaits_any_more_is_dropped() {
        let background = Background::start().unwrap();
        let (running, told) = waiting(&background.spawner());
        drop(running);
        assert!(told.await.is_err());
    }

    #[tokio::test]
    async fn lookups_that_take_long_hold_up_no_other() {
        let background = Background::start().unwrap();
        let (release, released) = mpsc::channel::<Infallible>();
        let released = Arc::new(Mutex::new(released));
        let quick = background.spawner().spawn(async move {
            for _ in 0..100 {
                let released = Arc::clone(&released);
                // The second one waits for the lock, which is as long.
                spawn_blocking(move || released.lock().is_ok_and(|end| end.recv().is_ok()));
            }
            spawn_blocking(|| 1).await.unwrap()
        });
        let quick = timeout(Duration::from_secs(30), quick).await;
        assert_eq!(quick.unwrap(), Ok(1));
        drop(release);
    }

    #[tokio::test]
    async fn the_end_drops_all_work_and_tells_whoever_awaits_it() {
        let background = Background::start().unwrap();
        let spawner = background.spawner();
        let (running, told) = waiting(&spawner);
        drop(background);
        assert!(told.await.is_err());
        assert_eq!(running.await, Err(Unfinished));
        assert_eq!(spawner.spawn(async {}).await, Err(Unfinished));
    }

    #[tokio::test]
    async fn a_panic_costs_its_own_work_alone() {
        let background = Background::start().unwrap();
        let spawner = background.spawner();
        let failed = spawner.spawn(async { panic!("on purpose") });
        assert_eq!(failed.await, Err::<(), _>(Unfinished));
        assert_eq!(spawner.spawn(async { 1 }).await, Ok(1));
    }
}
