//! When to look: not at the first sign of a change, but when nothing more comes.

use std::time::Duration;

use crate::sys::clock::Stopwatch;
use crate::sys::watch::{Watcher, Woken};

/// What happened is looked at when nothing more has happened for so long: a save is several events, a checkout thousands.
pub(super) const QUIET: Duration = Duration::from_millis(50);
/// But at the latest after so many milliseconds.
const MOST: u64 = 1_000;

/// Waits until nothing more happens.
pub(super) fn settle(watcher: &mut Watcher) {
    let clock = Stopwatch::start();
    outwait(|span| watcher.wait(Some(span)), || clock.millis());
}

fn outwait(mut wait: impl FnMut(Duration) -> Woken, millis: impl Fn() -> u64) {
    while millis() < MOST && wait(QUIET) == Woken::Look {}
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// The millisecond at which a look follows events that come so many milliseconds after each other.
    fn look(gaps: impl IntoIterator<Item = u64>) -> u64 {
        let now = Cell::new(0);
        let mut gaps = gaps.into_iter();
        let wait = |limit: Duration| {
            let limit = u64::try_from(limit.as_millis()).unwrap();
            let gap = gaps.next().filter(|gap| *gap < limit);
            now.set(now.get() + gap.unwrap_or(limit));
            if gap.is_some() { Woken::Look } else { Woken::Late }
        };
        outwait(wait, || now.get());
        now.get()
    }

    #[test]
    fn a_look_follows_the_last_event_of_a_burst() {
        assert_eq!(look([]), 50);
        assert_eq!(look([10, 20, 30]), 110);
        assert_eq!(look(std::iter::repeat_n(1, 400)), 450);
        assert_eq!(look([10, 49, 51, 1]), 109, "what comes later is another change");
    }

    #[test]
    fn events_without_end_are_looked_at_once_a_second() {
        assert_eq!(look(std::iter::repeat(40)), 1_000);
        assert!((1_000..1_050).contains(&look(std::iter::repeat(49))));
    }

    #[test]
    fn a_call_ends_the_wait_at_once() {
        outwait(|_| Woken::Called, || 0);
    }
}
