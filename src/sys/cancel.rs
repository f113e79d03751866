//! The wish that work stops: asked for once, seen by everyone who holds a clone.
//! In: a request and how urgent it is. Out: a value to look at, a future to wait for, a file to poll. Never: stops anything itself.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::{Arc, OnceLock};

use rustix::event::EventfdFlags;
use tokio::sync::watch;

/// How soon work shall stop. Later ones include the earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// Programs are asked to end and have their grace: the first Ctrl-C, or a failed sibling.
    Gentle,
    /// Programs are killed: the second Ctrl-C.
    Now,
}

/// A shared wish to stop. Cheap to clone; never taken back.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<Wish>);

#[derive(Debug, Default)]
struct Wish {
    asked: watch::Sender<Option<Urgency>>,
    /// By urgency: readable once someone asked so; made when a thread first waits for it.
    bells: [OnceLock<Option<OwnedFd>>; 2],
}

impl Cancel {
    /// Nobody wishes to stop yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks to stop. A weaker request after a stronger one changes nothing.
    pub fn request(&self, urgency: Urgency) {
        self.0.asked.send_if_modified(|asked| {
            let stronger = *asked < Some(urgency);
            if stronger {
                *asked = Some(urgency);
            }
            stronger
        });
        // After the request is seen: a bell that is made at this moment rings itself.
        for bell in self.0.bells.iter().take(urgency as usize + 1).filter_map(|bell| bell.get()?.as_ref()) {
            ring(bell);
        }
    }

    /// The strongest request so far.
    #[must_use]
    pub fn urgency(&self) -> Option<Urgency> {
        *self.0.asked.borrow()
    }

    /// Whether anyone asked to stop.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.urgency().is_some()
    }

    /// A file that can be read once someone asked at least this urgently, for threads that wait for other files too. Nobody may read
    /// it. `None` where the system has no more files.
    #[must_use]
    pub fn bell(&self, urgency: Urgency) -> Option<BorrowedFd<'_>> {
        let made = self.0.bells[urgency as usize].get_or_init(|| rustix::event::eventfd(0, EventfdFlags::CLOEXEC).ok());
        let bell = made.as_ref()?;
        if self.urgency() >= Some(urgency) {
            ring(bell);
        }
        Some(bell.as_fd())
    }

    /// Waits until someone asks at least this urgently.
    pub async fn requested(&self, urgency: Urgency) {
        // The sender lives in `self`, so that the wait cannot end for lack of one.
        let _ = self.0.asked.subscribe().wait_for(|asked| *asked >= Some(urgency)).await;
    }
}

fn ring(bell: &OwnedFd) {
    // It can only fail when it rang four thousand million times.
    let _ = rustix::io::write(bell, &1_u64.to_ne_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weaker_request_does_not_take_a_stronger_one_back() {
        let cancel = Cancel::new();
        assert_eq!(cancel.urgency(), None);
        let twin = cancel.clone();
        twin.request(Urgency::Now);
        twin.request(Urgency::Gentle);
        assert_eq!(cancel.urgency(), Some(Urgency::Now));
    }

    #[test]
    fn a_bell_rings_for_requests_before_and_after_it_was_made_and_for_no_weaker_one() {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let rings = |cancel: &Cancel, urgency| {
            poll(&mut [PollFd::from_borrowed_fd(cancel.bell(urgency).unwrap(), PollFlags::IN)], Some(&Timespec::default())).unwrap() == 1
        };
        for early in [false, true] {
            let cancel = Cancel::new();
            if early {
                assert!(!rings(&cancel, Urgency::Gentle) && !rings(&cancel, Urgency::Now));
            }
            cancel.request(Urgency::Gentle);
            assert!(rings(&cancel, Urgency::Gentle) && !rings(&cancel, Urgency::Now));
            cancel.request(Urgency::Now);
            assert!(rings(&cancel, Urgency::Gentle) && rings(&cancel, Urgency::Now));
        }
    }

    #[tokio::test]
    async fn a_strong_request_wakes_those_who_wait_for_a_weak_one_and_not_the_reverse() {
        let cancel = Cancel::new();
        cancel.request(Urgency::Gentle);
        cancel.requested(Urgency::Gentle).await;
        let strong = cancel.requested(Urgency::Now);
        tokio::pin!(strong);
        assert!(futures_util::poll!(&mut strong).is_pending());
        cancel.request(Urgency::Now);
        strong.await;
    }
}
