//! How long to wait before a request is made again, and when to stop.
//! In: the fault of an attempt. Out: a pause, or the final [`RegistryError`] with the count and the time.
//! Never: repeats what cannot succeed, waits beyond the budget.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use crate::base::time::Moment;
use crate::sys::clock;

use super::error::{Fault, Place, RegistryError};
use super::pace::Pace;

/// How patient kiln is with a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For a connection to be made.
    pub connect: Duration,
    /// For a whole small answer: head, manifest, token, error text.
    pub answer: Duration,
    /// The window in which a large body must move at least one byte per millisecond.
    pub idle: Duration,
    /// For the answer to an upload whose bytes have all been sent: some registries copy the blob first.
    pub settle: Duration,
    /// Before the second attempt; doubled each time, up to 15 s.
    pub pause: Duration,
    /// For all attempts of one request together.
    pub budget: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            answer: Duration::from_secs(60),
            idle: Duration::from_secs(60),
            settle: Duration::from_secs(300),
            pause: Duration::from_millis(500),
            budget: Duration::from_secs(120),
        }
    }
}

const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// A transfer that moved this many bytes since the last fault may fail afresh.
const PROGRESS: u64 = 1 << 20;

/// The attempts of one request.
pub(super) struct Retry {
    patience: Patience,
    pace: Arc<dyn Pace>,
    place: Place,
    started: Duration,
    window: Duration,
    total: u32,
    in_window: u32,
    moved: u64,
}

impl Retry {
    pub(super) fn new(patience: Patience, pace: Arc<dyn Pace>, place: Place) -> Self {
        let now = pace.now();
        Self { patience, pace, place, started: now, window: now, total: 0, in_window: 0, moved: 0 }
    }

    /// The only attempt: whoever has another place to ask waits for none.
    pub(super) fn only(self) -> Self {
        Self { patience: Patience { budget: Duration::ZERO, ..self.patience }, ..self }
    }

    /// The place that errors name from now on.
    pub(super) fn at(&mut self, place: Place) {
        self.place = place;
    }

    /// A transfer stands at `moved` bytes: a long one is not given up for faults that it got over.
    pub(super) fn reached(&mut self, moved: u64) {
        if moved >= self.moved.saturating_add(PROGRESS) {
            self.moved = moved;
            self.window = self.pace.now();
            self.in_window = 0;
        }
    }

    /// Waits until the next attempt may be made.
    ///
    /// # Errors
    /// The fault itself, when it cannot pass or the budget is used up.
    pub(super) async fn again(&mut self, fault: Fault) -> Result<(), RegistryError> {
        self.total += 1;
        self.in_window += 1;
        if !fault.is_transient() || self.in_window >= fault.attempts() {
            return Err(self.failed(fault));
        }
        let wait = pause(self.patience.pause, self.in_window, &self.place.address).max(fault.retry_after().unwrap_or_default());
        if (self.pace.now() - self.window).saturating_add(wait) > self.patience.budget {
            return Err(self.failed(fault));
        }
        self.pace.wait(wait).await;
        Ok(())
    }

    /// Ends without another attempt.
    pub(super) fn give_up(&mut self, fault: Fault) -> RegistryError {
        self.total += 1;
        self.failed(fault)
    }

    fn failed(&self, fault: Fault) -> RegistryError {
        RegistryError {
            fault: Box::new(fault),
            place: Box::new(self.place.clone()),
            attempts: self.total.max(1),
            elapsed: self.pace.now() - self.started,
            there: None,
        }
    }
}

/// The pause after the `attempt`th attempt: doubled each time, then spread by a quarter so that parallel requests part.
fn pause(first: Duration, attempt: u32, address: &str) -> Duration {
    let whole = first.saturating_mul(1 << attempt.saturating_sub(1).min(16)).min(LONGEST_PAUSE);
    let mut hasher = DefaultHasher::new();
    (address, attempt).hash(&mut hasher);
    let spread = u32::try_from(hasher.finish() % 256).unwrap_or_default();
    whole - whole / 4 * spread / 256
}

/// Reads `Retry-After`: whole seconds, or a date. Source: RFC 9110, 10.2.3.
pub(super) fn retry_after(text: &str) -> Option<Duration> {
    read_retry_after(text, clock::now())
}

fn read_retry_after(text: &str, now: Moment) -> Option<Duration> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(text.parse().map_or(Duration::MAX, Duration::from_secs));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?;
    let wait = date.timestamp().as_millisecond().saturating_sub(now.0);
    Some(Duration::from_millis(u64::try_from(wait).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::super::error::Refusal;
    use super::*;

    /// Waiting moves the clock and takes no time.
    #[derive(Default)]
    struct Skipped(std::sync::Mutex<Duration>);

    impl Pace for Skipped {
        fn now(&self) -> Duration {
            *self.0.lock().unwrap()
        }
        fn wait(&self, time: Duration) -> futures_util::future::BoxFuture<'_, ()> {
            *self.0.lock().unwrap() += time;
            Box::pin(std::future::ready(()))
        }
    }

    #[test]
    fn retry_after_is_read_as_seconds_and_as_a_date() {
        let now = Moment::from_seconds(1_445_412_480);
        for (text, expected) in [
            ("0", Some(0)),
            (" 7 ", Some(7)),
            ("Wed, 21 Oct 2015 07:28:30 GMT", Some(30)),
            ("Wed, 21 Oct 2015 07:00:00 GMT", Some(0)),
            ("soon", None),
            ("", None),
            ("-1", None),
        ] {
            assert_eq!(read_retry_after(text, now), expected.map(Duration::from_secs), "{text}");
        }
        assert_eq!(read_retry_after("99999999999999999999999", now), Some(Duration::MAX));
    }

    #[test]
    fn pauses_grow_and_stay_bounded() {
        for attempt in 1..200 {
            let wait = pause(Duration::from_millis(500), attempt, "https://ghcr.io/v2/");
            let whole = Duration::from_millis(500).saturating_mul(1 << (attempt - 1).min(16)).min(LONGEST_PAUSE);
            assert!(wait <= whole && wait >= whole * 3 / 4, "{attempt}: {wait:?}");
        }
    }

    #[tokio::test]
    async fn a_wait_beyond_the_budget_is_not_begun() {
        let patience = Patience { pause: Duration::from_millis(1), budget: Duration::from_secs(5), ..Patience::default() };
        let pace = Arc::new(Skipped::default());
        let mut retry = Retry::new(patience, Arc::clone(&pace) as Arc<dyn Pace>, Place::default());
        let refusal = |wait| Fault::Status(Refusal { status: 429, said: Vec::new(), retry_after: Some(wait), limit: None });
        assert!(retry.again(refusal(Duration::from_secs(3))).await.is_ok());
        assert_eq!(pace.now(), Duration::from_secs(3));
        let error = retry.again(refusal(Duration::from_secs(3))).await.unwrap_err();
        assert_eq!((error.attempts, error.status(), error.elapsed), (2, Some(429), Duration::from_secs(3)));
    }

    #[tokio::test]
    async fn a_fault_that_cannot_pass_is_final() {
        let mut retry = Retry::new(Patience::default(), Arc::new(Skipped::default()), Place::default());
        assert_eq!(retry.again(Fault::Protocol("x".to_owned())).await.unwrap_err().attempts, 1);
    }
}
