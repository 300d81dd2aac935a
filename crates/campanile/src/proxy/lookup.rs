//! Finds the addresses of one proxy's host.
//!
//! The system cannot be told to stop looking a name up, takes a thread for it and may take minutes.
//! So there is one lookup of a proxy's host at a time, shared by all who wait and kept for those to
//! come; and while it is late, the addresses that were found last are good enough.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use std::{io, net, vec};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use hyper_util::client::legacy::connect::dns::Name;
use net::{SocketAddr, ToSocketAddrs as _};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};
use tower_service::Service;

/// How long a lookup may take before older addresses are used. Questions are answered within a
/// second, unless configured otherwise, and connecting takes time as well.
const LATE: Duration = Duration::from_millis(100);

type Addresses = Arc<[SocketAddr]>;
type Found = Result<Addresses, Arc<io::Error>>;
type System = dyn Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// See the [module](self).
#[derive(Clone)]
pub(super) struct Lookup {
    system: Arc<System>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    found_last: Option<Addresses>,
    under_way: Option<UnderWay>,
}

#[derive(Clone)]
struct UnderWay {
    late: Instant,
    end: Shared<oneshot::Receiver<Found>>,
}

impl Lookup {
    /// Asks the system, which asks whatever it is told to.
    pub(super) fn of_the_system() -> Self {
        Self::new(|host| Ok((host, 0).to_socket_addrs()?.collect()))
    }

    fn new(system: impl Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static) -> Self {
        Self {
            system: Arc::new(system),
            state: Arc::default(),
        }
    }

    /// Waits for the lookup that is under way, or begins one. A proxy has one host: it is the same
    /// each time.
    async fn find(self, host: Name) -> Found {
        let (found_last, UnderWay { late, end }) = {
            let mut state = lock(&self.state);
            let begin = || self.begin(host);
            let under_way = state.under_way.get_or_insert_with(begin).clone();
            (state.found_last.clone(), under_way)
        };
        let found = match found_last {
            Some(addresses) => match timeout_at(late, end).await {
                Ok(found) => found,
                Err(_) => return Ok(addresses),
            },
            None => end.await,
        };
        found.unwrap_or_else(|_| Err(Arc::new(io::Error::other("the server stops"))))
    }

    /// What is found is kept even if nobody waits for it any more.
    fn begin(&self, host: Name) -> UnderWay {
        let (tell, end) = oneshot::channel();
        let (system, state) = (Arc::clone(&self.system), Arc::clone(&self.state));
        tokio::task::spawn_blocking(move || {
            let found = system(host.as_str()).map(Addresses::from);
            let found = found.map_err(Arc::new);
            let mut state = lock(&state);
            state.under_way = None;
            if let Ok(addresses) = &found {
                state.found_last = Some(Arc::clone(addresses));
            }
            // Whoever waits does so no longer than it likes.
            let _ = tell.send(found);
        });
        UnderWay {
            late: Instant::now() + LATE,
            end: end.shared(),
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Service<Name> for Lookup {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = Arc<io::Error>;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, host: Name) -> Self::Future {
        let found = self.clone().find(host);
        found.map(|found| Ok(found?.to_vec().into_iter())).boxed()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use futures_util::future::join_all;

    use super::*;

    const ADDRESS: SocketAddr =
        SocketAddr::new(net::IpAddr::V4(net::Ipv4Addr::new(192, 0, 2, 7)), 0);

    /// A system that answers once for everything it is sent, and says how often it was asked.
    struct Slow {
        lookup: Lookup,
        answer: mpsc::Sender<io::Result<Vec<SocketAddr>>>,
        asked: Arc<AtomicUsize>,
    }

    impl Slow {
        fn new() -> Self {
            let (answer, answers) = mpsc::channel();
            let (answers, asked) = (Mutex::new(answers), Arc::new(AtomicUsize::new(0)));
            let count = Arc::clone(&asked);
            let lookup = Lookup::new(move |_| {
                count.fetch_add(1, Ordering::SeqCst);
                let answer = answers.lock().unwrap().recv();
                answer.unwrap_or_else(|_| Err(io::Error::other("the test is over")))
            });
            Self {
                lookup,
                answer,
                asked,
            }
        }

        fn find(&self) -> impl Future<Output = Found> + use<> {
            self.lookup.clone().find("backend".parse().unwrap())
        }

        fn answer(&self) {
            self.answer.send(Ok(vec![ADDRESS])).unwrap();
        }

        fn asked(&self) -> usize {
            self.asked.load(Ordering::SeqCst)
        }
    }

    #[tokio::test]
    async fn all_who_wait_share_one_lookup() {
        let slow = Slow::new();
        let all = join_all((0..100).map(|_| slow.find()));
        let (all, ()) = tokio::join!(all, async { slow.answer() });
        let all: Vec<_> = all.into_iter().map(Result::unwrap).collect();
        assert!(all.iter().all(|found| found[..] == [ADDRESS]));
        assert_eq!(slow.asked(), 1);
    }

    #[tokio::test]
    async fn a_lookup_that_was_given_up_is_there_for_the_next() {
        let slow = Slow::new();
        for _ in 0..20 {
            assert!(slow.find().now_or_never().is_none());
        }
        let (found, ()) = tokio::join!(slow.find(), async { slow.answer() });
        assert_eq!(found.unwrap()[..], [ADDRESS]);
        assert_eq!(slow.asked(), 1);
    }

    #[tokio::test]
    async fn the_addresses_found_last_serve_while_a_lookup_is_late() {
        let slow = Slow::new();
        slow.answer();
        assert_eq!(slow.find().await.unwrap()[..], [ADDRESS]);
        for _ in 0..20 {
            assert_eq!(slow.find().await.unwrap()[..], [ADDRESS]);
        }
        assert_eq!(slow.asked(), 2);
    }

    #[tokio::test]
    async fn what_the_system_says_is_asked_anew_each_time_and_may_be_no() {
        let slow = Slow::new();
        slow.answer();
        assert!(slow.find().await.is_ok());
        slow.answer
            .send(Err(io::Error::other("no such host")))
            .unwrap();
        assert_eq!(slow.find().await.unwrap_err().to_string(), "no such host");
        slow.answer();
        assert!(slow.find().await.is_ok());
        assert_eq!(slow.asked(), 3);
    }
}
