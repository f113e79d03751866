//! Time between requests: how late it is, and waiting. In: a span. Out: a future that ends after it.
//! Never: the limit of one answer, which is a matter of the wire. Tests hand in a pace in which waiting takes no time.

use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::sys::clock::Stopwatch;

/// How time passes between requests.
pub trait Pace: Send + Sync {
    /// The time since some beginning, which is the same for all calls.
    fn now(&self) -> Duration;

    /// Waits.
    fn wait(&self, time: Duration) -> BoxFuture<'_, ()>;
}

/// Time as it passes for everybody.
#[derive(Debug)]
pub struct RealTime(Stopwatch);

impl Default for RealTime {
    fn default() -> Self {
        Self(Stopwatch::start())
    }
}

impl Pace for RealTime {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn wait(&self, time: Duration) -> BoxFuture<'_, ()> {
        Box::pin(tokio::time::sleep(time))
    }
}
